/** How a service proves its caller: every token that is not the gateway's, for this service, environment and request is 401. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { Effect, Exit, Layer, ManagedRuntime } from "effect"
import { TestClock } from "effect/testing"
import { Identity, identityHeader } from "#shared/auth.ts"
import { signJws } from "#shared/jws.ts"
import { until } from "#test/shared/until.ts"

const issuer = "https://gatehouse.test"
const start = 1_800_000_000
const ours = generateKeyPairSync("ec", { namedCurve: "P-256" })
const next = generateKeyPairSync("ec", { namedCurve: "P-256" })
const foreign = generateKeyPairSync("ec", { namedCurve: "P-256" })
const jwkOf = (key: KeyObject, kid: string) => ({ ...key.export({ format: "jwk" }), kid, alg: "ES256", use: "sig" })

/** The gateway's key endpoint, under the test's control. */
const jwks = {
  keys: [] as ReadonlyArray<unknown>,
  status: 200,
  text: undefined as string | undefined,
  requests: 0,
  held: undefined as Promise<void> | undefined
}
let server: Bun.Server<undefined>
beforeAll(() => {
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async () => {
      jwks.requests++
      await jwks.held
      return new Response(jwks.text ?? JSON.stringify({ keys: jwks.keys }), { status: jwks.status })
    }
  })
})
afterAll(() => server.stop(true))
beforeEach(() => {
  Object.assign(jwks, {
    keys: [jwkOf(ours.publicKey, "one")],
    status: 200,
    text: undefined,
    requests: 0,
    held: undefined
  })
})

const claims = {
  iss: issuer,
  sub: "0190e0a0-0000-7000-8000-000000000001",
  aud: "admin.prod",
  client_id: "gatehouse",
  iat: start,
  exp: start + 60,
  jti: "one",
  scope: "admin:read admin:plan",
  roles: ["viewer"],
  env: "prod",
  sid: "0190e0a0-0000-7000-8000-000000000002",
  auth_time: start - 100
}
const without = (...names: ReadonlyArray<keyof typeof claims>) =>
  Object.fromEntries(Object.entries(claims).filter(([name]) => !(names as ReadonlyArray<string>).includes(name)))
const token = (changes: object = {}, kid = "one", key: KeyObject = ours.privateKey) =>
  signJws("at+jwt", kid, key, { ...claims, ...changes })
const call = (identity: string | undefined, method = "GET", path = "/admin/workloads") =>
  new Request(`http://admin.test${path}`, {
    method,
    headers: identity === undefined ? {} : { [identityHeader]: identity }
  })

/** A service's verifier whose clock stands at `start`. */
const makeVerifier = async (environment = "prod", service = "admin") => {
  const layer = Identity.layer({ service, environment, issuer, jwksUrl: new URL(`http://127.0.0.1:${server.port}/`) })
  const runtime = ManagedRuntime.make(
    Layer.provideMerge(
      layer,
      Layer.effectDiscard(TestClock.setTime(start * 1000)).pipe(Layer.provideMerge(TestClock.layer()))
    )
  )
  await runtime.context()
  const outcome = async (effect: Effect.Effect<unknown, unknown, Identity>) => {
    const exit = await runtime.runPromise(Effect.exit(effect))
    if (Exit.isSuccess(exit)) return { ok: true as const, value: exit.value as { readonly userId: string } }
    const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
    return { ok: false as const, error: error as Error & { _tag: string; detail?: string; challenge?: string } }
  }
  const verify = (request: Request) => outcome(Identity.use((identity) => identity.verify(request)))
  return {
    verify,
    /** "ok", or the error's tag and reason. */
    verdict: async (request: Request) => {
      const result = await verify(request)
      return result.ok ? "ok" : `${result.error._tag}: ${result.error.detail ?? result.error.message}`
    },
    authorize: (request: Request, action: string) =>
      outcome(Identity.use((identity) => identity.authorize(request, action))),
    pass: (seconds: number) => runtime.runPromise(TestClock.adjust(`${seconds} seconds`)),
    dispose: () => runtime.dispose()
  }
}
type Verifier = Awaited<ReturnType<typeof makeVerifier>>

const withVerifier = (body: (verifier: Verifier) => Promise<void>) => async () => {
  const verifier = await makeVerifier()
  try {
    await body(verifier)
  } finally {
    await verifier.dispose()
  }
}

/** Passes the 5 s in which the verifier fetches the keys by itself, a second at a time: a fetch that is seen has all the time it needs. */
const nextFetch = async (pass: Verifier["pass"]) => {
  for (let second = 0; second < 5 && jwks.requests === 0; second++) {
    await pass(1)
    await until("the next fetch", () => jwks.requests > 0, 0.2).catch(() => {})
  }
  expect(jwks.requests).toBeGreaterThan(0)
}

test(
  "tells who calls, from the claims of a good token",
  withVerifier(async ({ verify }) => {
    const result = await verify(call(token({ name: "Olga" })))
    expect(result).toEqual({
      ok: true,
      value: {
        userId: claims.sub,
        name: "Olga",
        sessionId: claims.sid,
        environment: "prod",
        roles: ["viewer"],
        scopes: new Set(["admin:read", "admin:plan"]),
        authTime: claims.auth_time
      } as never
    })
  })
)

test(
  "asks for a token where there is none",
  withVerifier(async ({ verify }) => {
    const result = await verify(call(undefined))
    expect(result).toMatchObject({ ok: false, error: { _tag: "Unauthorized", challenge: "Bearer" } })
  })
)

describe("401 for a token", () => {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const withHeader = (extra: object, key: KeyObject = ours.privateKey) => {
    const input = `${encode({ alg: "ES256", typ: "at+jwt", kid: "one", ...extra })}.${encode(claims)}`
    return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`
  }
  const hmac = () => {
    const input = `${encode({ alg: "HS256", typ: "at+jwt", kid: "one" })}.${encode(claims)}`
    const secret = ours.publicKey.export({ type: "spki", format: "pem" })
    return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`
  }
  const foreignJwk = foreign.publicKey.export({ format: "jwk" })
  const table: ReadonlyArray<readonly [what: string, token: () => string, reason?: string]> = [
    ["with alg none", () => withHeader({ alg: "none" })],
    [
      "with alg none and no signature",
      () => `${encode({ alg: "none", typ: "at+jwt", kid: "one" })}.${encode(claims)}.`
    ],
    ["made with HS256 and the public key", hmac],
    ["signed with a foreign key under our key id", () => token({}, "one", foreign.privateKey)],
    ["signed with a foreign key under its own id", () => token({}, "theirs", foreign.privateKey), "unknown key"],
    ["that brings its key set (jku)", () => withHeader({ jku: "https://evil.test/jwks.json" })],
    ["that brings its certificate (x5u)", () => withHeader({ x5u: "https://evil.test/cert" })],
    ["that brings its key (jwk)", () => withHeader({ jwk: foreignJwk }, foreign.privateKey)],
    ["that sets its own rules (crit)", () => withHeader({ crit: ["exp"] })],
    ["of another type", () => signJws("JWT", "one", ours.privateKey, claims)],
    ["that is a logout token", () => signJws("logout+jwt", "one", ours.privateKey, claims)],
    ["of another issuer", () => token({ iss: "https://other.test" }), "wrong issuer"],
    ["of our issuer with a slash", () => token({ iss: `${issuer}/` }), "wrong issuer"],
    ["for another service", () => token({ aud: "scheduler.prod" }), "wrong audience"],
    ["for the same service elsewhere", () => token({ aud: "admin.nightly", env: "nightly" }), "wrong audience"],
    ["for several audiences", () => token({ aud: ["admin.prod", "x"] }), "a claim is missing or malformed"],
    ["of another environment", () => token({ env: "nightly" }), "wrong environment"],
    ["that has expired", () => token({ iat: start - 61, exp: start - 1 }), "expired"],
    ["that expires this very second", () => token({ iat: start - 60, exp: start }), "expired"],
    ["that is not yet valid (iat)", () => token({ iat: start + 31, exp: start + 60 }), "not yet valid"],
    ["that is not yet valid (nbf)", () => token({ nbf: start + 31 }), "not yet valid"],
    ["with a malformed nbf", () => token({ nbf: "soon" }), "not yet valid"],
    ["that lives too long", () => token({ exp: start + 61 }), "lives too long"],
    ["that lives for ever", () => token({ exp: 99_999_999_999 }), "lives too long"],
    ["that pretends to be old to live long", () => token({ iat: 0 }), "lives too long"],
    ["with a text for exp", () => token({ exp: String(start + 60) }), "a claim is missing or malformed"],
    ["with a fraction for exp", () => token({ exp: start + 59.5 }), "a claim is missing or malformed"],
    ["with null for exp", () => token({ exp: null }), "a claim is missing or malformed"],
    ["twice in one header", () => `${token()}, ${token()}`],
    ["cut short", () => token().slice(0, -5)],
    ["that is empty", () => ""],
    ["with a word before it", () => `Bearer ${token()}`]
  ]
  let verifier: Verifier
  beforeAll(async () => {
    Object.assign(jwks, { keys: [jwkOf(ours.publicKey, "one")] })
    verifier = await makeVerifier()
    await verifier.verify(call(token()))
  })
  afterAll(() => verifier.dispose())
  for (const [what, make, reason] of table) {
    test(what, async () => {
      const result = await verifier.verify(call(make()))
      expect(result).toMatchObject({ ok: false, error: { _tag: "Unauthorized" } })
      if (!result.ok) {
        if (reason !== undefined) expect(result.error.detail).toBe(reason)
        expect(result.error.challenge).toStartWith("Bearer")
      }
    })
  }
  for (const name of Object.keys(claims) as ReadonlyArray<keyof typeof claims>) {
    test(`without ${name}`, async () => {
      const bad = signJws("at+jwt", "one", ours.privateKey, without(name))
      expect(await verifier.verdict(call(bad))).toBe("Unauthorized: a claim is missing or malformed")
    })
  }
})

test(
  "allows for 30 s between two clocks, and no more",
  withVerifier(async ({ verdict }) => {
    expect(await verdict(call(token({ iat: start + 30, exp: start + 90 })))).toBe("ok")
    expect(await verdict(call(token({ nbf: start + 30 })))).toBe("ok")
  })
)

describe("a token bound to one request", () => {
  const bound = () => token({ htm: "POST", htu: "/admin/apply" })
  test(
    "serves that request, whatever its query",
    withVerifier(async ({ verdict }) => {
      expect(await verdict(call(bound(), "POST", "/admin/apply"))).toBe("ok")
      expect(await verdict(call(bound(), "POST", "/admin/apply?dryRun=true"))).toBe("ok")
    })
  )
  test(
    "serves no other method and no other path",
    withVerifier(async ({ verdict }) => {
      const refused = "Unauthorized: the identity token is bound to another request"
      for (const [method, path] of [
        ["PUT", "/admin/apply"],
        ["DELETE", "/admin/apply"],
        ["GET", "/admin/apply"],
        ["POST", "/admin/apply/"],
        ["POST", "/admin/applyx"],
        ["POST", "/admin/Apply"],
        ["POST", "/admin/undo"],
        ["POST", "/?/admin/apply"]
      ] as const) {
        expect(await verdict(call(bound(), method, path))).toBe(refused)
      }
      expect(await verdict(call(token({ htm: "POST" }), "POST", "/admin/apply"))).toBe(refused)
      expect(await verdict(call(token({ htu: "/admin/apply" }), "POST", "/admin/apply"))).toBe(refused)
      expect(await verdict(call(token({ htu: "/admin/apply" }), "GET", "/admin/apply"))).toBe(refused)
    })
  )
  test(
    "is needed for every method that can change something",
    withVerifier(async ({ verdict }) => {
      const reading = token()
      for (const method of ["GET", "HEAD", "OPTIONS"]) expect(await verdict(call(reading, method))).toBe("ok")
      for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
        // Also from the cache of tokens seen before.
        expect(await verdict(call(reading, method))).toBe(
          "Unauthorized: the identity token is bound to another request"
        )
      }
    })
  )
})

test("a token of one service or environment is 401 at every other", async () => {
  const verifiers = await Promise.all([
    makeVerifier("prod", "admin"),
    makeVerifier("nightly", "admin"),
    makeVerifier("prod", "scheduler")
  ])
  const verdicts = await Promise.all(verifiers.map(({ verdict }) => verdict(call(token()))))
  expect(verdicts).toEqual(["ok", "Unauthorized: wrong audience", "Unauthorized: wrong audience"])
  await Promise.all(verifiers.map(({ dispose }) => dispose()))
})

test(
  "a token that was good is 401 when it has expired, remembered or not",
  withVerifier(async ({ pass, verdict }) => {
    const seen = token()
    expect(await verdict(call(seen))).toBe("ok")
    await pass(59)
    expect(await verdict(call(seen))).toBe("ok")
    await pass(2)
    expect(await verdict(call(seen))).toBe("Unauthorized: expired")
    expect(await verdict(call(token({ jti: "two" })))).toBe("Unauthorized: expired")
  })
)

describe("rights", () => {
  test(
    "are those of the token's scope, a deny before an allow",
    withVerifier(async ({ authorize }) => {
      expect(await authorize(call(token()), "read")).toMatchObject({ ok: true })
      const refused = await authorize(call(token()), "apply")
      expect(refused).toMatchObject({ ok: false, error: { _tag: "Forbidden", detail: "needs the right admin:apply" } })
      expect(await authorize(call(token({ scope: "admin:*" })), "apply")).toMatchObject({ ok: true })
      for (const scope of ["", "scheduler:*", "admin:apply:x", "admin:* !admin:apply", "*:*", "ADMIN:apply"]) {
        expect(await authorize(call(token({ scope })), "apply")).toMatchObject({
          ok: false,
          error: { _tag: "Forbidden" }
        })
      }
    })
  )
  test(
    "are not asked before the caller is known",
    withVerifier(async ({ authorize }) => {
      const result = await authorize(call(token({ exp: start - 1, iat: start - 2 })), "apply")
      expect(result).toMatchObject({ ok: false, error: { _tag: "Unauthorized" } })
    })
  )
})

describe("the gateway's keys", () => {
  test(
    "are fetched once for a key id not seen yet, however many ask",
    withVerifier(async ({ pass, verdict }) => {
      expect(await verdict(call(token()))).toBe("ok")
      await pass(2)
      jwks.requests = 0
      jwks.keys = [jwkOf(ours.publicKey, "one"), jwkOf(next.publicKey, "two")]
      const verdicts = await Promise.all(
        Array.from({ length: 20 }, (_, index) => verdict(call(token({ jti: `${index}` }, "two", next.privateKey))))
      )
      expect(new Set(verdicts)).toEqual(new Set(["ok"]))
      expect(jwks.requests).toBe(1)
    })
  )
  test(
    "are not fetched more than once a second for key ids that do not exist",
    withVerifier(async ({ pass, verdict }) => {
      expect(await verdict(call(token()))).toBe("ok")
      await pass(2)
      jwks.requests = 0
      for (let index = 0; index < 10; index++) {
        expect(await verdict(call(token({}, `none-${index}`, foreign.privateKey)))).toBe("Unauthorized: unknown key")
      }
      expect(jwks.requests).toBe(1)
    })
  )
  test(
    "are not fetched more than once a second while they cannot be had",
    withVerifier(async ({ pass, verdict }) => {
      expect(await verdict(call(token()))).toBe("ok")
      await pass(2)
      Object.assign(jwks, { status: 503, requests: 0 })
      for (let index = 0; index < 10; index++) {
        expect(await verdict(call(token({}, `none-${index}`, foreign.privateKey)))).toBe("Unauthorized: unknown key")
      }
      expect(jwks.requests).toBe(1)
      expect(await verdict(call(token()))).toBe("ok")
    })
  )
  test(
    "that are gone from the set take their tokens with them within 5 s",
    withVerifier(async ({ pass, verdict }) => {
      jwks.keys = [jwkOf(ours.publicKey, "one"), jwkOf(next.publicKey, "two")]
      const [mine, other] = [token(), token({}, "two", next.privateKey)]
      await until("both keys to be known", async () => {
        await pass(1)
        return (await verdict(call(other))) === "ok"
      })
      expect(await verdict(call(mine))).toBe("ok")
      jwks.keys = [jwkOf(next.publicKey, "two")]
      jwks.requests = 0
      await nextFetch(pass)
      await until("the key to be dropped", async () => (await verdict(call(mine))) === "Unauthorized: unknown key")
      expect(await verdict(call(other))).toBe("ok")
    })
  )
  test("that are away at the start mean 503, and are had as soon as they are there", async () => {
    jwks.status = 503
    const verifier = await makeVerifier()
    const result = await verifier.verify(call(token()))
    expect(result).toMatchObject({ ok: false, error: { _tag: "Unavailable", dependency: "the gateway's key set" } })
    const again = await verifier.verify(call(token()))
    expect(again).toMatchObject({ ok: false, error: { _tag: "Unavailable" } })
    jwks.status = 200
    await verifier.pass(1)
    expect(await verifier.verdict(call(token()))).toBe("ok")
    await verifier.dispose()
  })
  test(
    "stay known while the gateway cannot be reached",
    withVerifier(async ({ pass, verdict }) => {
      expect(await verdict(call(token()))).toBe("ok")
      Object.assign(jwks, { status: 500, requests: 0 })
      await nextFetch(pass)
      expect(await verdict(call(token({ jti: "new", iat: start + 5 })))).toBe("ok")
    })
  )
  test("of other kinds in the set are passed over", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" })
    jwks.keys = [
      { ...rsa, kid: "rsa", alg: "RS256" },
      { kty: "oct", k: "c2VjcmV0", kid: "one", alg: "HS256" },
      { kty: "EC", crv: "P-256", x: "AA", y: "AA", kid: "broken" },
      { ...jwkOf(ours.publicKey, "one"), kid: undefined },
      jwkOf(ours.publicKey, "one")
    ]
    const verifier = await makeVerifier()
    expect(await verifier.verdict(call(token()))).toBe("ok")
    expect(await verifier.verdict(call(token({}, "undefined")))).toBe("Unauthorized: unknown key")
    await verifier.dispose()
  })
  test("that are no key set are as good as none", async () => {
    for (const text of ["", "nothing", "[]", "{}", '{"keys":{}}', '{"keys":[null]}']) {
      jwks.text = text
      const verifier = await makeVerifier()
      expect(await verifier.verify(call(token()))).toMatchObject({ ok: false, error: { _tag: "Unavailable" } })
      await verifier.dispose()
    }
  })
})
