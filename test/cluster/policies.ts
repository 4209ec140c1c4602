/** Turns NetworkPolicies into one nftables table, by the rules of networking.k8s.io/v1; pure, and knows only IPv4 and one node. */

type Labels = Readonly<Record<string, string>>

export interface Selector {
  readonly matchLabels?: Labels
  readonly matchExpressions?: ReadonlyArray<{
    readonly key: string
    readonly operator: string
    readonly values?: ReadonlyArray<string>
  }>
}

export interface PolicyPort {
  readonly port?: number | string
  readonly endPort?: number
  readonly protocol?: string
}

export interface Peer {
  readonly podSelector?: Selector
  readonly namespaceSelector?: Selector
  readonly ipBlock?: { readonly cidr: string; readonly except?: ReadonlyArray<string> }
}

export interface Policy {
  readonly namespace: string
  readonly podSelector: Selector
  readonly policyTypes?: ReadonlyArray<string>
  readonly ingress?: ReadonlyArray<{ readonly from?: ReadonlyArray<Peer>; readonly ports?: ReadonlyArray<PolicyPort> }>
  readonly egress?: ReadonlyArray<{ readonly to?: ReadonlyArray<Peer>; readonly ports?: ReadonlyArray<PolicyPort> }>
}

/** A pod with an address of its own that has not finished. */
export interface PodOnNetwork {
  readonly namespace: string
  readonly address: string
  readonly labels: Labels
  readonly ports: ReadonlyArray<{ readonly name?: string; readonly containerPort: number; readonly protocol?: string }>
}

export interface NetworkState {
  readonly pods: ReadonlyArray<PodOnNetwork>
  /** Labels by namespace. */
  readonly namespaces: ReadonlyMap<string, Labels>
  readonly policies: ReadonlyArray<Policy>
}

type Way = "ingress" | "egress"

/** An empty selector selects all. */
export const selects = (selector: Selector, labels: Labels): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
  (selector.matchExpressions ?? []).every(({ key, operator, values }) => {
    const present = Object.hasOwn(labels, key)
    const listed = present && (values ?? []).includes(labels[key]!)
    switch (operator) {
      case "In":
        return listed
      case "NotIn":
        return !listed
      case "Exists":
        return present
      case "DoesNotExist":
        return !present
      default:
        return false
    }
  })

const applies = (policy: Policy, way: Way) => {
  // By default to ingress always, to egress where there are egress rules.
  const types = policy.policyTypes ?? ["Ingress", ...((policy.egress ?? []).length > 0 ? ["Egress"] : [])]
  return types.includes(way === "ingress" ? "Ingress" : "Egress")
}

interface PeerMatch {
  readonly text: string
  /** Whom it matches, where these are pods; undefined for anyone or a block of addresses. */
  readonly pods?: ReadonlyArray<PodOnNetwork>
}

const set = (elements: ReadonlyArray<string>) => `{ ${elements.join(", ")} }`

/** No peers mean everyone; peers that select nobody mean nobody. */
const matchPeers = (
  peers: ReadonlyArray<Peer> | undefined,
  namespace: string,
  side: "saddr" | "daddr",
  state: NetworkState
): ReadonlyArray<PeerMatch> => {
  if (peers === undefined || peers.length === 0) return [{ text: "" }]
  return peers.flatMap(({ ipBlock, namespaceSelector, podSelector }): ReadonlyArray<PeerMatch> => {
    if (ipBlock !== undefined) {
      const { cidr, except } = ipBlock
      const without = except === undefined || except.length === 0 ? "" : ` ip ${side} != ${set(except)}`
      return cidr.includes(":") ? [] : [{ text: `ip ${side} ${cidr}${without}` }]
    }
    const pods = state.pods.filter(
      (pod) =>
        (namespaceSelector === undefined
          ? pod.namespace === namespace
          : selects(namespaceSelector, state.namespaces.get(pod.namespace) ?? {})) &&
        (podSelector === undefined || selects(podSelector, pod.labels))
    )
    return pods.length === 0 ? [] : [{ text: `ip ${side} ${set(pods.map(({ address }) => address))}`, pods }]
  })
}

/** A port by name is each target's own. */
const matchPorts = (
  ports: ReadonlyArray<PolicyPort> | undefined,
  targets: ReadonlyArray<PodOnNetwork> | undefined
): ReadonlyArray<string> => {
  if (ports === undefined || ports.length === 0) return [""]
  return ports.flatMap(({ endPort, port, protocol = "TCP" }) => {
    const kind = protocol.toLowerCase()
    if (port === undefined) return [`meta l4proto ${kind}`]
    if (typeof port === "number") return [`${kind} dport ${endPort === undefined ? port : `${port}-${endPort}`}`]
    return (targets ?? []).flatMap((target) =>
      target.ports
        .filter((one) => one.name === port && (one.protocol ?? "TCP") === protocol)
        .map((one) => `ip daddr ${target.address} ${kind} dport ${one.containerPort}`)
    )
  })
}

/** What may pass to or from `pod`; undefined where no policy selects it, and so all may. */
const allowed = (pod: PodOnNetwork, way: Way, state: NetworkState): ReadonlyArray<string> | undefined => {
  const mine = state.policies.filter(
    (policy) => policy.namespace === pod.namespace && applies(policy, way) && selects(policy.podSelector, pod.labels)
  )
  if (mine.length === 0) return undefined
  const rules = mine.flatMap((policy) =>
    way === "ingress"
      ? (policy.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (policy.egress ?? []).map(({ ports, to }) => ({ peers: to, ports }))
  )
  return rules.flatMap(({ peers, ports }) =>
    matchPeers(peers, pod.namespace, way === "ingress" ? "saddr" : "daddr", state).flatMap((peer) =>
      matchPorts(ports, way === "ingress" ? [pod] : peer.pods).map((port) =>
        [peer.text, port, "return"].filter((part) => part !== "").join(" ")
      )
    )
  )
}

/**
 * The whole table as a script for `nft -f`, which puts it in place at once. It sees packets after the Services'
 * translation, so policies speak of pods. What comes from the node itself, such as a probe, is not forwarded and not
 * filtered. Connections that stand are let be.
 */
export const rulesetOf = (state: NetworkState): string => {
  const jumps: Record<Way, Array<string>> = { ingress: [], egress: [] }
  const chains: Array<string> = []
  for (const pod of state.pods) {
    for (const way of ["ingress", "egress"] as const) {
      const rules = allowed(pod, way, state)
      if (rules === undefined) continue
      const chain = `${way}_${pod.address.replaceAll(".", "_")}`
      chains.push(`chain ${chain} {\n${[...rules, "counter drop"].join("\n")}\n}`)
      jumps[way].push(`ip ${way === "ingress" ? "daddr" : "saddr"} ${pod.address} jump ${chain}`)
    }
  }
  const hook = (name: string, where: string, priority: number, lines: ReadonlyArray<string>) =>
    `chain ${name} {\ntype filter hook ${where} priority ${priority}; policy accept;\n${lines.join("\n")}\n}`
  const standing = "ct state established,related accept"
  return [
    "table ip policies {}",
    "delete table ip policies",
    "table ip policies {",
    ...chains,
    hook("forward_egress", "forward", -12, [standing, ...jumps.egress]),
    hook("forward_ingress", "forward", -11, [standing, ...jumps.ingress]),
    // To the node itself, where the API server listens.
    hook("input_egress", "input", -12, [standing, ...jumps.egress]),
    "}",
    ""
  ].join("\n")
}
