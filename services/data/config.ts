/**
 * The data service's settings, read once; must hold no default that a comment elsewhere repeats.
 *
 * A deployment gives three database URLs, one for each role (`data`, `data_query`, `data_write`) of one instance that is the
 * service's own, and runs `gatehouse data-setup` before the service: with the superuser's `DATA_SETUP_DATABASE_URL` beside
 * the same three keys it makes the roles, with the passwords of their URLs, and locks the instance down. It may be repeated.
 */
import { Config, Duration, Effect, Redacted } from "effect"
import { identityConfig } from "#shared/auth.ts"
import { databaseUrl } from "#shared/databaseTls.ts"
import { ownerRole, queryRole, writeRole } from "./migrations/instance.ts"
import { invalid } from "#shared/invalidSetting.ts"

/** The role that a connection URL logs in as: its authority's user, or the parameter `user` of a unix socket's. */
const roleOf = (url: string): string | undefined => {
  try {
    const parsed = new URL(url)
    return parsed.username === "" ? (parsed.searchParams.get("user") ?? undefined) : decodeURIComponent(parsed.username)
  } catch {
    return undefined
  }
}

/** The roles' names are what migrations grant to, and a URL of the wrong one would take the walls down unseen. */
const urlOf = (key: string, role: string) =>
  databaseUrl(key).pipe(
    Config.mapEffect((url) =>
      roleOf(Redacted.value(url)) === role
        ? Effect.succeed(url)
        : invalid(key, `not a database URL of the role ${role}`)
    )
  )

const urls = {
  databaseUrl: urlOf("DATA_DATABASE_URL", ownerRole),
  queryDatabaseUrl: urlOf("DATA_QUERY_DATABASE_URL", queryRole),
  writeDatabaseUrl: urlOf("DATA_WRITE_DATABASE_URL", writeRole)
}

const duration = (key: string, fallback: Duration.Duration, least: number, most: number) =>
  Config.Duration(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((found) => {
      const millis = Duration.toMillis(found)
      return millis >= least && millis <= most
        ? Effect.succeed(millis)
        : invalid(key, `not between ${least / 1000} and ${most / 1000} seconds`)
    })
  )

const whole = (key: string, fallback: number, least: number, most: number) =>
  Config.Int(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((found) =>
      found >= least && found <= most ? Effect.succeed(found) : invalid(key, `not between ${least} and ${most}`)
    )
  )

/** Every setting; `readConfig` refuses any other key that starts with `DATA_`. */
export const dataConfig = Config.all({
  identity: identityConfig,
  ...urls,
  /** Folder of `*.sql`, each run once by its name as the owner of the datasets. */
  datasetsDir: Config.String("DATA_DATASETS_DIR").pipe(Config.withDefault(undefined)),
  limits: Config.all({
    /** Milliseconds of one query, of one export and of one ingest. */
    queryMillis: duration("DATA_QUERY_TIMEOUT", Duration.seconds(10), 100, 600_000),
    exportMillis: duration("DATA_EXPORT_TIMEOUT", Duration.minutes(30), 1000, 7_200_000),
    ingestMillis: duration("DATA_INGEST_TIMEOUT", Duration.minutes(10), 1000, 7_200_000),
    maxRows: whole("DATA_QUERY_MAX_ROWS", 10_000, 1, 1_000_000),
    maxBytes: whole("DATA_QUERY_MAX_BYTES", 16 * 1024 * 1024, 1024, 256 * 1024 * 1024),
    /** The planner's estimate above which a query is not begun. */
    maxCost: whole("DATA_QUERY_MAX_COST", 10_000_000, 1, 1_000_000_000),
    /** Queries at a time, in all and of one caller; as many exports and ingests beside them. */
    concurrency: whole("DATA_QUERY_CONCURRENCY", 8, 1, 16),
    perUser: whole("DATA_QUERY_PER_USER", 4, 1, 16),
    ingestBytes: whole("DATA_INGEST_MAX_BYTES", 1024 * 1024 * 1024, 1024, 64 * 1024 * 1024 * 1024)
  })
})

export type DataConfig = Config.Success<typeof dataConfig>
export type Limits = DataConfig["limits"]

/** What `gatehouse data-setup` reads. */
export const setupConfig = Config.all({ setupDatabaseUrl: databaseUrl("DATA_SETUP_DATABASE_URL"), ...urls })

/** Keys of the service's environment; the development platform's `DATA_DIR` is none of them. */
export const dataPrefixes = ["DATA_"]
