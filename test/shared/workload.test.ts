/** A program's own access to the gateway: one exchange for many callers, a new token in time, and nothing shown to anybody but the gateway. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Layer, ManagedRuntime, Redacted, Result } from "effect"
import { TestClock } from "effect/testing"
import { accessTokenType, exchangeGrantType, jwtTokenType } from "#shared/api/auth.ts"
import { readConfig } from "#shared/config.ts"
import { publicKeyOf, thumbprintOf, verifyJws } from "#shared/jws.ts"
import { assertionType, makeAssertion, WorkloadIdentity, workloadConfig, workloadKeyOf } from "#shared/workload.ts"

const start = 1_800_000_000
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
const privateJwk = pair.privateKey.export({ format: "jwk" })
const publicJwk = pair.publicKey.export({ format: "jwk" })
const folder = mkdtempSync(join(tmpdir(), "gatehouse-workload-"))
const tokenFile = join(folder, "token")
const keyFile = join(folder, "key.jwk")
writeFileSync(keyFile, JSON.stringify(privateJwk))

/** The gateway's token endpoint, under the test's control. */
const gateway = {
  forms: [] as Array<{ readonly path: string; readonly form: Readonly<Record<string, string>> }>,
  status: 200,
  body: undefined as unknown,
  held: undefined as Promise<void> | undefined
}
let server: Bun.Server<undefined>
beforeAll(() => {
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const form = Object.fromEntries(new URLSearchParams(await request.text()))
      const number = gateway.forms.push({ path: new URL(request.url).pathname, form })
      await gateway.held
      const answer = gateway.body ?? {
        access_token: `token-${number}`,
        issued_token_type: accessTokenType,
        token_type: "Bearer",
        expires_in: 600,
        scope: "*:*",
        env: "test"
      }
      return Response.json(answer, { status: gateway.status })
    }
  })
})
afterAll(async () => {
  await server.stop(true)
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  Object.assign(gateway, { forms: [], status: 200, body: undefined, held: undefined })
  writeFileSync(tokenFile, "service-account-token\n")
})

const config = (env: Readonly<Record<string, string>>) =>
  Effect.runSync(readConfig(workloadConfig, { GATEWAY_URL: `http://127.0.0.1:${server.port}`, ...env }, ["WORKLOAD_"]))

const withWorkload = async (
  env: Readonly<Record<string, string>>,
  body: (ask: {
    readonly token: () => Promise<string>
    readonly forget: (token: string) => Promise<void>
    readonly pass: (seconds: number) => Promise<void>
    /** The failure's tag and what it says. */
    readonly failure: () => Promise<string>
  }) => Promise<void>
) => {
  const runtime = ManagedRuntime.make(
    WorkloadIdentity.layer(config(env)).pipe(
      Layer.provideMerge(
        Layer.effectDiscard(TestClock.setTime(start * 1000)).pipe(Layer.provideMerge(TestClock.layer()))
      )
    )
  )
  const accessToken = Effect.flatMap(WorkloadIdentity, (identity) => identity.accessToken)
  try {
    await body({
      token: () => runtime.runPromise(Effect.map(accessToken, Redacted.value)),
      forget: (token) => runtime.runPromise(WorkloadIdentity.use((identity) => identity.forget(Redacted.make(token)))),
      pass: (seconds) => runtime.runPromise(TestClock.adjust(`${seconds} seconds`)),
      failure: async () => {
        const error = await runtime.runPromise(Effect.flip(accessToken))
        return `${error._tag}: ${error.message}`
      }
    })
  } finally {
    await runtime.dispose()
  }
}
const byFile = { WORKLOAD_TOKEN_FILE: tokenFile }
const byKey = { WORKLOAD_KEY_FILE: keyFile, WORKLOAD_ID: "scheduler", IDENTITY_ISSUER: "https://gate.test" }

describe("the access token", () => {
  test("is had by the service account token, by the form of RFC 8693", () =>
    withWorkload(byFile, async ({ token }) => {
      expect(await token()).toBe("token-1")
      expect(gateway.forms).toEqual([
        {
          path: "/auth/token",
          form: {
            grant_type: exchangeGrantType,
            subject_token: "service-account-token",
            subject_token_type: jwtTokenType,
            requested_token_type: accessTokenType
          }
        }
      ])
    }))
  test("is had by an assertion of the own key, a new one each time, that lives a minute", () =>
    withWorkload(byKey, async ({ forget, token }) => {
      await forget(await token())
      await token()
      const key = publicKeyOf(publicJwk as never)
      const claims = gateway.forms.map(({ form }) => {
        const verified = verifyJws(form["subject_token"]!, assertionType, (kid) =>
          kid === thumbprintOf(publicJwk) ? key : undefined
        )
        if (verified._tag !== "Valid") throw new Error(verified._tag)
        return verified.claims
      })
      expect(claims[0]).toEqual({
        iss: "scheduler",
        sub: "scheduler",
        aud: "https://gate.test",
        iat: start,
        exp: start + 60,
        jti: expect.any(String)
      })
      expect(claims).toHaveLength(2)
      expect(claims[1]!["jti"]).not.toBe(claims[0]!["jti"])
    }))
  test("is kept until a minute before its end", () =>
    withWorkload(byFile, async ({ pass, token }) => {
      await token()
      await pass(539)
      expect(await token()).toBe("token-1")
      await pass(1)
      expect(await token()).toBe("token-2")
    }))
  test("is asked for once, however many wait for it", () =>
    withWorkload(byFile, async ({ token }) => {
      const gate = Promise.withResolvers<void>()
      gateway.held = gate.promise
      const waiting = Array.from({ length: 20 }, token)
      gate.resolve()
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(["token-1"]))
      expect(gateway.forms).toHaveLength(1)
    }))
  test("that was answered 401 is forgotten; a newer one is not", () =>
    withWorkload(byFile, async ({ forget, token }) => {
      const first = await token()
      await forget(first)
      expect(await token()).toBe("token-2")
      await forget(first)
      expect(await token()).toBe("token-2")
      expect(gateway.forms).toHaveLength(2)
    }))
  test("comes from the file as it is now: the kubelet renews it", () =>
    withWorkload(byFile, async ({ pass, token }) => {
      await token()
      writeFileSync(tokenFile, "renewed")
      await pass(600)
      await token()
      expect(gateway.forms.map(({ form }) => form["subject_token"])).toEqual(["service-account-token", "renewed"])
    }))
})

describe("a failure", () => {
  test("of the gateway is told by its status, once to all who wait, and the next asks again", () =>
    withWorkload(byFile, async ({ failure, token }) => {
      gateway.status = 400
      gateway.body = { error: "invalid_grant" }
      expect(await failure()).toBe(`PeerFailed: 127.0.0.1:${server.port}: status 400`)
      gateway.status = 200
      gateway.body = { access_token: "x" }
      expect(await failure()).toBe(`PeerFailed: 127.0.0.1:${server.port}: format`)
      gateway.body = undefined
      expect(await token()).toBe("token-3")
    }))
  test("to read the token is Unavailable, and over when the file is there", () =>
    withWorkload(byFile, async ({ failure, token }) => {
      rmSync(tokenFile)
      expect(await failure()).toStartWith("Unavailable: the service account token")
      expect(gateway.forms).toEqual([])
      writeFileSync(tokenFile, "back")
      expect(await token()).toBe("token-1")
    }))
})

describe("settings that are refused, by the key's name", () => {
  const notEc = join(folder, "rsa.jwk")
  writeFileSync(
    notEc,
    JSON.stringify(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }))
  )
  const publicFile = join(folder, "public.jwk")
  writeFileSync(publicFile, JSON.stringify(publicJwk))
  const cases: Readonly<Record<string, readonly [env: Readonly<Record<string, string>>, key: string]>> = {
    "no proof at all": [{}, "WORKLOAD_TOKEN_FILE"],
    "two proofs": [{ ...byFile, ...byKey }, "WORKLOAD_TOKEN_FILE"],
    "a key without a name": [{ WORKLOAD_KEY_FILE: keyFile }, "WORKLOAD_ID"],
    "a key file that is not there": [{ ...byKey, WORKLOAD_KEY_FILE: join(folder, "none") }, "WORKLOAD_KEY_FILE"],
    "a key file that is no JSON": [{ ...byKey, WORKLOAD_KEY_FILE: tokenFile }, "WORKLOAD_KEY_FILE"],
    "a public key": [{ ...byKey, WORKLOAD_KEY_FILE: publicFile }, "WORKLOAD_KEY_FILE"],
    "a key of another kind": [{ ...byKey, WORKLOAD_KEY_FILE: notEc }, "WORKLOAD_KEY_FILE"]
  }
  for (const [what, [env, key]] of Object.entries(cases)) {
    test(what, async () => {
      const built = await Effect.runPromise(
        Effect.result(Effect.scoped(Layer.build(WorkloadIdentity.layer(config(env)))))
      )
      if (Result.isSuccess(built)) throw new Error("it was taken")
      expect(built.failure.key).toBe(key)
      expect(built.failure.message).not.toContain(String(privateJwk.d))
    })
  }
  test("a gateway that is no URL", () => {
    const exit = Effect.runSyncExit(readConfig(workloadConfig, { GATEWAY_URL: "gateway" }, ["WORKLOAD_"]))
    expect(Exit.isFailure(exit)).toBe(true)
  })
})

test("an assertion is signed under the key's own id, or its thumbprint", () => {
  const header = (jwk: object) =>
    JSON.parse(
      Buffer.from(
        makeAssertion(workloadKeyOf(jwk)!, { id: "ci", audience: "x", now: start }).split(".")[0]!,
        "base64url"
      ).toString()
    ) as unknown
  expect(header({ ...privateJwk, kid: "mine" })).toEqual({ alg: "ES256", typ: "JWT", kid: "mine" })
  expect(header(privateJwk)).toEqual({ alg: "ES256", typ: "JWT", kid: thumbprintOf(publicJwk) })
  for (const bad of [publicJwk, { ...privateJwk, d: "x" }, {}, null, "x"]) expect(workloadKeyOf(bad)).toBeUndefined()
})
