/** The network policies let pass what the checked-in matrix says, in three environments at once, and each of their rules is needed. */
import { describe, expect, test } from "bun:test"
import type { Policy } from "#test/cluster/policies.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { type Endpoint, endpointsOf, matrixOf, policiesOf } from "./reachability.ts"
import { checkedIn, matrixText } from "./reachabilityMatrix.ts"
import { cannotRender, clusterObjects, everything, overlay } from "./render.ts"

const missing = cannotRender()
const rendered = skipUnless(missing === undefined, missing ?? "")
const objects = missing === undefined ? everything() : []
const matrix = matrixOf(endpointsOf(objects), policiesOf(objects))

type Rules = NonNullable<Policy["ingress"]> | NonNullable<Policy["egress"]>

/** The policy without one rule, peer or port: each that there is, one after the other. */
const mutants = (policy: Policy): ReadonlyArray<readonly [string, Policy]> => {
  const found: Array<readonly [string, Policy]> = []
  for (const way of ["ingress", "egress"] as const) {
    const rules: Rules = policy[way] ?? []
    for (const [index, rule] of rules.entries()) {
      const others = rules.filter((one) => one !== rule)
      found.push([`${way} ${index}`, { ...policy, [way]: others }])
      for (const key of ["from", "to", "ports"] as const) {
        const list = Object.entries(rule).find(([name]) => name === key)?.[1] ?? []
        if (list.length < 2) continue
        for (const [at, entry] of list.entries()) {
          const without = { ...rule, [key]: list.filter((one) => one !== entry) }
          found.push([`${way} ${index} ${key} ${at}`, { ...policy, [way]: [...others, without] }])
        }
      }
    }
  }
  return found
}

rendered.describe("the rendered policies", () => {
  test("allow and refuse what kustomize/reachability.txt says", () => {
    expect(matrixText(matrix)).toBe(checkedIn())
  })

  test("have no rule, peer or port that could be left out without a difference", () => {
    const dev = [...clusterObjects(), ...overlay("dev")]
    const endpoints = endpointsOf(dev)
    const policies = policiesOf(dev)
    const allowed = matrixOf(endpoints, policies).allowed.join("\n")
    const idle = policies.flatMap((policy) =>
      mutants(policy).flatMap(([what, mutant]) => {
        const others = policies.map((one) => (one === policy ? mutant : one))
        const same = matrixOf(endpoints, others).allowed.join("\n") === allowed
        return same ? [`${policy.namespace} ${JSON.stringify(policy.podSelector)}: ${what}`] : []
      })
    )
    expect(idle).toEqual([])
  })

  test("security: let no environment reach another", () => {
    const environmentOf = (name: string) => /^(prod|nightly|dev)(?:-monitoring)?\//u.exec(name)?.[1]
    const across = matrix.allowed.filter((line) => {
      const [from = "", to = ""] = line.split(" -> ")
      const [a, b] = [environmentOf(from), environmentOf(to)]
      return a !== undefined && b !== undefined && a !== b
    })
    expect(across).toEqual([])
  })

  test("security: let only the ingress controller in from outside, to the gateway alone", () => {
    const inward = matrix.allowed.filter((line) => /^(?!prod|nightly|dev).*-> (?:prod|nightly|dev)/u.test(line))
    expect(inward).toEqual(["dev", "nightly", "prod"].map((one) => `edge/nginx -> ${one}/gateway 8080/TCP`))
  })

  test("security: let the world reach the ingress controller's two ports and nothing else", () => {
    expect(matrix.allowed.filter((line) => line.startsWith("world ->"))).toEqual([
      "world -> edge/nginx 443/TCP",
      "world -> edge/nginx 80/TCP"
    ])
  })

  test("security: let a pod that they do not know reach nothing", () => {
    expect(matrix.allowed.filter((line) => line.includes("(any other pod)"))).toEqual([])
  })

  test("security: let databases call nobody, and only the gateway call the world", () => {
    expect(matrix.allowed.filter((line) => /-db ->/u.test(line))).toEqual([])
    const outward = matrix.allowed.filter((line) => /-> (?:world|another private|cloud)/u.test(line))
    expect(outward).toEqual(["dev", "nightly", "prod"].map((one) => `${one}/gateway -> world 443/TCP`))
  })
})

describe("the evaluation of policies", () => {
  const pod = (name: string, namespace = "a"): Endpoint => ({
    name: `${namespace}/${name}`,
    namespace,
    labels: { app: name },
    address: undefined,
    ports: [{ port: 80, protocol: "TCP" }],
    named: new Map([["http", 80]])
  })
  const world: Endpoint = { ...pod("world"), name: "world", namespace: undefined, address: "203.0.113.7" }
  const [web, client] = [pod("web"), pod("client")]
  const deny: Policy = { namespace: "a", podSelector: {}, policyTypes: ["Ingress", "Egress"] }
  const toWeb = { namespace: "a", podSelector: { matchLabels: { app: "web" } }, policyTypes: ["Ingress"] }
  const fromClient = { namespace: "a", podSelector: { matchLabels: { app: "client" } }, policyTypes: ["Egress"] }
  const select = (app: string) => ({ podSelector: { matchLabels: { app } } })
  const allowed = (...policies: ReadonlyArray<Policy>) => matrixOf([web, client, world], policies).allowed

  test("needs a rule on both sides", () => {
    const ingress = { ...toWeb, ingress: [{ from: [select("client")], ports: [{ port: 80 }] }] }
    const egress = { ...fromClient, egress: [{ to: [select("web")], ports: [{ port: 80 }] }] }
    expect(allowed(deny, ingress)).toEqual([])
    expect(allowed(deny, egress)).toEqual([])
    expect(allowed(deny, ingress, egress)).toEqual(["a/client -> a/web 80/TCP"])
  })

  test("lets everything pass that no policy selects", () => {
    expect(allowed({ ...deny, podSelector: { matchLabels: { app: "none" } } })).toHaveLength(6)
  })

  test("takes a port by its target's name, and a range", () => {
    const rule = (port: object): ReadonlyArray<Policy> => [
      deny,
      { ...toWeb, ingress: [{ ports: [port] }] },
      { ...fromClient, egress: [{ ports: [port] }] }
    ]
    expect(allowed(...rule({ port: "http" }))).toContain("a/client -> a/web 80/TCP")
    expect(allowed(...rule({ port: 70, endPort: 90 }))).toContain("a/client -> a/web 80/TCP")
    expect(allowed(...rule({ port: 81, endPort: 90 }))).toEqual([])
    expect(allowed(...rule({ port: 80, protocol: "UDP" }))).toEqual([])
  })

  test("leaves exceptions out of a block of addresses", () => {
    const to = (except: ReadonlyArray<string>) => ({
      ...fromClient,
      egress: [{ to: [{ ipBlock: { cidr: "0.0.0.0/0", except } }] }]
    })
    expect(allowed(deny, to([]))).toEqual(["a/client -> world 80/TCP"])
    expect(allowed(deny, to(["203.0.113.0/24"]))).toEqual([])
  })
})
