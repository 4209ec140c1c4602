/** Admin's settings, read once; a policy that contradicts itself stops the start. */
import { Config, Duration, Effect, Schema } from "effect"
import { identityConfig } from "#shared/auth.ts"
import { databaseUrl } from "#shared/databaseTls.ts"
import { NamespaceName, ObjectName } from "#shared/domain/workload.ts"
import { invalid } from "#shared/invalidSetting.ts"

/** Names separated by commas; `none` is the empty list, which an empty variable cannot say. */
const names = (key: string, isName: (name: string) => boolean, what: string) =>
  Config.Array(Schema.Trim, key).pipe(
    Config.withDefault(undefined),
    Config.mapEffect((given) => {
      if (given === undefined) return Effect.succeed(undefined)
      if (given.length === 1 && given[0] === "none") return Effect.succeed<ReadonlyArray<string>>([])
      return given.every(isName) && new Set(given).size === given.length
        ? Effect.succeed(given)
        : invalid(key, `expected ${what}, separated by commas and each once`)
    })
  )

const namespaces = (key: string) => names(key, Schema.is(NamespaceName), "namespaces")

const folder = (key: string, fallback: string) =>
  Config.String(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((path) => (path.startsWith("/") ? Effect.succeed(path) : invalid(key, "not an absolute path")))
  )

const least = (key: string, fallback: number, minimum: number) =>
  Config.Int(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((value) => (value >= minimum ? Effect.succeed(value) : invalid(key, `less than ${minimum}`)))
  )

/** A list of the served namespaces; a name beside them is a mistake. */
const among = (
  key: string,
  given: ReadonlyArray<string> | undefined,
  served: ReadonlyArray<string>,
  fallback: ReadonlyArray<string>
) => {
  if (given === undefined) return Effect.succeed(fallback.filter((name) => served.includes(name)))
  const foreign = given.find((name) => !served.includes(name))
  return foreign === undefined ? Effect.succeed(given) : invalid(key, `${foreign} is not in ADMIN_NAMESPACES`)
}

/** Every setting; `readConfig` refuses any other key that starts with `ADMIN_`. */
export const adminConfig = Config.all({
  identity: identityConfig,
  databaseUrl: databaseUrl("ADMIN_DATABASE_URL"),
  given: Config.all({
    namespaces: namespaces("ADMIN_NAMESPACES"),
    fourEyes: namespaces("ADMIN_FOUR_EYES"),
    directApply: namespaces("ADMIN_DIRECT_APPLY")
  }),
  backups: Config.all({
    folder: folder("ADMIN_BACKUP_DIR", "/opt/k8s-backups"),
    keepCount: least("ADMIN_BACKUP_KEEP", 50, 1),
    keepAge: Config.Duration("ADMIN_BACKUP_AGE").pipe(Config.withDefault(Duration.days(365))),
    minFreeBytes: least("ADMIN_BACKUP_MIN_FREE_BYTES", 64 * 1024 * 1024, 0)
  }),
  /** All that a namespace holds, kept by the clock. */
  backupSets: Config.all({
    /** Between two sets; zero for none. */
    every: Config.Duration("ADMIN_BACKUP_SET_EVERY").pipe(Config.withDefault(Duration.days(1))),
    keep: least("ADMIN_BACKUP_SET_KEEP", 14, 1),
    /** Of the sources that were deployed, written into each set. */
    revision: Config.String("ADMIN_REVISION").pipe(
      Config.withDefault("unknown"),
      Config.mapEffect((text) =>
        /^[\w./+-]{1,100}$/u.test(text) ? Effect.succeed(text) : invalid("ADMIN_REVISION", "not a revision's name")
      )
    )
  }),
  /** How long a revision must be fully available to be known as good. */
  knownGood: Config.Duration("ADMIN_KNOWN_GOOD").pipe(Config.withDefault(Duration.seconds(30))),
  manifests: Config.all({
    /** Whether Secrets may be applied at all. */
    secrets: Config.Boolean("ADMIN_SECRETS").pipe(Config.withDefault(true)),
    /** Service accounts and pull secrets that a manifest may name beside what the live workload uses already. */
    serviceAccounts: names("ADMIN_SERVICE_ACCOUNTS", Schema.is(ObjectName), "service accounts").pipe(
      Config.map((given) => given ?? [])
    ),
    pullSecrets: names("ADMIN_PULL_SECRETS", Schema.is(ObjectName), "secrets").pipe(Config.map((given) => given ?? []))
  })
}).pipe(
  Config.mapEffect(({ given, ...rest }) =>
    Effect.gen(function* () {
      const served = given.namespaces ?? [rest.identity.environment]
      if (served.length === 0) return yield* invalid("ADMIN_NAMESPACES", "expected at least one namespace")
      return {
        ...rest,
        namespaces: served,
        fourEyes: yield* among("ADMIN_FOUR_EYES", given.fourEyes, served, ["prod"]),
        directApply: yield* among("ADMIN_DIRECT_APPLY", given.directApply, served, ["dev"])
      }
    })
  )
)

export type AdminConfig = Config.Success<typeof adminConfig>
