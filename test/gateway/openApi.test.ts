/** /openapi: the gateway's own routes and what each service says of itself, for one caller, with nothing a service has no say in. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { declaredRoutes, lostReferences, type OpenApiDocument, operationsOf } from "#test/shared/described.ts"

setDefaultTimeout(60_000)

interface Asked {
  readonly path: string
  readonly identity: string | null
  readonly cookie: string | null
}

const stops: Array<() => Promise<void>> = []
const asked = new Map<string, Array<Asked>>()
/** An upstream that answers everything so. */
const upstream = (id: string, answer: () => Response | Promise<Response>): string => {
  const seen: Array<Asked> = []
  asked.set(id, seen)
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    fetch: ({ headers, url }) => {
      const { pathname } = new URL(url)
      seen.push({ path: pathname, identity: headers.get("x-gatehouse-identity"), cookie: headers.get("cookie") })
      return answer()
    }
  })
  stops.push(() => server.stop(true))
  return `http://127.0.0.1:${server.port}`
}

const get = (summary: string, more: object = {}) => ({ get: { summary, operationId: "one", responses: {}, ...more } })
const answering = (paths: object, components: object = {}) => Response.json({ openapi: "3.1.0", paths, components })
const nested = (depth: number): object => (depth === 0 ? {} : { items: nested(depth - 1) })

let gateway: GatewayFixture
let owner: Person
let viewer: Person
let stranger: Person

beforeAll(async () => {
  const reply = (id: string, answer: () => Response | Promise<Response>) => ({
    id,
    path: `/${id}`,
    upstream: upstream(id, answer),
    service: id,
    rules: [{ methods: ["GET"], action: "read" }]
  })
  const gone = upstream("gone", () => new Response())
  await stops.pop()!()
  gateway = await startGateway({
    settings: {
      providers: [provider],
      routes: [
        reply("monitor", () =>
          answering(
            {
              "/monitor/host": get("host", {
                security: [],
                servers: [{ url: "https://elsewhere.test" }],
                responses: {
                  200: { $ref: "#/components/responses/Host" },
                  400: { $ref: "https://elsewhere.test/problem.json" },
                  404: { $ref: "#/components/responses/Nothing" }
                }
              }),
              "/monitor/sub/inner": get("of another route"),
              "/monitored": get("only spelt alike"),
              "/admin/undo": get("of another service"),
              "/auth/me": get("of the gateway"),
              "/": get("of the start")
            },
            {
              responses: {
                Host: { description: "", content: { any: { schema: { $ref: "#/components/schemas/Host" } } } }
              },
              schemas: {
                Host: { properties: { next: { $ref: "#/components/schemas/Host" }, $ref: { type: "string" } } }
              },
              securitySchemes: { mine: { type: "http", scheme: "basic" } }
            }
          )
        ),
        { ...reply("inner", () => answering({ "/x": get("x") })), path: "/monitor/sub", stripPrefix: true },
        {
          ...reply("start", () =>
            answering({ "/monitor/fake": get("fake"), "/auth/x": get("fake"), "/start": get("start") })
          ),
          path: "/"
        },
        reply("admin", () => answering({ "/admin/undo": get("undo") })),
        reply("silent", () => new Response("no", { status: 404 })),
        reply("page", () => new Response("<!doctype html>", { headers: { "content-type": "text/html" } })),
        reply("slow", () => new Promise(() => {})),
        reply("huge", () => new Response(new Uint8Array(2 * 1024 * 1024))),
        reply("deep", () => answering({ "/deep/x": get("x", { requestBody: nested(5000) }) })),
        reply(
          "broken",
          () => new Response("<!doctype html>", { status: 500, headers: { "content-type": "text/html" } })
        ),
        reply("other", () => Response.json({ swagger: "2.0", paths: {} })),
        { ...reply("refusing", () => new Response()), upstream: gone },
        { id: "open", path: "/open", upstream: upstream("open", () => answering({})), service: "open", public: true }
      ]
    }
  })
  owner = await gateway.person()
  viewer = await gateway.person([{ role: "viewer" }])
  stranger = await gateway.person([])
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all(stops.map((stop) => stop()))
})

const read = async (headers: Readonly<Record<string, string>>) => {
  const answer = await gateway.ask("/openapi", { headers })
  expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"])
  return (await answer.json()) as OpenApiDocument
}
const foreign = (document: OpenApiDocument) =>
  Object.keys(document.paths).filter((path) => !/^\/(?:auth|\.well-known|openapi)(?:\/|$)/u.test(path))

describe("/openapi", () => {
  test("is for those who are logged in", async () => {
    const before = asked.get("monitor")!.length
    const answer = await gateway.ask("/openapi")
    expect([answer.status, asked.get("monitor")!.length]).toEqual([401, before])
  })

  test("describes every route of the gateway, by what it takes, answers and refuses", async () => {
    const document = await read({ cookie: stranger.cookie })
    const operations = operationsOf(document)
    const declared = declaredRoutes("gateway")
    expect(declared.length).toBeGreaterThan(20)
    expect([...operations.keys()].toSorted()).toEqual(declared.toSorted())
    for (const [name, { responses = {}, summary = "" }] of operations) {
      expect([name, summary !== "", Object.keys(responses).some((status) => status < "400")]).toEqual([
        name,
        true,
        true
      ])
    }
    expect(operations.get("patch /auth/users/{id}")!.requestBody!.content).toEqual({
      "application/json": {
        schema: {
          type: "object",
          properties: { disabled: { type: "boolean" } },
          required: ["disabled"],
          additionalProperties: false
        }
      }
    })
    expect(Object.keys(operations.get("post /auth/token")!.requestBody!.content)).toEqual([
      "application/x-www-form-urlencoded"
    ])
    expect(operations.get("get /auth/users")!.parameters!.find(({ name }) => name === "limit")!.schema).toEqual({
      type: "integer",
      minimum: 1,
      maximum: 200
    })
    expect([operations.get("get /auth/login")!.security, operations.get("get /auth/me")!.security]).toEqual([
      [],
      undefined
    ])
    expect(document).toMatchObject({ openapi: "3.1.0", servers: [{ url: gateway.origin }] })
    expect(Object.keys(document.components["securitySchemes"]!)).toEqual(["session", "bearer"])
  })

  test("shows each service's own paths and those of no other", async () => {
    const document = await read({ cookie: owner.cookie })
    expect(foreign(document).toSorted()).toEqual(["/admin/undo", "/monitor/host", "/monitor/sub/x", "/start"])
    const operations = operationsOf(document)
    expect(operations.get("get /admin/undo")!.summary).toBe("undo")
    expect(operations.get("get /auth/me")!.summary).not.toBe("of the gateway")
    expect(Object.keys(document.paths)).not.toContain("/auth/x")
    expect(asked.get("monitor")!.at(-1)!.path).toBe("/monitor/openapi.json")
    expect(asked.get("inner")!.at(-1)!.path).toBe("/openapi.json")
  })

  test("lets no service say where or how one logs in, and leaves no reference open", async () => {
    const document = await read({ cookie: owner.cookie })
    expect(lostReferences(document)).toEqual([])
    expect(operationsOf(document).get("get /monitor/host")).toEqual({
      summary: "host",
      operationId: "monitor.one",
      responses: { 200: { content: undefined, $ref: "#/components/responses/monitor.Host" } as never, 400: {}, 404: {} }
    })
    expect(Object.keys(document.components["securitySchemes"]!)).toEqual(["session", "bearer"])
    expect(document.components["schemas"]!["monitor.Host"]).toEqual({
      properties: { next: { $ref: "#/components/schemas/monitor.Host" }, $ref: { type: "string" } }
    })
  })

  test("names the services that could not be asked, without their address, and is silent on those without an API", async () => {
    const document = await read({ cookie: owner.cookie })
    expect(document["x-gatehouse-unavailable"]).toEqual([
      { route: "slow", reason: "it does not answer in time" },
      { route: "huge", reason: "its answer is longer than 1048576 bytes" },
      { route: "deep", reason: "its description nests too deep" },
      { route: "broken", reason: "it answers 500" },
      { route: "other", reason: "its answer is no OpenAPI 3 description" },
      { route: "refusing", reason: "it cannot be reached" }
    ])
    expect(asked.get("open")).toEqual([])
  })

  test("asks only the services on which the caller has a right, with their identity and no cookie", async () => {
    const [before, adminBefore] = [asked.get("slow")!.length, asked.get("admin")!.length]
    const document = await read({ cookie: viewer.cookie })
    expect(foreign(document).toSorted()).toEqual(["/admin/undo", "/monitor/host"])
    expect([document["x-gatehouse-unavailable"], asked.get("slow")!.length]).toEqual([[], before])
    const seen = asked.get("admin")!.slice(adminBefore)
    expect(seen.map(({ cookie }) => cookie)).toEqual([null])
    const claims = JSON.parse(Buffer.from(seen[0]!.identity!.split(".")[1]!, "base64url").toString())
    expect(claims).toMatchObject({ sub: viewer.userId, aud: "admin.test", scope: "admin:read" })
  })

  test("a confined access token sees what it is confined to", async () => {
    const token = await gateway.token(owner, "admin:read")
    const document = await read({ authorization: `Bearer ${token}` })
    expect([foreign(document), document["x-gatehouse-unavailable"]]).toEqual([["/admin/undo"], []])
  })
})
