/** A service account token is whose the API server says, for this gateway alone; and what the API server does not say is no yes. */
import { describe, expect, test } from "bun:test"
import { Effect, Fiber, Layer, References, Result } from "effect"
import { TestClock } from "effect/testing"
import { accountOf, ClusterTokens } from "#gateway/ClusterTokens.ts"
import { Kubernetes, KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

const audience = "gateway.test"
const status = (more: object = {}) => ({
  authenticated: true,
  user: {
    username: "system:serviceaccount:prod:scheduler",
    uid: "u",
    groups: ["system:serviceaccounts", "system:serviceaccounts:prod", "system:authenticated"],
    extra: { "authentication.kubernetes.io/pod-name": ["scheduler-0"], "authentication.kubernetes.io/pod-uid": ["p"] }
  },
  audiences: [audience],
  ...more
})
const without = (name: string) => Object.fromEntries(Object.entries(status()).filter(([key]) => key !== name))
const review = (of: unknown): KubernetesObject => ({
  apiVersion: "authentication.k8s.io/v1",
  kind: "TokenReview",
  metadata: { name: "" },
  status: of
})

type Post = Kubernetes["Service"]["post"]
const layer = (post: Post) =>
  Layer.provide(ClusterTokens.layer({ audience }), Layer.mock(Kubernetes)({ post, description: "a stub" })).pipe(
    Layer.provideMerge(TestClock.layer()),
    Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "None"))
  )
const reviewed = ClusterTokens.use((tokens) => tokens.review("the-token"))
/** The account, or the failure's tag and reason. */
const outcome = async (post: Post) => {
  const result = await Effect.runPromise(Effect.result(Effect.provide(reviewed, layer(post))))
  return Result.isSuccess(result) ? result.success : `${result.failure._tag}: ${result.failure.message}`
}
const answers = (of: unknown) => outcome(() => Effect.succeed(review(of)))

test("the API server is asked with the token and the gateway's audience, and its word is taken", async () => {
  const asked: Array<unknown> = []
  const found = await outcome((path, body) => {
    asked.push([path, body])
    return Effect.succeed(review(status()))
  })
  expect(found).toEqual({ namespace: "prod", serviceAccount: "scheduler", podName: "scheduler-0" })
  expect(asked).toEqual([
    [
      "/apis/authentication.k8s.io/v1/tokenreviews",
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        metadata: { name: "" },
        spec: { token: "the-token", audiences: [audience] }
      }
    ]
  ])
})
test("a token that is bound to no pod names none", async () => {
  const user = { username: "system:serviceaccount:prod:scheduler" }
  const found = { namespace: "prod", serviceAccount: "scheduler", podName: undefined }
  expect(await answers(status({ user }))).toEqual(found)
  expect(await answers(status({ user: { ...user, extra: null } }))).toEqual(found)
})

describe("a token is refused", () => {
  const unknown = "InvalidGrant: the API server does not know the token, or not for this gateway"
  const otherAudience = "InvalidGrant: the token was made for another audience"
  const noAccount = "InvalidGrant: the token is no service account's"
  for (const [what, of, reason] of [
    ["that is not authenticated", { authenticated: false, error: "invalid bearer token" }, unknown],
    ["of which nothing is said", {}, unknown],
    ["with an error beside a yes", status({ error: "token expired" }), unknown],
    ["for another audience", status({ audiences: ["https://kubernetes.default.svc"] }), otherAudience],
    ["for this audience in another environment", status({ audiences: ["gateway.prod"] }), otherAudience],
    ["without audiences: the API server does not know of them", without("audiences"), otherAudience],
    ["with null for audiences", status({ audiences: null }), otherAudience],
    ["for no audience", status({ audiences: [] }), otherAudience],
    ["of a person", status({ user: { username: "alice" } }), noAccount],
    ["of a node", status({ user: { username: "system:node:prod:scheduler" } }), noAccount],
    ["of nobody", status({ user: {} }), noAccount],
    ["of a name with a line in it", status({ user: { username: "system:serviceaccount:prod:a\nb" } }), noAccount]
  ] as const) {
    test(what, async () => expect(await answers(of)).toBe(reason))
  }
  test("where there is no cluster", async () => {
    const result = await Effect.runPromise(Effect.result(Effect.provide(reviewed, ClusterTokens.off)))
    expect(Result.isFailure(result) && result.failure._tag).toBe("InvalidGrant")
  })
})

describe("an API server that does not answer as agreed is Unavailable, never a no", () => {
  const away = "Unavailable: the Kubernetes API server is unavailable"
  for (const [reason, code] of [
    ["unreachable", null],
    ["unauthorized", 401],
    ["forbidden", 403],
    ["not_found", 404],
    ["too_many_requests", 429],
    ["server", 500],
    ["format", 200]
  ] as const) {
    test(`${reason}`, async () => {
      const failed = new KubernetesFailed({
        reason,
        status: code,
        detail: "x",
        causes: [],
        retryAfterSeconds: null,
        sent: true
      })
      expect(await outcome(() => Effect.fail(failed))).toBe(away)
    })
  }
  test("another object, or a review of another form", async () => {
    expect(await outcome(() => Effect.succeed({ apiVersion: "v1", kind: "Status", metadata: { name: "" } }))).toBe(away)
    for (const of of [undefined, null, "yes", { authenticated: "true" }, status({ audiences: audience })]) {
      expect([of, await answers(of)]).toEqual([of, away])
    }
  })
  test("one that hangs, after five seconds, and eight that hang leave no more for others to wait for", async () => {
    let asked = 0
    const post: Post = () =>
      Effect.suspend(() => {
        asked++
        return Effect.never
      })
    const tags = await Effect.runPromise(
      Effect.gen(function* () {
        const fibers = yield* Effect.forEach(Array.from({ length: 20 }), () =>
          Effect.forkChild(Effect.flip(reviewed), { startImmediately: true })
        )
        expect(asked).toBe(8)
        yield* TestClock.adjust("5 seconds")
        return yield* Effect.forEach(fibers, (fiber) => Effect.map(Fiber.join(fiber), (error) => error._tag))
      }).pipe(Effect.provide(layer(post)))
    )
    expect(tags).toEqual(Array.from({ length: 20 }, () => "Unavailable"))
  })
})

test("a service account's user name is read whole or not at all", () => {
  expect(accountOf("system:serviceaccount:a:b")).toEqual({ namespace: "a", serviceAccount: "b" })
  expect(accountOf("system:serviceaccount:a:b.c-d")).toEqual({ namespace: "a", serviceAccount: "b.c-d" })
  for (const bad of [
    "system:serviceaccount:a",
    "system:serviceaccount:a:b:c",
    "system:serviceaccount::b",
    "system:serviceaccount:a:",
    "system:serviceaccount:a.c:b",
    "x system:serviceaccount:a:b",
    "system:serviceaccount:a:b\n",
    undefined,
    null,
    1,
    ["system:serviceaccount:a:b"]
  ]) {
    expect([bad, accountOf(bad)]).toEqual([bad, undefined])
  }
})
