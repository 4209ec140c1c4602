/** Workloads at the gateway (spec R14): a program's Kubernetes or CI identity in exchange for an access token (RFC 8693); must believe no claim that was not proved, and hand out no refresh token. */
import { Clock, Context, Effect, Layer, Option } from "effect"
import type { TokenResponse } from "#shared/api/auth.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { tokenHash, unverifiedClaims } from "#shared/jws.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { Audit } from "./Audit.ts"
import { accountOf, ClusterTokens } from "./ClusterTokens.ts"
import { Directory } from "./Directory.ts"
import { Sessions } from "./Sessions.ts"
import { workloadProvider } from "./settingsFile.ts"
import { accessTokenLifetime, InvalidGrant, Tokens } from "./Tokens.ts"
import { checkAssertion } from "./workloadAssertion.ts"
import type { Workload } from "./workloadKeys.ts"

export interface Exchange {
  readonly subjectToken: string
  /** What the access token is confined to, already checked. */
  readonly scope: string
  readonly userAgent: string | null
  readonly ip: string
  readonly requestId: string
}

interface Options {
  readonly publicUrl: string
  readonly environment: string
  /** Those of the settings file as it is now. */
  readonly workloads: () => ReadonlyArray<Workload>
}

/** Who a subject token proved to be, and what else the audit should know of it. */
interface Proved {
  readonly workload: Workload
  readonly detail: Readonly<Record<string, unknown>>
}

export class Workloads extends Context.Service<
  Workloads,
  {
    /** An access token for the workload that a subject token proves. Why one is refused is for the audit, not for the asker. */
    readonly exchange: (input: Exchange) => Effect.Effect<TokenResponse, InvalidGrant | Unavailable>
    /** Ends the sessions of workloads that are not among `ids`: those the settings file knows no more, or by another proof. */
    readonly dismiss: (ids: ReadonlyArray<string>) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/gateway/Workloads") {
  static readonly layer = (options: Options) => Layer.effect(Workloads, makeWorkloads(options))
}

/** Longer than any service account token; what is longer is none. */
const maxTokenLength = 12_000

const makeWorkloads = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const audit = yield* Audit
    const cluster = yield* ClusterTokens
    const directory = yield* Directory
    const sessions = yield* Sessions
    const tokens = yield* Tokens
    const audience = `gateway.${options.environment}`
    const assertionAudiences = [options.publicUrl, `${options.publicUrl}/auth/token`, audience]

    /** What is said to the asker of every refusal: more would tell a stranger which workloads there are. */
    const refused = new InvalidGrant({ detail: "the subject token is not accepted" })

    const refuse = Effect.fnUntraced(function* (input: Exchange, workload: Workload | undefined, reason: string) {
      const detail = { workload: workload?.id ?? null, reason }
      yield* Effect.logInfo("workload refused").pipe(Effect.annotateLogs({ ...detail, requestId: input.requestId }))
      yield* database.run(audit.record({ event: "workload.refused", requestId: input.requestId, ip: input.ip, detail }))
      return yield* refused
    })

    /** Takes the assertion out of use; false if it was used before. */
    const useUp = (workload: Workload, jti: string, expires: number) =>
      database.transaction(
        Effect.gen(function* () {
          yield* sql`DELETE FROM used_assertions WHERE expires_at < now() - interval '1 minute'`
          const fresh = yield* sql`INSERT INTO used_assertions (hash, expires_at)
            VALUES (${tokenHash(`${workload.id} ${jti}`)}, ${new Date(expires * 1000)}) ON CONFLICT DO NOTHING RETURNING hash`
          return fresh.length > 0
        })
      )

    const byKey = Effect.fnUntraced(function* (input: Exchange, id: string) {
      const workload = options.workloads().find((one) => one.id === id)
      if (workload?.identity._tag !== "Key")
        return yield* refuse(input, undefined, "no workload with a key has this name")
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const { keys } = workload.identity
      const assertion = checkAssertion(input.subjectToken, { id, keys }, assertionAudiences, now)
      if (typeof assertion === "string") return yield* refuse(input, workload, assertion)
      if (!(yield* useUp(workload, assertion.jti, assertion.expires))) {
        return yield* refuse(input, workload, "the assertion was used already")
      }
      return { workload, detail: { identity: "key" } }
    })

    const byServiceAccount = Effect.fnUntraced(function* (input: Exchange, claims: Readonly<Record<string, unknown>>) {
      const find = (account: ReturnType<typeof accountOf>) =>
        options
          .workloads()
          .find(
            ({ identity }) =>
              identity._tag === "Kubernetes" &&
              identity.namespace === account?.namespace &&
              identity.serviceAccount === account.serviceAccount
          )
      // The API server is not bothered with what could not be a workload's whatever it said.
      const claimed = find(accountOf(claims["sub"]))
      if (claimed === undefined) return yield* refuse(input, undefined, "no workload has this identity")
      const { aud } = claims
      if (!(Array.isArray(aud) ? aud.includes(audience) : aud === audience)) {
        return yield* refuse(input, claimed, "wrong audience")
      }
      const account = yield* Effect.catchTag(cluster.review(input.subjectToken), "InvalidGrant", ({ detail }) =>
        refuse(input, claimed, detail)
      )
      const workload = find(account)
      if (workload === undefined) return yield* refuse(input, undefined, "no workload is this service account")
      return { workload, detail: { identity: "kubernetes", pod: account.podName ?? null } }
    })

    const prove = (input: Exchange): Effect.Effect<Proved, InvalidGrant | Unavailable> => {
      const claims = input.subjectToken.length > maxTokenLength ? undefined : unverifiedClaims(input.subjectToken)
      if (claims === undefined) return refuse(input, undefined, "not a signed token")
      const { iss, sub } = claims
      return typeof sub === "string" && iss === sub ? byKey(input, sub) : byServiceAccount(input, claims)
    }

    return Workloads.of({
      exchange: Effect.fn("Workloads.exchange")(function* (input) {
        const { detail, workload } = yield* prove(input)
        const person = {
          provider: workloadProvider,
          issuer: options.publicUrl,
          subject: workload.id,
          name: workload.label,
          email: undefined
        }
        const user = yield* directory.welcome(person, [{ role: workload.role, environment: workload.environment }])
        const session = yield* database.transaction(
          Effect.gen(function* () {
            const renewed = yield* sessions.renewWorkload({
              userId: user.id,
              provider: workloadProvider,
              label: workload.id,
              seconds: accessTokenLifetime,
              userAgent: input.userAgent,
              ip: input.ip
            })
            if (Option.isSome(renewed)) {
              yield* audit.record({
                event: "workload.exchanged",
                actor: user.id,
                sessionId: renewed.value.id,
                requestId: input.requestId,
                ip: input.ip,
                detail: { workload: workload.id, scope: input.scope, ...detail }
              })
            }
            return renewed
          })
        )
        if (Option.isNone(session)) return yield* refuse(input, workload, "the workload is disabled")
        return yield* tokens.issue({
          session: session.value,
          userId: user.id,
          scope: input.scope,
          offline: false,
          label: workload.id,
          userAgent: input.userAgent,
          ip: input.ip
        })
      }),
      dismiss: Effect.fn("Workloads.dismiss")(function* (ids) {
        yield* database.run(
          sql`DELETE FROM sessions WHERE kind = 'workload' AND user_id IN (SELECT id FROM users
            WHERE provider = ${workloadProvider} AND subject <> ALL(${ids}))`
        )
      })
    })
  })
