/** Who can reach whom by the rendered policies: every pair of pods of three environments, the edge, DNS, the API server and the world; must decide by nothing but the policies. */
import { BlockList } from "node:net"
import { listAt, numberAt, textAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { type Peer, type Policy, type PolicyPort, selects } from "#test/cluster/policies.ts"
import { policyOf } from "./policyOf.ts"
import { workloadsOf } from "./workloads.ts"

/** A pod, or an address outside of every namespace that a policy could select. */
export interface Endpoint {
  /** As the matrix calls it, such as prod/gateway or world. */
  readonly name: string
  readonly namespace: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly address: string | undefined
  /** Where it listens; none of what only asks. */
  readonly ports: ReadonlyArray<Port>
  /** Names of its container's ports, for policies that go by name. */
  readonly named: ReadonlyMap<string, number>
}

export interface Port {
  readonly port: number
  readonly protocol: "TCP" | "UDP"
}

const tcp = (...ports: ReadonlyArray<number>): ReadonlyArray<Port> =>
  ports.map((port) => ({ port, protocol: "TCP" as const }))

const outside = (name: string, address: string, ports: ReadonlyArray<Port>): Endpoint => ({
  name,
  namespace: undefined,
  labels: {},
  address,
  ports,
  named: new Map()
})

const stranger = (namespace: string): Endpoint => ({
  name: `${namespace}/(any other pod)`,
  namespace,
  labels: {},
  address: undefined,
  ports: tcp(8080),
  named: new Map()
})

/** Addresses are those of the manifests: TEST-NET-1 for the server, TEST-NET-3 for the world. */
const surroundings: ReadonlyArray<Endpoint> = [
  { ...stranger("edge"), name: "edge/nginx", labels: { "app.kubernetes.io/name": "nginx" }, ports: tcp(80, 443) },
  stranger("edge"),
  {
    ...stranger("kube-system"),
    name: "kube-system/dns",
    labels: { "k8s-app": "kube-dns" },
    ports: [
      { port: 53, protocol: "UDP" },
      { port: 53, protocol: "TCP" }
    ]
  },
  outside("API server (Service)", "10.43.0.1", tcp(443)),
  outside("API server (node)", "192.0.2.10", tcp(6443, 22)),
  outside("another private network", "192.168.7.7", tcp(443, 5432)),
  outside("cloud metadata", "169.254.169.254", tcp(80, 443)),
  outside("world", "203.0.113.7", tcp(80, 443, 5432))
]

/** Every pod that the environments render, one that they do not, and what lies around. */
export const endpointsOf = (objects: ReadonlyArray<KubernetesObject>): ReadonlyArray<Endpoint> => {
  const pods = workloadsOf(objects).map(({ containers, labels, name, namespace }): Endpoint => {
    const ports = containers.flatMap(({ fields }) => listAt(fields, "ports"))
    return {
      name: `${namespace}/${name}`,
      namespace,
      labels,
      address: undefined,
      ports: tcp(...ports.map((port) => numberAt(port, "containerPort") ?? 0)),
      named: new Map(ports.map((port) => [textAt(port, "name") ?? "", numberAt(port, "containerPort") ?? 0]))
    }
  })
  const namespaces = [...new Set(pods.map(({ namespace }) => namespace))].flatMap((name) => name ?? [])
  return [...pods, ...namespaces.map(stranger), ...surroundings]
}

export const policiesOf = (objects: ReadonlyArray<KubernetesObject>): ReadonlyArray<Policy> =>
  objects.filter(({ kind }) => kind === "NetworkPolicy").map(policyOf)

const inBlock = (address: string, cidr: string): boolean => {
  const [network = "", bits] = cidr.split("/")
  const block = new BlockList()
  block.addSubnet(network, Number(bits), "ipv4")
  return block.check(address, "ipv4")
}

/** Pods are met by their labels; that a block of addresses may hold them too counts for nothing, as engines differ on it. */
const isPeer = (peer: Peer, namespace: string, one: Endpoint): boolean => {
  if (peer.ipBlock !== undefined) {
    const { cidr, except } = peer.ipBlock
    return (
      one.address !== undefined &&
      inBlock(one.address, cidr) &&
      !(except ?? []).some((part) => inBlock(one.address ?? "", part))
    )
  }
  if (one.namespace === undefined) return false
  return (
    (peer.namespaceSelector === undefined
      ? one.namespace === namespace
      : selects(peer.namespaceSelector, { "kubernetes.io/metadata.name": one.namespace })) &&
    (peer.podSelector === undefined || selects(peer.podSelector, one.labels))
  )
}

const isPort = (allowed: PolicyPort, { port, protocol }: Port, target: Endpoint): boolean => {
  if ((allowed.protocol ?? "TCP") !== protocol) return false
  if (allowed.port === undefined) return true
  const from = typeof allowed.port === "string" ? target.named.get(allowed.port) : allowed.port
  return from !== undefined && port >= from && port <= (allowed.endPort ?? from)
}

/** Whether the policies on one side let the connection pass; where none selects the pod, everything does. */
const passes = (
  way: "Ingress" | "Egress",
  here: Endpoint,
  there: Endpoint,
  port: Port,
  target: Endpoint,
  policies: ReadonlyArray<Policy>
): boolean => {
  if (here.namespace === undefined) return true
  const mine = policies.filter(
    (policy) =>
      policy.namespace === here.namespace &&
      (policy.policyTypes ?? ["Ingress"]).includes(way) &&
      selects(policy.podSelector, here.labels)
  )
  if (mine.length === 0) return true
  return mine.some((policy) =>
    (way === "Ingress"
      ? (policy.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (policy.egress ?? []).map(({ ports, to }) => ({ peers: to, ports }))
    ).some(
      ({ peers, ports }) =>
        (peers === undefined || peers.length === 0 || peers.some((peer) => isPeer(peer, policy.namespace, there))) &&
        (ports === undefined || ports.length === 0 || ports.some((one) => isPort(one, port, target)))
    )
  )
}

/** Whether a pair is worth a line: not two things that no policy of the platform is about, and not a pod and itself. */
const concerns = (from: Endpoint, to: Endpoint, platform: ReadonlySet<string>): boolean =>
  from !== to && (platform.has(from.namespace ?? "") || platform.has(to.namespace ?? ""))

export interface Matrix {
  /** Every pair that was tried. */
  readonly tried: number
  /** `prod/gateway -> prod/admin 8080/TCP`, sorted; every other pair is refused. */
  readonly allowed: ReadonlyArray<string>
}

export const matrixOf = (endpoints: ReadonlyArray<Endpoint>, policies: ReadonlyArray<Policy>): Matrix => {
  const platform = new Set(policies.map(({ namespace }) => namespace))
  let tried = 0
  const allowed: Array<string> = []
  for (const from of endpoints) {
    for (const to of endpoints) {
      if (!concerns(from, to, platform)) continue
      for (const port of to.ports) {
        tried += 1
        if (passes("Egress", from, to, port, to, policies) && passes("Ingress", to, from, port, to, policies)) {
          allowed.push(`${from.name} -> ${to.name} ${port.port}/${port.protocol}`)
        }
      }
    }
  }
  return { tried, allowed: allowed.sort() }
}
