/** The settings of backups; all or nothing: half a configuration stops the start. */
import { tmpdir } from "node:os"
import { Config, Effect, Redacted, Schema } from "effect"
import type { BackupDatabase } from "#shared/api/scheduler.ts"
import { AgeRecipient, readAgeKey } from "#shared/age.ts"
import { secret } from "#shared/config.ts"
import { checkDatabaseUrl } from "#shared/databaseTls.ts"
import { invalid } from "#shared/invalidSetting.ts"

/** A secret that may be absent. */
const optionalSecret = (key: string): Config.Config<Redacted.Redacted | undefined> =>
  Config.all({
    value: Config.Redacted(key).pipe(Config.withDefault(undefined)),
    file: Config.String(`${key}_FILE`).pipe(Config.withDefault(undefined)),
    reference: Config.String(`${key}_REF`).pipe(Config.withDefault(undefined))
  }).pipe(
    Config.mapEffect((found) =>
      Object.values(found).every((one) => one === undefined) ? Effect.succeed(undefined) : secret(key)
    )
  )

const optional = (key: string) => Config.String(key).pipe(Config.withDefault(undefined))

const cron = (key: string, fallback: string) => Config.String(key).pipe(Config.withDefault(fallback))

const urlKey = (database: BackupDatabase) => `SCHEDULER_BACKUP_${database.toUpperCase()}_URL`

/** A role that may read everything, over a connection that libpq and the driver both understand. */
const databaseUrl = (database: BackupDatabase) =>
  optionalSecret(urlKey(database)).pipe(
    Config.mapEffect((found) =>
      found === undefined ? Effect.succeed(found) : checkDatabaseUrl(urlKey(database))(found)
    )
  )

const isRecipient = Schema.is(AgeRecipient)

/** Undefined: this process has nothing to do with backups. Without `maker` it shows what others have made. */
export const backupConfig = Config.all({
  folder: optional("SCHEDULER_BACKUP_DIR"),
  gateway: databaseUrl("gateway"),
  logging: databaseUrl("logging"),
  data: databaseUrl("data"),
  identity: optionalSecret("SCHEDULER_BACKUP_IDENTITY"),
  /** No secret, but as likely to be a mounted file. */
  recovery: optionalSecret("SCHEDULER_BACKUP_RECOVERY_RECIPIENT").pipe(
    Config.map((found) => (found === undefined ? undefined : Redacted.value(found)))
  ),
  cron: cron("SCHEDULER_BACKUP_CRON", "23 2 * * *"),
  drillCron: cron("SCHEDULER_BACKUP_DRILL_CRON", "53 2 * * *"),
  timeZone: cron("SCHEDULER_BACKUP_TIME_ZONE", "UTC"),
  minFreeBytes: Config.Int("SCHEDULER_BACKUP_MIN_FREE_BYTES").pipe(Config.withDefault(256 * 1024 * 1024)),
  workFolder: Config.String("SCHEDULER_BACKUP_WORK_DIR").pipe(Config.withDefault(tmpdir())),
  tools: optional("PG_BIN"),
  path: Config.String("PATH").pipe(Config.withDefault("/usr/bin:/bin"))
}).pipe(
  Config.mapEffect(
    Effect.fnUntraced(function* ({ data, folder, gateway, identity, logging, recovery, ...rest }) {
      const urls = Object.fromEntries(
        Object.entries({ gateway, logging, data }).flatMap(([name, url]) => (url === undefined ? [] : [[name, url]]))
      )
      const asked = Object.keys(urls).length > 0
      if (folder === undefined) {
        if (asked) return yield* invalid("SCHEDULER_BACKUP_DIR", "missing: where backups are kept")
        return undefined
      }
      if (!asked) return { ...rest, folder, maker: undefined }
      if (identity === undefined) {
        return yield* invalid("SCHEDULER_BACKUP_IDENTITY", "missing: this server's key, made by `gatehouse keys age`")
      }
      const key = yield* readAgeKey(identity).pipe(
        Effect.catchTag("AgeFailed", () => invalid("SCHEDULER_BACKUP_IDENTITY", "not a secret key of age"))
      )
      if (recovery === undefined || !isRecipient(recovery)) {
        return yield* invalid("SCHEDULER_BACKUP_RECOVERY_RECIPIENT", "not a public key of age (age1…)")
      }
      if (recovery === key.recipient) {
        return yield* invalid("SCHEDULER_BACKUP_RECOVERY_RECIPIENT", "must be another key than this server's")
      }
      const databases = (["gateway", "logging", "data"] as const).filter((name) => urls[name] !== undefined)
      return {
        ...rest,
        folder,
        maker: { databases, urls, identity: key.identity, recipients: [key.recipient, recovery] }
      }
    })
  )
)
export type BackupConfig = NonNullable<Config.Success<typeof backupConfig>>
