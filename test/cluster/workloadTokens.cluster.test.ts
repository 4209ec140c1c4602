/** A workload's service account token at the gateway, reviewed by a real API server over TLS: which open the door, and what an API server that is away means. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { exchangeGrantType, jwtTokenType } from "#shared/api/auth.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { type GatewayFixture, provider, startGateway } from "#test/gateway/fixture.ts"

const cluster = await testCluster()
const namespace = "workload-tokens"
let gateway: GatewayFixture

/** A token of a service account there, for the given audience. */
const tokenOf = async (name: string, audience: string) =>
  (await cluster.serviceAccount(namespace, name, { audiences: [audience], expirationSeconds: 600 })).token

const exchange = async (token: string) => {
  const answer = await gateway.ask("/auth/token", {
    method: "POST",
    body: new URLSearchParams({
      grant_type: exchangeGrantType,
      subject_token: token,
      subject_token_type: jwtTokenType
    })
  })
  return { status: answer.status, body: (await answer.json()) as Readonly<Record<string, unknown>> }
}

beforeAll(async () => {
  await cluster.openNamespace(namespace)
  for (const name of ["scheduler", "other"]) await cluster.kubectl(["-n", namespace, "create", "serviceaccount", name])
  gateway = await startGateway({
    env: { GATEWAY_KUBERNETES: cluster.kubeconfig },
    settings: {
      providers: [provider],
      routes: [],
      workloads: [
        {
          id: "scheduler",
          role: "watchman",
          identity: { kubernetes: { namespace, serviceAccount: "scheduler" } }
        }
      ]
    }
  })
})
afterAll(async () => {
  await gateway?.stop()
  await cluster.tryKubectl(["delete", "namespace", namespace, "--wait=false"])
})

describe("a service account token", () => {
  test("of the workload and for this gateway is exchanged for an access token", async () => {
    const { body, status } = await exchange(await tokenOf("scheduler", "gateway.test"))
    expect({ status, type: body["token_type"] }).toEqual({ status: 200, type: "Bearer" })
    const me = await gateway.ask("/auth/me", { headers: { authorization: `Bearer ${String(body["access_token"])}` } })
    expect(await me.json()).toMatchObject({ roles: ["watchman"], user: { provider: "workload", subject: "scheduler" } })
  })

  test("of another service account is refused", async () => {
    expect(await exchange(await tokenOf("other", "gateway.test"))).toMatchObject({
      status: 400,
      body: { error: "invalid_grant" }
    })
  })

  test("for another environment's gateway, or for the API server itself, is refused", async () => {
    for (const audience of ["gateway.prod", "https://kubernetes.default.svc.cluster.local"]) {
      expect(await exchange(await tokenOf("scheduler", audience))).toMatchObject({
        status: 400,
        body: { error: "invalid_grant" }
      })
    }
  })

  test("that was altered is refused", async () => {
    const token = await tokenOf("scheduler", "gateway.test")
    const [header, payload, signature] = token.split(".")
    const altered = `${header}.${payload}.${signature?.replace(/^./u, (first) => (first === "A" ? "B" : "A"))}`
    expect(await exchange(altered)).toMatchObject({ status: 400, body: { error: "invalid_grant" } })
  })

  test("of a deleted service account is refused", async () => {
    await cluster.kubectl(["-n", namespace, "create", "serviceaccount", "gone"])
    const token = await tokenOf("scheduler", "gateway.test")
    await cluster.kubectl(["-n", namespace, "delete", "serviceaccount", "scheduler"])
    await cluster.kubectl(["-n", namespace, "create", "serviceaccount", "scheduler"])
    // The same name, another uid: the API server knows the token as nobody's.
    expect(await exchange(token)).toMatchObject({ status: 400, body: { error: "invalid_grant" } })
  })

  test("cannot be judged while the API server is away: 503, and good again after that", async () => {
    const token = await tokenOf("scheduler", "gateway.test")
    await cluster.stopApiServer()
    try {
      expect((await exchange(token)).status).toBe(503)
    } finally {
      await cluster.startApiServer()
    }
    expect((await exchange(token)).status).toBe(200)
  })
})
