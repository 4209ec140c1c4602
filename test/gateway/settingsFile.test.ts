/** The settings file: what is wrong with one is said with its place, and no wrong one is taken. */
import { describe, expect, test } from "bun:test"
import { Result } from "effect"
import { stringify } from "yaml"
import { parseSettings } from "#gateway/settingsFile.ts"

const publicUrl = "https://gate.test"
const hub = { id: "hub", kind: "github", clientId: "c", clientSecret: { env: "S" } }
const route = { id: "a", path: "/a", upstream: "http://a:80", service: "a", rules: [{ action: "read" }] }

const faults = (content: object | string, url = publicUrl): ReadonlyArray<string> => {
  const parsed = parseSettings(typeof content === "string" ? content : stringify(content), url)
  return Result.isFailure(parsed) ? parsed.failure.faults : []
}
const withRoutes = (...routes: ReadonlyArray<object>) => faults({ providers: [hub], routes })
const oneFault = (found: ReadonlyArray<string>, ...parts: ReadonlyArray<string>) => {
  expect(found).toHaveLength(1)
  for (const part of parts) expect(found[0]).toContain(part)
}

test("a file with every setting is taken", () => {
  const content = {
    providers: [
      hub,
      {
        id: "own",
        kind: "oidc",
        issuer: "https://id.test",
        clientId: "c",
        clientSecret: { file: "/secret" },
        label: "Ours",
        scopes: ["email"]
      },
      { id: "google", kind: "google", clientId: "c", clientSecret: { env: "S" } },
      { id: "gitlab", kind: "gitlab", issuer: "https://git.test", clientId: "c", clientSecret: { env: "S" } }
    ],
    routes: [
      {
        ...route,
        hosts: ["gate.test"],
        environment: "prod",
        namespaces: ["prod", "nightly"],
        stripPrefix: true,
        allowCharacters: [";"],
        origins: ["https://friend.test"],
        maxBodyBytes: 1,
        firstByteTimeoutMs: 1,
        rules: [{ path: "/a/b", methods: ["GET"], action: "read" }, { action: "*" }]
      },
      { id: "open", path: "/", upstream: "http://b/under", service: "b", public: true }
    ],
    firstOwner: { provider: "own", subject: "1" },
    grants: [{ person: { provider: "hub", email: "a@b.test" }, role: "viewer", environment: "*" }],
    workloads: [
      { id: "scheduler", role: "watchman", identity: { kubernetes: { namespace: "prod", serviceAccount: "a.b" } } },
      { id: "ci", label: "Our CI", role: "operator", environment: "dev", identity: { key: { file: "/ci.jwk" } } }
    ]
  }
  expect(faults(content)).toEqual([])
})

describe("an unknown key is refused with its place", () => {
  test("at the top, in a route, a rule, a provider, a secret, a seed", () => {
    oneFault(faults({ providers: [], routes: [], route: [] }), "/route")
    oneFault(withRoutes({ ...route, upstrem: "x" }), "/routes/0/upstrem")
    oneFault(withRoutes({ ...route, rules: [{ action: "read", method: "GET" }] }), "/routes/0/rules/0/method")
    expect(faults({ providers: [{ ...hub, secret: "x" }], routes: [] }).join()).toContain("/providers/0/secret")
    expect(faults({ providers: [{ ...hub, clientSecret: "plain" }], routes: [] }).join()).toContain(
      "/providers/0/clientSecret"
    )
    expect(faults({ providers: [{ ...hub, clientSecret: { value: "plain" } }], routes: [] })).not.toEqual([])
    expect(
      faults({ providers: [hub], routes: [], firstOwner: { provider: "hub", subject: "1", admin: true } })
    ).not.toEqual([])
  })
  test("__proto__ and constructor are unknown keys like others", () => {
    expect(faults("providers: []\nroutes: []\n__proto__: {}\n")).not.toEqual([])
    expect(faults("providers: []\nroutes: []\nconstructor: {}\n")).not.toEqual([])
  })
  test("the rejected value is not repeated", () => {
    const found = faults({ providers: [{ ...hub, clientSecret: "hunter2" }], routes: [] }).join()
    expect(found).not.toContain("hunter2")
  })
})

describe("YAML that could be read in two ways is refused", () => {
  test("a key twice", () => {
    oneFault(faults("providers: []\nroutes: []\nroutes: []\n"), "unique")
    expect(
      faults(`providers: []\nroutes:\n- {id: a, path: /a, path: /b, upstream: "http://a", service: a, public: true}\n`)
    ).not.toEqual([])
  })
  test("an alias bomb", () => {
    const levels = Array.from(
      { length: 9 },
      (_, level) => `l${level + 1}: &l${level + 1} [${Array(9).fill(`*l${level}`).join(", ")}]`
    )
    const started = performance.now()
    expect(faults(`l0: &l0 [a]\n${levels.join("\n")}\nproviders: []\nroutes: []\n`)).toEqual(["too many aliases"])
    expect(performance.now() - started).toBeLessThan(1000)
  })
  test("an alias of itself", () => {
    expect(faults("providers: &a [*a]\nroutes: []\n")).not.toEqual([])
  })
  test("several documents, tags, broken text, another kind of value", () => {
    for (const text of [
      "providers: []\nroutes: []\n---\nproviders: []\n",
      "providers: !!js/function x\nroutes: []\n",
      "providers: !secret x\nroutes: []\n",
      "providers: [\n",
      "providers: []\n\troutes: []\n",
      "",
      "[]",
      "text",
      "providers: {}\nroutes: []\n"
    ])
      expect([text, faults(text)]).not.toEqual([text, []])
  })
})

describe("routes", () => {
  test("two on one path overlap, unless their hosts differ", () => {
    oneFault(withRoutes(route, { ...route, id: "b" }), "/routes/1", `"b" overlaps route "a"`)
    oneFault(withRoutes({ ...route, hosts: ["x", "Y"] }, { ...route, id: "b", hosts: ["y"] }), `"b" overlaps route "a"`)
    expect(withRoutes({ ...route, hosts: ["x"] }, { ...route, id: "b", hosts: ["y"] })).toEqual([])
    expect(withRoutes(route, { ...route, id: "b", hosts: ["y"] })).toEqual([])
  })
  test("two of one id", () => oneFault(withRoutes(route, { ...route, path: "/b" }), "/routes/1", `second route "a"`))
  test("on the gateway's own paths", () => {
    for (const path of ["/auth", "/auth/x", "/.well-known", "/.well-known/jwks.json", "/openapi"])
      oneFault(withRoutes({ ...route, path }), "gateway's own")
    expect(withRoutes({ ...route, path: "/authors" })).toEqual([])
  })
  test("on paths that are not canonical, or that no request has", () => {
    for (const path of [
      "",
      "a",
      "/a/",
      "//a",
      "/a//b",
      "/a/../b",
      "/a/.",
      "/a%2fb",
      "/%61",
      "/a%20b",
      "/a;b",
      "/a?b",
      "/a#b",
      "/ä",
      "/a b",
      "/a{b}"
    ])
      expect([path, withRoutes({ ...route, path }).join()]).toEqual([
        path,
        expect.stringContaining("not a canonical path")
      ])
  })
  test("rules on such paths, or outside of the route", () => {
    oneFault(withRoutes({ ...route, rules: [{ path: "/a/%62", action: "read" }] }), "not a canonical path")
    for (const path of ["/b", "/ab", "/"])
      oneFault(withRoutes({ ...route, rules: [{ path, action: "read" }] }), "outside of the route")
  })
  test("without a rule nobody could use it", () => {
    oneFault(withRoutes({ ...route, rules: [] }), "no rule")
    oneFault(withRoutes({ id: "a", path: "/a", upstream: "http://a", service: "a" }), "no rule")
  })
  test("a public one names methods, not actions", () => {
    oneFault(withRoutes({ ...route, public: true }), "methods, not actions")
    expect(withRoutes({ ...route, public: true, rules: [{ methods: ["GET"], action: "*" }] })).toEqual([])
  })
  test("an upstream that is no origin and path", () => {
    for (const upstream of [
      "a:80",
      "ftp://a",
      "file:///x",
      "//a",
      "http://u:p@a",
      "http://u@a",
      "http://a?x",
      "http://a#x",
      ""
    ])
      expect([upstream, withRoutes({ ...route, upstream }).length]).toEqual([upstream, 1])
  })
  test("further origins that are none", () => {
    for (const origin of [
      "*",
      "null",
      "friend.test",
      "https://friend.test/",
      "https://friend.test/x",
      "https://FRIEND.test"
    ])
      expect([origin, withRoutes({ ...route, origins: [origin] }).length]).toEqual([origin, 1])
  })
  test("characters that no route may allow, methods and numbers that are none", () => {
    for (const wrong of [
      { allowCharacters: ["%2f"] },
      { allowCharacters: [".."] },
      { rules: [{ methods: ["TRACE"], action: "read" }] },
      { rules: [{ methods: ["get"], action: "read" }] },
      { rules: [{ methods: [], action: "read" }] },
      { rules: [{ action: "Read" }] },
      { maxBodyBytes: 0 },
      { maxBodyBytes: 1.5 },
      { firstByteTimeoutMs: 0 },
      { firstByteTimeoutMs: 3_600_000 },
      { hosts: [] },
      { service: "A" },
      { id: "" }
    ])
      expect([wrong, withRoutes({ ...route, ...wrong }).length > 0]).toEqual([wrong, true])
  })
})

describe("providers and seeds", () => {
  test("two providers of one id", () =>
    oneFault(faults({ providers: [hub, hub], routes: [] }), `second provider "hub"`))
  test("a seed for an unknown provider", () => {
    oneFault(
      faults({ providers: [hub], routes: [], firstOwner: { provider: "hab", subject: "1" } }),
      `no provider "hab"`
    )
    const grant = { person: { provider: "hab", email: "a@b" }, role: "viewer", environment: "*" }
    oneFault(faults({ providers: [hub], routes: [], grants: [grant] }), `no provider "hab"`)
  })
  const development = { ...hub, id: "dev", kind: "oidc", issuer: "http://localhost:9000" }
  test("a development provider is refused by name where the public URL is no loopback address", () => {
    const content = { providers: [hub, development], routes: [] }
    oneFault(faults(content), "/providers/1", `development provider "dev" is refused`)
    for (const url of ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"])
      expect(faults(content, url)).toEqual([])
    for (const url of ["https://localhost.test", "https://127.0.0.1.test", "https://127.evil.test"])
      expect(faults(content, url)).toHaveLength(1)
  })
  test("a provider elsewhere must be reached over https", () => {
    for (const provider of [
      { ...development, issuer: "http://id.test" },
      { ...hub, baseUrl: "http://hub.test", apiUrl: "https://api.test" },
      { ...hub, baseUrl: "https://hub.test", apiUrl: "http://api.test" },
      { ...hub, apiUrl: "http://api.test" }
    ])
      oneFault(faults({ providers: [provider], routes: [] }), "over https")
  })
})

describe("namespaces", () => {
  test("are environments, each once, twenty at most, and not of a public route", () => {
    for (const [namespaces, part] of [
      [[], "/routes/0/namespaces"],
      [["Prod"], "/routes/0/namespaces/0"],
      [["*"], "/routes/0/namespaces/0"],
      [["prod", "prod"], "a namespace twice"],
      [Array.from({ length: 21 }, (_, n) => `n${n}`), "/routes/0/namespaces"]
    ] as const) {
      oneFault(withRoutes({ ...route, namespaces }), part)
    }
    oneFault(withRoutes({ ...route, rules: undefined, public: true, namespaces: ["prod"] }), "public route")
  })
})

describe("workloads", () => {
  const workload = { id: "one", role: "watchman", identity: { key: { file: "/one.jwk" } } }
  const account = (namespace: string, serviceAccount: string) => ({ kubernetes: { namespace, serviceAccount } })
  const withWorkloads = (...workloads: ReadonlyArray<object>) => faults({ providers: [hub], routes: [], workloads })
  test("have an id and an identity of their own", () => {
    oneFault(withWorkloads(workload, { ...workload, identity: { key: { file: "/b" } } }), "/workloads/1", `"one"`)
    oneFault(withWorkloads(workload, { ...workload, id: "two" }), "/workloads/1", "/one.jwk", `"one"`)
    const identity = account("prod", "a")
    oneFault(
      withWorkloads({ ...workload, identity }, { ...workload, id: "two", identity }),
      "/workloads/1",
      "prod/a",
      `"one"`
    )
    expect(withWorkloads({ ...workload, identity }, { ...workload, id: "two", identity: account("dev", "a") })).toEqual(
      []
    )
  })
  test("of another form are refused with their place", () => {
    for (const [changes, place] of [
      [{ id: "One" }, "/workloads/0/id"],
      [{ role: "Watchman" }, "/workloads/0/role"],
      [{ role: undefined }, "/workloads/0/role"],
      [{ environment: "*" }, "/workloads/0/environment"],
      [{ label: "a\nb" }, "/workloads/0/label"],
      [{ label: "" }, "/workloads/0/label"],
      [{ identity: undefined }, "/workloads/0/identity"],
      [{ identity: {} }, "/workloads/0/identity"],
      [{ identity: { key: { file: "" } } }, "/workloads/0/identity"],
      [{ identity: { key: { file: "/a", jwk: {} } } }, "/workloads/0/identity"],
      [{ identity: { ...account("a", "b"), key: { file: "/a" } } }, "/workloads/0/identity"],
      [{ identity: account("a.b", "b") }, "/workloads/0/identity"],
      [{ identity: account("a", "B") }, "/workloads/0/identity"],
      [{ identity: account("a", "b:c") }, "/workloads/0/identity"],
      [{ identity: account("*", "b") }, "/workloads/0/identity"],
      [{ rights: [] }, "/workloads/0/rights"]
    ] as const) {
      const found = withWorkloads({ ...workload, ...changes })
      expect([changes, found.length > 0, found.every((fault) => fault.startsWith(place))]).toEqual([
        changes,
        true,
        true
      ])
    }
  })
  test("are no identity provider, and no provider may be called so", () => {
    oneFault(faults({ providers: [{ ...hub, id: "workload" }], routes: [] }), "/providers/0", "workload")
  })
})
