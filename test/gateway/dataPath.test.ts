/** R1 and R2 by the byte: what reaches a route, under which host and framing, and what is turned away before any route code runs. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type Echo, type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { exchange, type RawAnswer, rawUpstream, type RawUpstream, request } from "#test/gateway/rawHttp.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let wire: RawUpstream
let gateway: GatewayFixture
let owner: Person
let viewer: Person

beforeAll(async () => {
  echo = startEcho()
  wire = await rawUpstream("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
  const upstream = echo.url
  gateway = await startGateway({
    env: { GATEWAY_HOSTS: "other.test" },
    settings: {
      providers: [provider],
      routes: [
        { id: "start", path: "/", upstream, service: "dashboard", rules: [{ methods: ["GET"], action: "read" }] },
        {
          id: "admin",
          path: "/admin",
          upstream,
          service: "admin",
          rules: [{ action: "read" }, { path: "/admin/undo", action: "undo" }]
        },
        { id: "open", path: "/admin/public", upstream, service: "open", public: true },
        { id: "wire", path: "/wire", upstream: wire.url, service: "wire", public: true },
        { id: "mounted", path: "/svc/x", upstream: `${wire.url}/at`, service: "x", public: true, stripPrefix: true },
        { id: "semicolon", path: "/semi", upstream: wire.url, service: "x", public: true, allowCharacters: [";"] },
        { id: "other", path: "/", hosts: ["other.test"], upstream: wire.url, service: "x", public: true }
      ]
    }
  })
  owner = await gateway.person()
  viewer = await gateway.person([{ role: "viewer" }])
})
afterAll(async () => {
  await gateway?.stop()
  await wire?.stop()
  await echo?.stop()
})

const host = () => new URL(gateway.origin).host
const send = (target: string, fields: ReadonlyArray<string> = [], method = "GET") =>
  exchange(gateway.port, request(method, target, host(), fields))
const asOwner = () => [`Cookie: ${owner.cookie}`]
const echoOf = (answer: RawAnswer) => JSON.parse(answer.body) as Echo
/** Asserts the status, and that no upstream saw anything. */
const turnedAway = async (status: number | ReadonlyArray<number>, ask: () => Promise<RawAnswer>) => {
  const before = [echo.count(), wire.heads.length]
  const answer = await ask()
  expect([status].flat()).toContain(answer.status)
  expect([echo.count(), wire.heads.length]).toEqual(before)
  return answer
}

describe("R1: a path that can be read in two ways is refused before any route", () => {
  const targets = [
    "//admin/public",
    "/admin//public",
    "/admin/public/%252e%252e/undo",
    "/admin/public/%25252e%25252e/undo",
    "/admin/public%2f..%2fundo",
    "/admin/public%2f..%2f../undo",
    "/admin/public/..%5cundo",
    "/admin/public%255c",
    "/admin%2fpublic",
    "/admin%252Fpublic",
    "/admin/public%00/undo",
    "/admin/public%2500",
    "/admin/public;/undo",
    "/admin/public/..;/undo",
    "/admin/public%3b",
    "/admin/public#/undo",
    "/admin/public%23",
    "/admin/public%3f",
    "/admin/public/%zz",
    "/admin/public/%",
    "/admin/public/%c0%ae%c0%ae/undo",
    "/admin/public/%ef%bc%8e%ef%bc%8e/undo",
    "/admin/public%ef%bc%8fx",
    "/admin/public%ef%bc%852fx",
    "/admin/public/%7f",
    "/admin/public?a#b",
    `/admin/public/${"a".repeat(8200)}`
  ]
  for (const target of targets) {
    test(JSON.stringify(target.slice(0, 60)), async () => {
      await turnedAway(400, () => send(target, asOwner()))
    })
  }
  test("raw bytes that end or break the request line", async () => {
    for (const target of ["/admin/public\x00", "/admin/public\t", "/admin/pub lic", "/admin/public\x01\r", ""])
      await turnedAway([400, 505, 0], () => send(target, asOwner()))
  })
  test("a path that decodes to one of another route", async () => {
    for (const target of ["/%61dmin/x", "/adm%69n", "/%2561dmin/x", "/%ef%bd%81dmin", "/%61uth/me", "/.well%2dknown/x"])
      await turnedAway(400, () => send(target, asOwner()))
  })
  test("a path that decodes to one of another rule of its route", async () => {
    for (const target of ["/admin/%75ndo", "/admin/und%6f/x", "/admin/%2575ndo", "/admin/%ef%bd%95ndo"])
      await turnedAway(400, () => send(target, asOwner()))
  })
})

describe("R1: a path belongs to the route of its whole segments, by case", () => {
  const routes = async (target: string) => (await send(target, [`Cookie: ${viewer.cookie}`])).status
  test("/admin, /admin/ and /admin/x belong to /admin", async () => {
    for (const target of ["/admin", "/admin/", "/admin/x", "/admin?x", "/admin/undone"]) {
      expect(echoOf(await send(target, asOwner())).headers["x-gatehouse-identity"]).toBeDefined()
      expect(audienceOf(echoOf(await send(target, asOwner())))).toBe("admin.test")
    }
  })
  test("/administer, /Admin and /ADMIN do not", async () => {
    for (const target of ["/administer", "/Admin", "/ADMIN/undo", "/admin-x", "/admin.json"])
      expect(audienceOf(echoOf(await send(target, asOwner())))).toBe("dashboard.test")
  })
  test("a rule for a part of a route holds for that part alone", async () => {
    expect(await routes("/admin/x")).toBe(200)
    expect(await routes("/admin/undo")).toBe(403)
    expect(await routes("/admin/undo/7")).toBe(403)
    expect(await routes("/admin/undone")).toBe(200)
  })
  test("what the listener has resolved is decided as it is forwarded", async () => {
    for (const target of [
      "/admin/public/../undo",
      "/admin/public/%2e%2e/undo",
      "/admin/public/.%2E/undo",
      "/admin/public\\..\\undo"
    ]) {
      expect(await routes(target)).toBe(403)
      expect(echoOf(await send(target, asOwner())).target).toBe("/admin/undo")
    }
  })
  test("an absolute-form target is decided by its path and the Host header", async () => {
    expect(echoOf(await send(`http://evil.test/admin/x`, asOwner())).target).toBe("/admin/x")
    await turnedAway(421, () => exchange(gateway.port, request("GET", `${gateway.origin}/admin/public`, "evil.test")))
    await turnedAway(400, () => send("http:///admin//public"))
    for (const target of ["*", "admin/public", "?x=/admin/public", "http:"])
      await turnedAway([400, 0], () => send(target))
  })
})

const audienceOf = ({ headers }: Echo): string => {
  const [, payload = ""] = (headers["x-gatehouse-identity"] ?? "").split(".")
  return (JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { aud: string }).aud
}

describe("R1: bytes are forwarded unchanged", () => {
  const forwarded = async (target: string) => {
    const answer = await send(target)
    expect(answer.status).toBe(200)
    return wire.heads.at(-1)!.split("\r\n")[0]
  }
  test("path and query, escapes and all", async () => {
    for (const target of [
      "/wire",
      "/wire/",
      "/wire/a%20b/%C3%A4/%e6%97%a5",
      "/wire/100%25/x",
      "/wire/~a-b_c.d!$&'()*+,=:@",
      "/wire/a|b",
      "/wire?",
      "/wire/x?a=%2f..%2F&b=//..;\\&c=%00",
      "/wire/x?a[]=1&a[]=2&q={}|^`"
    ])
      expect(await forwarded(target)).toBe(`GET ${target} HTTP/1.1`)
  })
  test("a stripped prefix is taken from the start alone, and the mount point put before the rest", async () => {
    expect(await forwarded("/svc/x/y/svc/x?z")).toBe("GET /at/y/svc/x?z HTTP/1.1")
    expect(await forwarded("/svc/x")).toBe("GET /at/ HTTP/1.1")
    expect(await forwarded("/svc/x/")).toBe("GET /at/ HTTP/1.1")
  })
  test("; where the route allows it, and only read in one way", async () => {
    expect(await forwarded("/semi/a;v=1/b")).toBe("GET /semi/a;v=1/b HTTP/1.1")
    for (const target of ["/semi/..;/x", "/semi/;/x", "/semi;/x", "/admin;x/semi"])
      await turnedAway(400, () => send(target))
  })
})

describe("R2: Host must equal one configured public name, else 421 and no route runs", () => {
  const ask = (hosts: string | ReadonlyArray<string>, target = "/admin/public/x") =>
    exchange(gateway.port, request("GET", target, hosts))
  test("short hosts, by which a router may find another path", async () => {
    for (const short of ["a", "ab", "abc", "x:1", "x"]) await turnedAway(421, () => ask(short))
  })
  test("an unknown host", async () => {
    for (const unknown of [
      "evil.test",
      "localhost.evil.test",
      "evil.localhost",
      "127.0.0.1",
      "[::1]",
      "localhos",
      "xlocalhost"
    ])
      await turnedAway(421, () => ask(unknown))
  })
  test("no host at all", async () => {
    await turnedAway(400, () => exchange(gateway.port, "GET /admin/public HTTP/1.1\r\nConnection: close\r\n\r\n"))
    await turnedAway([400, 421], () => exchange(gateway.port, "GET /admin/public HTTP/1.0\r\n\r\n"))
    await turnedAway([400, 421], () => ask(""))
  })
  test("two hosts, equal or not", async () => {
    await turnedAway([400, 421], () => ask(["localhost", "localhost"]))
    await turnedAway([400, 421], () => ask([host(), host()]))
    await turnedAway([400, 421], () => ask(["localhost", "evil.test"]))
    await turnedAway([400, 421], () => ask(["evil.test", "localhost"]))
    await turnedAway([400, 421], () => ask("localhost, localhost"))
  })
  test("a host with more than a name and a port", async () => {
    for (const odd of [
      "user@localhost",
      "localhost/evil",
      "localhost/admin/public",
      "localhost?x",
      "localhost#x",
      "localhost:80:80",
      "localhost:x",
      "localhost:",
      "localhost:123456",
      "localhost.",
      "loc%61lhost",
      "http://localhost",
      "[localhost]",
      "localhost\\x"
    ])
      await turnedAway([400, 421], () => ask(odd))
  })
  test("a known name in any case, with any port", async () => {
    for (const known of ["localhost", "LOCALHOST", "LocalHost:1", "localhost:65535", host()])
      expect((await ask(known)).status).toBe(200)
  })
  test("each of several public names has its own routes", async () => {
    expect((await ask("other.test", "/")).body).toBe("ok")
    expect((await ask("OTHER.test:8443", "/anything")).body).toBe("ok")
    expect((await ask("localhost", "/")).status).toBe(401)
  })
})

describe("R2: methods and framing", () => {
  const post = (fields: ReadonlyArray<string>, body: string, version = "1.1") =>
    exchange(
      gateway.port,
      [`POST /admin/public HTTP/${version}`, `Host: ${host()}`, ...fields, "Connection: close", "", body].join("\r\n")
    )
  test("a method beyond the seven is answered 405 or not at all", async () => {
    for (const method of ["CONNECT", "TRACE", "PROPFIND", "PURGE", "QUERY", "LOCK"])
      await turnedAway([405, 400], () => send("/admin/public", [], method))
    for (const method of ["get", "FOO", "G\tET"])
      await turnedAway([400, 405, 505, 0], () => send("/admin/public", [], method))
    await turnedAway([400, 405], () => exchange(gateway.port, request("CONNECT", "localhost:22", host())))
  })
  test("the seven are passed", async () => {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
      expect(echoOf(await send("/admin/public", ["Content-Length: 0"], method)).method).toBe(method)
    expect((await send("/admin/public", [], "HEAD")).status).toBe(200)
  })
  test("Content-Length twice, even equal", async () => {
    await turnedAway(400, () => post(["Content-Length: 3", "Content-Length: 3"], "abc"))
    await turnedAway(400, () => post(["Content-Length: 3", "Content-Length: 4"], "abcd"))
    await turnedAway(400, () => post(["Content-Length: 3, 3"], "abc"))
  })
  test("a Content-Length that is no number", async () => {
    for (const length of ["-1", "+3", "0x3", "3;", "1e1", "", "99999999999999999999"])
      await turnedAway([400, 413], () => post([`Content-Length: ${length}`], "abc"))
  })
  test("Transfer-Encoding beside Content-Length", async () => {
    await turnedAway(400, () => post(["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"))
    await turnedAway(400, () => post(["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n"))
  })
  test("a Transfer-Encoding other than chunked", async () => {
    for (const coding of [
      "xchunked",
      "identity",
      "gzip, chunked",
      "chunked, identity",
      "chunked, chunked",
      "\x0bchunked"
    ])
      await turnedAway([400, 501], () => post([`Transfer-Encoding: ${coding}`], "0\r\n\r\n"))
    await turnedAway([400, 501], () => post(["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], "0\r\n\r\n"))
    await turnedAway([400, 501], () => post(["Transfer-Encoding : chunked"], "0\r\n\r\n"))
    await turnedAway([400, 501], () => post(["Transfer-Encoding: chunked"], "0\r\n\r\n", "1.0"))
  })
  test("an Upgrade other than websocket", async () => {
    await turnedAway(400, () => send("/admin/public", ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]))
    await turnedAway(400, () => send("/admin/public", ["Upgrade: websocket, h2c"]))
    await turnedAway(400, () => send("/admin/public", ["Upgrade: websocket", "Upgrade: h2c"]))
    await turnedAway(400, () => send("/admin/public", ["Upgrade: TLS/1.0"]))
    await turnedAway([400, 505, 0], () => exchange(gateway.port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
  })
  test("folded lines, NUL, bare CR and spaced names", async () => {
    await turnedAway(400, () => send("/admin/public", ["X-A: 1\r\n folded"]))
    await turnedAway(400, () => send("/admin/public", ["X-A: a\0b"]))
    await turnedAway(400, () => send("/admin/public", ["X-A: a\rX-B: b"]))
    await turnedAway(400, () => send("/admin/public", ["X-A : 1"]))
    await turnedAway(400, () => send("/admin/public", [" X-A: 1"]))
    await turnedAway(400, () => send("/admin/public", ["X A: 1"]))
    await turnedAway(400, () => send("/admin/public", [": 1"]))
  })
  test("chunks that are none", async () => {
    for (const body of ["x\r\nabc\r\n0\r\n\r\n", "-1\r\n\r\n", "ffffffffffffffffff\r\n", "3\r\nabcd\r\n0\r\n\r\n"]) {
      const answer = await post(["Transfer-Encoding: chunked"], body)
      expect(answer.status === 0 || answer.status >= 400).toBe(true)
    }
  })
  test("a smuggled second request is no request of the first connection's upstream", async () => {
    const before = wire.heads.length
    await exchange(
      gateway.port,
      `POST /wire HTTP/1.1\r\nHost: ${host()}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /wire/smuggled HTTP/1.1\r\nHost: ${host()}\r\nConnection: close\r\n\r\n`
    )
    await exchange(
      gateway.port,
      `GET /wire HTTP/1.1\r\nHost: ${host()}\r\nContent-Length: 60\r\nConnection: close\r\n\r\nGET /wire/smuggled HTTP/1.1\r\nHost: ${host()}\r\n\r\n`.padEnd(
        200
      )
    )
    expect(wire.heads.slice(before).filter((head) => head.includes("smuggled"))).toEqual([])
  })
  test("too many or too large header fields", async () => {
    await turnedAway([400, 431, 0], () => send("/admin/public", [`X-A: ${"a".repeat(64 * 1024)}`]))
    await turnedAway([400, 431, 0], () =>
      send(
        "/admin/public",
        Array.from({ length: 300 }, (_, index) => `X-${index}: a`)
      )
    )
  })
})

test("a token in the URL is refused (R14)", async () => {
  for (const name of ["access_token", "refresh_token", "id_token"])
    await turnedAway(400, () => send(`/admin/public?a=b&${name}=x`))
})

test("every refusal is problem+json with the request's id, and shows nothing of the inside", async () => {
  const answers = [
    await send("/a//b"),
    await send("/", [], "PROPFIND"),
    await exchange(gateway.port, request("GET", "/", "evil.test"))
  ]
  for (const answer of answers) {
    expect(answer.header("content-type")).toBe("application/problem+json")
    expect(answer.header("cache-control")).toBe("no-store")
    const problem = JSON.parse(answer.body) as Record<string, unknown>
    expect(Object.keys(problem).sort()).toEqual(["code", "detail", "instance", "status", "title", "type"])
    expect(problem["status"]).toBe(answer.status)
    expect(problem["instance"]).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u)
  }
})
