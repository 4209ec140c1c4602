/** Whose a Kubernetes service account token is, as the API server says (TokenReview); must believe nothing that the token says of itself. */
import { Context, Effect, Layer, Option, Schema, Semaphore } from "effect"
import { Unavailable } from "#shared/domain/errors.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { InvalidGrant } from "./Tokens.ts"

/** A service account, with the pod it runs in where the token is bound to one. */
export interface ServiceAccount {
  readonly namespace: string
  readonly serviceAccount: string
  readonly podName: string | undefined
}

export class ClusterTokens extends Context.Service<
  ClusterTokens,
  {
    /** The service account of a token that was made for this gateway; Unavailable if the API server cannot be asked. */
    readonly review: (token: string) => Effect.Effect<ServiceAccount, InvalidGrant | Unavailable>
  }
>()("gatehouse/gateway/ClusterTokens") {
  /** No cluster: no service account token is good. */
  static readonly off = Layer.succeed(ClusterTokens, {
    review: () => new InvalidGrant({ detail: "this gateway knows no cluster" })
  })
  /** `audience` is what a token must be made for. */
  static readonly layer = (options: { readonly audience: string }) =>
    Layer.effect(ClusterTokens, makeClusterTokens(options.audience))
}

const path = "/apis/authentication.k8s.io/v1/tokenreviews"
/** Reviews under way at once: strangers must not be able to make the gateway a load on the API server. */
const maxReviews = 8
const timeout = "5 seconds"

const Strings = Schema.Array(Schema.String)
const Review = Schema.Struct({
  kind: Schema.Literal("TokenReview"),
  status: Schema.Struct({
    authenticated: Schema.optionalKey(Schema.Boolean),
    audiences: Schema.optionalKey(Schema.NullOr(Strings)),
    error: Schema.optionalKey(Schema.String),
    user: Schema.optionalKey(
      Schema.Struct({
        username: Schema.optionalKey(Schema.String),
        extra: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Strings)))
      })
    )
  })
})
const decode = Schema.decodeUnknownOption(Review)

const accountName = /^system:serviceaccount:([a-z0-9][-a-z0-9]*):([a-z0-9][-a-z0-9.]*)$/u

/** The namespace and name that a service account's user name holds. */
export const accountOf = (username: unknown): Omit<ServiceAccount, "podName"> | undefined => {
  const [, namespace, serviceAccount] = (typeof username === "string" ? accountName.exec(username) : null) ?? []
  return namespace === undefined || serviceAccount === undefined ? undefined : { namespace, serviceAccount }
}

const makeClusterTokens = (audience: string) =>
  Effect.gen(function* () {
    const kubernetes = yield* Kubernetes
    const slots = yield* Semaphore.make(maxReviews)
    const away = new Unavailable({ dependency: "the Kubernetes API server", retryAfterSeconds: 5 })
    /** Also 401 and 403: they are about the gateway's own account, which may not ask. That is no fault of the token. */
    const unanswered = (reason: string) =>
      Effect.andThen(
        Effect.logWarning("a service account token cannot be reviewed").pipe(Effect.annotateLogs({ reason })),
        away
      )
    const refuse = (detail: string) => new InvalidGrant({ detail })

    return ClusterTokens.of({
      review: Effect.fn("ClusterTokens.review")(function* (token) {
        const answer = yield* kubernetes
          .post(path, {
            apiVersion: "authentication.k8s.io/v1",
            kind: "TokenReview",
            metadata: { name: "" },
            spec: { token, audiences: [audience] }
          })
          .pipe(
            slots.withPermit,
            Effect.catch((error) => unanswered(`${error.reason} ${error.status ?? ""}`.trim())),
            Effect.timeoutOrElse({ duration: timeout, orElse: () => unanswered("timeout") })
          )
        const review = decode(answer)
        if (Option.isNone(review)) return yield* unanswered("the answer is no TokenReview")
        const { audiences, authenticated, error, user } = review.value.status
        if (authenticated !== true || (error !== undefined && error !== "")) {
          return yield* refuse("the API server does not know the token, or not for this gateway")
        }
        // An API server that knows nothing of audiences names none: its word says nothing of whom the token was made for.
        if (audiences?.includes(audience) !== true) return yield* refuse("the token was made for another audience")
        const account = accountOf(user?.username)
        if (account === undefined) return yield* refuse("the token is no service account's")
        return { ...account, podName: user?.extra?.["authentication.kubernetes.io/pod-name"]?.[0] }
      })
    })
  })
