/** R14 with Kubernetes: a service account's token opens what its workload may, once the API server has vouched for it; no other token does, and no answer of it is a no. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { stringify } from "yaml"
import type { TokenResponse } from "#shared/api/auth.ts"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayDatabase, type GatewayFixture, provider, startGateway } from "#test/gateway/fixture.ts"
import { freePort } from "#test/shared/freePort.ts"
import { signed } from "#test/gateway/loginFixture.ts"
import { exchange, type Folder, type KeyFile, makeFolder } from "#test/gateway/workloadFixture.ts"

setDefaultTimeout(60_000)

interface Asked {
  readonly path: string
  readonly body: unknown
}
/** An API server that reviews tokens as a test says. */
const apiServer = {
  asked: [] as Array<Asked>,
  status: 201,
  review: undefined as unknown
}
let server: Bun.Server<undefined>
let echo: EchoUpstream
let folder: Folder
let cluster: KeyFile
let gateway: GatewayFixture

const kubeconfig = (url: string) =>
  stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    contexts: [{ name: "test", context: { cluster: "test", user: "gateway" } }],
    clusters: [{ name: "test", cluster: { server: url } }],
    users: [{ name: "gateway", user: {} }]
  })
const settings = () => ({
  providers: [provider],
  routes: [{ id: "admin", path: "/admin", upstream: echo.url, service: "admin", rules: [{ action: "propose" }] }],
  workloads: [
    {
      id: "scheduler",
      role: "watchman",
      identity: { kubernetes: { namespace: "test", serviceAccount: "scheduler" } }
    }
  ]
})
const start = (file: string, database?: GatewayDatabase) =>
  startGateway({
    settings: settings(),
    env: { GATEWAY_KUBERNETES: file },
    ...(database === undefined ? {} : { database })
  })

beforeAll(async () => {
  echo = startEcho()
  folder = makeFolder()
  cluster = folder.key("cluster")
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    fetch: async (request) => {
      apiServer.asked.push({ path: new URL(request.url).pathname, body: await request.json() })
      const answer = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", metadata: {} }
      return Response.json({ ...answer, status: apiServer.review }, { status: apiServer.status })
    }
  })
  gateway = await start(folder.write("kubeconfig", kubeconfig(`http://127.0.0.1:${server.port}`)))
})
afterAll(async () => {
  await gateway?.stop()
  await server?.stop(true)
  await echo?.stop()
  folder?.remove()
})

const account = (name: string) => `system:serviceaccount:${name}`
const yes = (more: object = {}) => ({
  authenticated: true,
  user: {
    username: account("test:scheduler"),
    extra: { "authentication.kubernetes.io/pod-name": ["scheduler-0"] }
  },
  audiences: ["gateway.test"],
  ...more
})
beforeEach(() => Object.assign(apiServer, { asked: [], status: 201, review: yes() }))

/** A service account token as a cluster makes it. */
const serviceAccountToken = (changes: object = {}) => {
  const now = Math.floor(Date.now() / 1000)
  return signed(
    cluster,
    {
      iss: "https://kubernetes.default.svc",
      sub: account("test:scheduler"),
      aud: ["gateway.test"],
      iat: now,
      exp: now + 3600,
      "kubernetes.io": { namespace: "test", serviceaccount: { name: "scheduler", uid: "u" } },
      ...changes
    },
    { typ: undefined }
  )
}
const count = async (table: string, where = "true") =>
  (await gateway.database.query(`SELECT count(*)::int AS n FROM ${table} WHERE ${where}`))[0]!["n"] as number
const errorOf = async (asked: Promise<Response>) => {
  const answer = await asked
  const body = (await answer.json()) as Record<string, unknown>
  return [answer.status, body["error"] ?? body["code"]]
}
const lastRefusal = async () => {
  const rows = await gateway.database.query(
    "SELECT detail FROM audit WHERE event = 'workload.refused' ORDER BY id DESC"
  )
  return rows[0]?.["detail"]
}

test("the API server is asked, and its yes opens what the workload may", async () => {
  const token = serviceAccountToken()
  const answer = await exchange(gateway, token, { scope: "admin:propose" })
  const { access_token: access, ...rest } = (await answer.json()) as TokenResponse
  expect([answer.status, rest.scope, rest.refresh_token]).toEqual([200, "admin:propose", undefined])
  expect(apiServer.asked).toEqual([
    {
      path: "/apis/authentication.k8s.io/v1/tokenreviews",
      body: expect.objectContaining({ kind: "TokenReview", spec: { token, audiences: ["gateway.test"] } })
    }
  ])
  const proposed = await gateway.ask("/admin/proposals", {
    method: "POST",
    headers: { authorization: `Bearer ${access}` }
  })
  expect(proposed.status).toBe(200)
  const audit = await gateway.database.query("SELECT detail FROM audit WHERE event = 'workload.exchanged'")
  expect(audit).toEqual([
    { detail: { workload: "scheduler", scope: "admin:propose", identity: "kubernetes", pod: "scheduler-0" } }
  ])
})

describe("R14 attack: a service account token is invalid_grant, and leaves no session", () => {
  const cases: Readonly<Record<string, readonly [review: object, reason: string]>> = {
    "that the API server does not know": [
      { authenticated: false, error: "invalid bearer token" },
      "the API server does not know the token, or not for this gateway"
    ],
    "that was made for another audience": [
      yes({ audiences: ["https://kubernetes.default.svc"] }),
      "the token was made for another audience"
    ],
    "of another namespace": [
      yes({ user: { username: account("prod:scheduler") } }),
      "no workload is this service account"
    ],
    "of another service account": [
      yes({ user: { username: account("test:default") } }),
      "no workload is this service account"
    ],
    "of a person": [yes({ user: { username: "scheduler" } }), "the token is no service account's"]
  }
  for (const [what, [review, reason]] of Object.entries(cases)) {
    test(what, async () => {
      await gateway.database.query("DELETE FROM sessions")
      apiServer.review = review
      expect(await errorOf(exchange(gateway, serviceAccountToken()))).toEqual([400, "invalid_grant"])
      expect(await count("sessions")).toBe(0)
      expect(await lastRefusal()).toMatchObject({ reason })
    })
  }
  test("that says itself that it is not for us, without bothering the API server", async () => {
    for (const changes of [
      { aud: ["https://kubernetes.default.svc"] },
      { aud: "gateway.prod" },
      { aud: undefined },
      { sub: account("test:default") },
      { sub: account("prod:scheduler") },
      { sub: "scheduler" },
      { sub: undefined }
    ]) {
      expect(await errorOf(exchange(gateway, serviceAccountToken(changes)))).toEqual([400, "invalid_grant"])
    }
    expect(apiServer.asked).toEqual([])
  })
})

describe("the start is refused by the key's name", () => {
  for (const [what, source, detail] of [
    ["without a cluster around it", "in-cluster", "KUBERNETES_SERVICE_HOST is not set"],
    ["by a kubeconfig that is not there", "/nowhere/kubeconfig", "cannot be read"],
    ["by a kubeconfig that names no context", () => folder.write("empty", "clusters: []"), "kubeconfig"]
  ] as const) {
    test(what, async () => {
      const refused = start(typeof source === "string" ? source : source(), gateway.database)
      expect(await refused.catch((error: Error) => error.message)).toMatch(
        new RegExp(`^GATEWAY_KUBERNETES: .*${detail}`, "u")
      )
    })
  }
})

describe("while the API server cannot be asked", () => {
  test("an exchange is 503 with Retry-After and leaves no session, whatever is wrong with it", async () => {
    await gateway.database.query("DELETE FROM sessions")
    for (const [status, review] of [
      [500, undefined],
      [401, undefined],
      [403, undefined],
      [201, undefined],
      [201, "yes"]
    ] as const) {
      Object.assign(apiServer, { status, review })
      const answer = await exchange(gateway, serviceAccountToken())
      expect([status, answer.status, answer.headers.get("retry-after")]).toEqual([status, 503, "5"])
    }
    expect(await count("sessions")).toBe(0)
  })
  test("one that is not there is 503 too, and everything else goes on", async () => {
    const port = await freePort()
    const own = await start(folder.write("away", kubeconfig(`http://127.0.0.1:${port}`)))
    try {
      expect(await errorOf(exchange(own, serviceAccountToken()))).toEqual([503, "unavailable"])
      const person = await own.person()
      expect((await own.ask("/admin/x", { headers: { cookie: person.cookie } })).status).toBe(200)
    } finally {
      await own.stop()
    }
  })
})
