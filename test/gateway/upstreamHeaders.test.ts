/** R3: headers to the upstream are built, not copied; what comes back is cleaned. Byte by byte, on public and protected routes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { exchange, rawUpstream, type RawUpstream, request } from "#test/gateway/rawHttp.ts"

setDefaultTimeout(60_000)

/** Field lines of the upstream's next answers. */
let answering: ReadonlyArray<string> = []
let upstream: RawUpstream
let gateway: GatewayFixture
let proxied: GatewayFixture
let owner: Person
let token: string

const settings = () => ({
  providers: [provider],
  routes: [
    { id: "open", path: "/open", upstream: upstream.url, service: "open", public: true },
    { id: "shut", path: "/shut", upstream: upstream.url, service: "shut", rules: [{ action: "read" }] },
    {
      id: "friends",
      path: "/friends",
      upstream: upstream.url,
      service: "friends",
      public: true,
      origins: ["https://friend.test"]
    }
  ]
})

beforeAll(async () => {
  upstream = await rawUpstream(() =>
    ["HTTP/1.1 200 OK", "Content-Length: 2", ...answering, "Connection: close", "", "ok"].join("\r\n")
  )
  gateway = await startGateway({ settings: settings() })
  proxied = await startGateway({
    settings: settings(),
    env: { GATEWAY_PUBLIC_URL: "https://gate.test", TRUSTED_PROXIES: "127.0.0.1" }
  })
  owner = await gateway.person()
  token = await gateway.token(owner)
})
afterAll(async () => {
  await gateway?.stop()
  await proxied?.stop()
  await upstream?.stop()
})

const host = () => new URL(gateway.origin).host
interface Seen {
  readonly status: number
  readonly fields: Readonly<Record<string, ReadonlyArray<string>>>
}
/** What the upstream saw of a request with these field lines. */
const seen = async (path: string, lines: ReadonlyArray<string>, door = gateway, name = host()): Promise<Seen> => {
  const before = upstream.heads.length
  const { status } = await exchange(door.port, request("GET", path, name, lines))
  const head = upstream.heads[before]
  const fields: Record<string, Array<string>> = {}
  for (const line of head?.split("\r\n").slice(1) ?? []) {
    const colon = line.indexOf(":")
    ;(fields[line.slice(0, colon).toLowerCase()] ??= []).push(line.slice(colon + 1).trim())
  }
  return { status, fields }
}
const routes: Readonly<Record<string, () => { readonly path: string; readonly lines: ReadonlyArray<string> }>> = {
  "a public route": () => ({ path: "/open", lines: [] }),
  "a public route, asked by somebody logged in": () => ({ path: "/open", lines: [`Cookie: ${owner.cookie}`] }),
  "a protected route, by cookie": () => ({ path: "/shut", lines: [`Cookie: ${owner.cookie}`] }),
  "a protected route, by token": () => ({ path: "/shut", lines: [`Authorization: Bearer ${token}`] })
}

const dropped = [
  "X-Gatehouse-Identity",
  "X-Gatehouse-User",
  "x-gatehouse-anything",
  "X-Forwarded-For",
  "X-Forwarded-Proto",
  "X-Forwarded-Host",
  "X-Forwarded-Port",
  "X-Forwarded-Prefix",
  "X-Forwarded-User",
  "X-Forwarded-Client-Cert",
  "Forwarded",
  "X-Real-Ip",
  "X-Client-Ip",
  "True-Client-Ip",
  "Cf-Connecting-Ip",
  "X-Original-Url",
  "X-Original-Uri",
  "X-Original-Host",
  "X-Rewrite-Url",
  "X-HTTP-Method",
  "X-HTTP-Method-Override",
  "X-Method-Override",
  "Impersonate-User",
  "Impersonate-Group",
  "Impersonate-Extra-Scopes",
  "Proxy-Authorization",
  "Proxy-Connection",
  "Proxy-Authenticate",
  "Proxy-Anything",
  "Keep-Alive",
  "TE",
  "Trailer",
  "HTTP2-Settings",
  "Sec-WebSocket-Key",
  "X-Request-Id",
  "Traceparent",
  "Tracestate",
  "Baggage",
  "Expect"
]

for (const [where, of] of Object.entries(routes)) {
  describe(`R3: on ${where}`, () => {
    for (const name of dropped) {
      test(`${name} of a client does not reach the upstream`, async () => {
        const { lines, path } = of()
        const value = name === "TE" ? "trailers" : "forged"
        const { fields } = await seen(path, [...lines, `${name}: ${value}`])
        expect(fields["x-request-id"]).toHaveLength(1)
        expect(Object.values(fields).flat()).not.toContain(value)
      })
    }
    test("all of them together, twice and in any case, neither", async () => {
      const { lines, path } = of()
      const forged = dropped
        .filter((name) => name !== "Expect")
        .flatMap((name) => [`${name.toUpperCase()}: forged`, `${name.toLowerCase()}: forged`])
      const { fields } = await seen(path, [...lines, ...forged])
      expect(fields["x-request-id"]).toHaveLength(1)
      expect(Object.values(fields).flat().join()).not.toContain("forged")
      expect(fields["x-forwarded-for"]).toEqual(["127.0.0.1"])
    })
    test("another spelling of a name is 400", async () => {
      const { lines, path } = of()
      for (const name of [
        "X_Gatehouse_Identity",
        "X.Gatehouse.Identity",
        "X-Gatehouse_Identity",
        "X_Forwarded_For",
        "X!Gatehouse",
        "X~A",
        "X'A",
        "X|A",
        "__proto__",
        "X+A",
        "X*A"
      ])
        expect([name, await seen(path, [...lines, `${name}: forged`])]).toEqual([name, { status: 400, fields: {} }])
    })
    test("a header that Connection names is dropped, ours are not", async () => {
      const { lines, path } = of()
      const { fields } = await seen(path, [
        ...lines,
        "X-Custom: one",
        "X-Other: two",
        "Connection: x-custom, X-Gatehouse-Identity, x-request-id",
        "Connection: X-Forwarded-For, x-forwarded-host , traceparent"
      ])
      expect(fields["x-custom"]).toBeUndefined()
      expect(fields["x-other"]).toEqual(["two"])
      for (const ours of ["x-request-id", "traceparent", "x-forwarded-for", "x-forwarded-host"])
        expect(fields[ours]).toHaveLength(1)
      expect(fields["x-gatehouse-identity"]?.length).toBe(path === "/open" ? undefined : 1)
      expect(fields["connection"]?.join()).not.toContain("x-")
    })
    test("our cookie and Authorization stay here, other cookies pass", async () => {
      const { lines, path } = of()
      for (const authorization of ["Basic dXNlcjpwYXNz", "Bearer x"]) {
        const { fields } = await seen(path, [
          ...lines.filter((line) => !line.startsWith("Auth")),
          `Authorization: ${authorization}`
        ])
        expect(fields["authorization"]).toBeUndefined()
      }
      const { fields } = await seen(path, [...lines, "Cookie: theme=dark; lang=de", "Cookie: a=b"])
      expect(fields["cookie"]).toEqual(["theme=dark; lang=de; a=b"])
      expect(fields["authorization"]).toBeUndefined()
    })
  })
}

describe("R3: the gateway's own cookies", () => {
  const cookies = async (...lines: ReadonlyArray<string>) =>
    (
      await seen(
        "/open",
        lines.map((line) => `Cookie: ${line}`)
      )
    ).fields["cookie"]
  test("are taken out, in any case and place", async () => {
    expect(await cookies("__Host-gatehouse=secret")).toBeUndefined()
    expect(await cookies("a=1; __Host-gatehouse=secret; b=2")).toEqual(["a=1; b=2"])
    expect(await cookies("__Host-gatehouse-login=secret; a=1")).toEqual(["a=1"])
    expect(await cookies("a=1;__HOST-GATEHOUSE=secret;  __host-gatehouse-redirected = secret ;b=2")).toEqual([
      "a=1;b=2"
    ])
    expect(await cookies("a=1", "__Host-gatehouse=secret", "__Secure-gatehouse=secret")).toEqual(["a=1"])
  })
  test("others that only look alike pass", async () => {
    expect(await cookies("gatehouse=1; x-gatehouse=2; a=__Host-gatehouse")).toEqual([
      "gatehouse=1; x-gatehouse=2; a=__Host-gatehouse"
    ])
  })
})

describe("R3: what the gateway sets", () => {
  test("no identity on a public route, even for somebody logged in; one on a protected one", async () => {
    expect((await seen("/open", [`Cookie: ${owner.cookie}`])).fields["x-gatehouse-identity"]).toBeUndefined()
    expect((await seen("/shut", [`Cookie: ${owner.cookie}`])).fields["x-gatehouse-identity"]?.[0]).toMatch(
      /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/u
    )
  })
  test("a request id, and a trace with the same digits", async () => {
    const ids = new Set<string>()
    for (let round = 0; round < 3; round++) {
      const { fields } = await seen("/open", [])
      const id = fields["x-request-id"]![0]!
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
      const [, trace, parent] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]$/u.exec(fields["traceparent"]![0]!)!
      expect(trace).toBe(id.replaceAll("-", ""))
      expect(parent).not.toBe("0".repeat(16))
      ids.add(id)
    }
    expect(ids.size).toBe(3)
  })
  test("who asked, by which scheme and host, from configuration and the connection alone", async () => {
    const { fields } = await seen("/open", [
      "X-Forwarded-Proto: https",
      "X-Forwarded-Host: evil.test",
      "X-Forwarded-For: 1.2.3.4"
    ])
    expect(fields["x-forwarded-for"]).toEqual(["127.0.0.1"])
    expect(fields["x-forwarded-proto"]).toEqual(["http"])
    expect(fields["x-forwarded-host"]).toEqual([host()])
  })
  test("R4: the public URL comes from configuration, never from a header, the port in Host included", async () => {
    expect((await seen("/open", [], gateway, "LOCALHOST:1")).fields["x-forwarded-host"]).toEqual([host()])
    const { fields } = await seen("/open", ["X-Forwarded-Proto: http"], proxied, "gate.test:8443")
    expect(fields["x-forwarded-proto"]).toEqual(["https"])
    expect(fields["x-forwarded-host"]).toEqual(["gate.test"])
  })
  test("R4: the hop before a trusted proxy is the client, an unparsable one is not", async () => {
    const from = async (line: string) => (await seen("/open", [line], proxied, "gate.test")).fields["x-forwarded-for"]
    expect(await from("X-Forwarded-For: 1.2.3.4, 203.0.113.9")).toEqual(["203.0.113.9"])
    expect(await from("X-Forwarded-For: nonsense")).toEqual(["127.0.0.1"])
    expect(await from("Forwarded: for=203.0.113.9")).toEqual(["127.0.0.1"])
  })
  test("the upstream's own Host", async () => {
    expect((await seen("/open", [])).fields["host"]).toEqual([new URL(upstream.url).host])
  })
  test("ordinary headers pass as they are", async () => {
    const { fields } = await seen("/open", [
      "Accept: text/plain",
      "Accept-Language: de",
      'If-None-Match: "x"',
      "Range: bytes=0-1",
      "X-A: 1",
      "X-A: 2",
      "User-Agent: me"
    ])
    expect(fields).toMatchObject({
      accept: ["text/plain"],
      "accept-language": ["de"],
      "if-none-match": ['"x"'],
      range: ["bytes=0-1"],
      "x-a": ["1, 2"],
      "user-agent": ["me"]
    })
    // Who takes no coding is sent none: the answer is handed on as it comes.
    expect(fields["accept-encoding"]).toEqual(["identity"])
    expect((await seen("/open", ["Accept-Encoding: br;q=1, gzip"])).fields["accept-encoding"]).toEqual(["br;q=1, gzip"])
  })
})

describe("R3: what comes back is cleaned", () => {
  const answered = async (fields: ReadonlyArray<string>, path = "/open", lines: ReadonlyArray<string> = []) => {
    answering = fields
    const answer = await exchange(gateway.port, request("GET", path, host(), lines)).finally(() => {
      answering = []
    })
    return (name: string) => answer.headers.filter(([one]) => one === name).map(([, value]) => value)
  }
  test("fields of one connection are dropped, and those that Connection names", async () => {
    const header = await answered([
      "Keep-Alive: timeout=5",
      "Proxy-Authenticate: Basic",
      "Upgrade: h2c",
      "X-Hop: 1",
      "X-Stay: 2",
      "Connection: x-hop, keep-alive"
    ])
    for (const name of ["keep-alive", "proxy-authenticate", "upgrade", "x-hop"])
      expect([name, header(name)]).toEqual([name, []])
    expect(header("x-stay")).toEqual(["2"])
  })
  test("cookies of the gateway's names are dropped, several others stay several", async () => {
    const header = await answered([
      "Set-Cookie: a=1; Path=/; Expires=Wed, 09 Jun 2100 10:18:14 GMT",
      "Set-Cookie: __Host-gatehouse=planted; Path=/; Secure",
      "Set-Cookie: b=2; HttpOnly",
      "Set-Cookie: __Host-gatehouse-login=planted",
      "Set-Cookie:  __HOST-Gatehouse=planted",
      "Set-Cookie: c=3"
    ])
    expect(header("set-cookie")).toEqual(["a=1; Path=/; Expires=Wed, 09 Jun 2100 10:18:14 GMT", "b=2; HttpOnly", "c=3"])
  })
  test("several cookies without ours stay several too", async () => {
    expect((await answered(["Set-Cookie: a=1", "Set-Cookie: a=2"]))("set-cookie")).toEqual(["a=1", "a=2"])
  })
  test("X-Gatehouse-* is dropped", async () => {
    const header = await answered(["X-Gatehouse-Identity: x", "X-Gatehouse-Anything: y"])
    expect([header("x-gatehouse-identity"), header("x-gatehouse-anything")]).toEqual([[], []])
  })
  test("who may read an answer is the route's to say, not the upstream's", async () => {
    const header = await answered(
      ["Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true"],
      "/open",
      ["Origin: https://evil.test"]
    )
    expect([header("access-control-allow-origin"), header("access-control-allow-credentials")]).toEqual([[], []])
    const friendly = await answered(["Access-Control-Allow-Origin: https://evil.test"], "/friends", [
      "Origin: https://friend.test"
    ])
    expect(friendly("access-control-allow-origin")).toEqual(["https://friend.test"])
  })
  test("a service worker cannot claim more than its own path, nor another port the traffic", async () => {
    const header = await answered(["Service-Worker-Allowed: /", 'Alt-Svc: h3=":443"'])
    expect([header("service-worker-allowed"), header("alt-svc")]).toEqual([[], []])
  })
  test("everything else stays", async () => {
    const header = await answered([
      'ETag: "x"',
      "Cache-Control: max-age=1",
      "X-Custom: 1",
      "Vary: accept",
      'WWW-Authenticate: Basic realm="x"'
    ])
    expect([header("etag"), header("cache-control"), header("x-custom"), header("vary")]).toEqual([
      ['"x"'],
      ["max-age=1"],
      ["1"],
      ["accept"]
    ])
  })
})
