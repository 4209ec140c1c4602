/** Which connections the enforced table allows: the rules of NetworkPolicy, told by a small reading of the table itself. */
import { describe, expect, test } from "bun:test"
import { type NetworkState, type PodOnNetwork, type Policy, rulesetOf, selects } from "#test/cluster/policies.ts"

const pod = (namespace: string, name: string, address: string): PodOnNetwork => ({
  namespace,
  address,
  labels: { app: name },
  ports: [{ name: "http", containerPort: 8080 }]
})
const web = pod("prod", "web", "10.42.0.10")
const client = pod("prod", "client", "10.42.0.11")
const stranger = pod("dev", "client", "10.42.0.12")

const stateOf = (...policies: ReadonlyArray<Partial<Policy>>): NetworkState => ({
  pods: [web, client, stranger],
  namespaces: new Map([
    ["prod", { env: "prod" }],
    ["dev", { env: "dev" }]
  ]),
  policies: policies.map((policy) => ({ namespace: "prod", podSelector: {}, ...policy }))
})

/** The rules of one pod's chain; undefined where it is not filtered. */
const chainOf = (state: NetworkState, way: "ingress" | "egress", { address }: PodOnNetwork) => {
  const ruleset = rulesetOf(state)
  const name = `${way}_${address.replaceAll(".", "_")}`
  const body = new RegExp(`chain ${name} \\{\\n([^}]*(?:\\{[^}]*\\}[^}]*)*)\\n\\}`, "u").exec(ruleset)?.[1]
  if (body !== undefined) expect(ruleset).toContain(`jump ${name}`)
  return body?.split("\n")
}

describe("the table of NetworkPolicies", () => {
  test("filters no pod that no policy selects", () => {
    const state = stateOf({ podSelector: { matchLabels: { app: "web" } } })
    expect(chainOf(state, "ingress", client)).toBeUndefined()
    expect(chainOf(state, "ingress", stranger)).toBeUndefined()
    expect(chainOf(state, "egress", web)).toBeUndefined()
  })

  test("drops everything to a pod that is selected and has no rule", () => {
    expect(chainOf(stateOf({}), "ingress", web)).toEqual(["counter drop"])
  })

  test("filters egress only where the types, or rules of egress, say so", () => {
    expect(chainOf(stateOf({ policyTypes: ["Egress"] }), "egress", web)).toEqual(["counter drop"])
    expect(chainOf(stateOf({ policyTypes: ["Egress"] }), "ingress", web)).toBeUndefined()
    expect(chainOf(stateOf({ egress: [{}] }), "egress", web)).toEqual(["return", "counter drop"])
    expect(chainOf(stateOf({ ingress: [{}] }), "egress", web)).toBeUndefined()
  })

  test("takes a pod selector alone for pods of the policy's own namespace", () => {
    const from = [{ podSelector: { matchLabels: { app: "client" } } }]
    expect(chainOf(stateOf({ ingress: [{ from }] }), "ingress", web)).toEqual([
      "ip saddr { 10.42.0.11 } return",
      "counter drop"
    ])
  })

  test("takes a namespace and a pod selector of one peer together, of two peers apart", () => {
    const namespaceSelector = { matchLabels: { env: "dev" } }
    const podSelector = { matchLabels: { app: "web" } }
    const together = stateOf({ ingress: [{ from: [{ namespaceSelector, podSelector }] }] })
    expect(chainOf(together, "ingress", web)).toEqual(["counter drop"])
    const apart = stateOf({ ingress: [{ from: [{ namespaceSelector }, { podSelector }] }] })
    expect(chainOf(apart, "ingress", web)).toEqual([
      "ip saddr { 10.42.0.12 } return",
      "ip saddr { 10.42.0.10 } return",
      "counter drop"
    ])
  })

  test("lets nobody in by peers that select nobody, and everybody by no peers", () => {
    const nobody = [{ podSelector: { matchLabels: { app: "none" } } }]
    expect(chainOf(stateOf({ ingress: [{ from: nobody }] }), "ingress", web)).toEqual(["counter drop"])
    expect(chainOf(stateOf({ ingress: [{ from: [] }] }), "ingress", web)).toEqual(["return", "counter drop"])
  })

  test("adds up the rules of all policies that select a pod", () => {
    const ports = (port: number) => [{ ports: [{ port }] }]
    expect(chainOf(stateOf({}, { ingress: ports(80) }, { ingress: ports(81) }), "ingress", web)).toEqual([
      "tcp dport 80 return",
      "tcp dport 81 return",
      "counter drop"
    ])
  })

  test("knows ports by number, range, protocol and the target's own name", () => {
    const ingress = [
      { ports: [{ port: 80, endPort: 90 }, { port: 53, protocol: "UDP" }, { protocol: "UDP" }, { port: "http" }] }
    ]
    expect(chainOf(stateOf({ ingress }), "ingress", web)).toEqual([
      "tcp dport 80-90 return",
      "udp dport 53 return",
      "meta l4proto udp return",
      "ip daddr 10.42.0.10 tcp dport 8080 return",
      "counter drop"
    ])
    const egress = [{ to: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ port: "http" }] }]
    expect(chainOf(stateOf({ egress }), "egress", client)).toEqual([
      "ip daddr { 10.42.0.10 } ip daddr 10.42.0.10 tcp dport 8080 return",
      "counter drop"
    ])
  })

  test("leaves exceptions out of a block of addresses", () => {
    const ipBlock = { cidr: "10.0.0.0/8", except: ["10.42.0.0/16", "10.43.0.0/16"] }
    expect(chainOf(stateOf({ egress: [{ to: [{ ipBlock }] }] }), "egress", web)).toEqual([
      "ip daddr 10.0.0.0/8 ip daddr != { 10.42.0.0/16, 10.43.0.0/16 } return",
      "counter drop"
    ])
  })

  test("selects by expressions as by labels", () => {
    const by = (operator: string, values?: ReadonlyArray<string>) => ({
      matchExpressions: [{ key: "app", operator, ...(values === undefined ? {} : { values }) }]
    })
    const labels = { app: "web" }
    expect(selects(by("In", ["web", "x"]), labels)).toBe(true)
    expect(selects(by("NotIn", ["web"]), labels)).toBe(false)
    // A label that is not there is not in any list.
    expect(selects(by("NotIn", ["web"]), {})).toBe(true)
    expect(selects(by("Exists"), labels)).toBe(true)
    expect(selects(by("DoesNotExist"), labels)).toBe(false)
    expect(selects({}, {})).toBe(true)
    expect(selects({ matchLabels: { app: "web", tier: "x" } }, labels)).toBe(false)
  })
})
