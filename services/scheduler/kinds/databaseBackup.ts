/** The job kind `database.backup`: a new sealed set of each database asked for, and the removal of old ones; must prove nothing. */
import { Effect, Layer, Schema } from "effect"
import { BackupDatabase } from "#shared/api/scheduler.ts"
import { BackupReport } from "../backups/BackupReport.ts"
import { BackupSets } from "../backups/BackupSets.ts"
import { DatabaseBackups } from "../backups/DatabaseBackups.ts"
import { done, JobFailed, JobHandlers } from "../JobHandler.ts"

/** All that are configured unless told. */
export const DatabasesPayload = Schema.Struct({
  databases: Schema.optionalKey(
    Schema.Array(BackupDatabase).check(Schema.isMinLength(1), Schema.isMaxLength(3), Schema.isUnique())
  )
}).check(
  // A struct without required fields would take an array too.
  Schema.makeFilter((given) => !Array.isArray(given) || "expected an object")
)

export const databaseBackupKind = {
  kind: "database.backup",
  version: 1,
  description: "Back up databases: one sealed set of each, at one moment of it",
  payload: DatabasesPayload,
  target: ({ databases }: typeof DatabasesPayload.Type) => `database/${databases?.join(",") ?? "all"}`
}

const makeHandler = Effect.gen(function* () {
  const backups = yield* DatabaseBackups
  const handlers = yield* JobHandlers
  const report = yield* BackupReport
  const sets = yield* BackupSets
  yield* handlers.register({
    ...databaseBackupKind,
    unavailable: backups.unavailable,
    run: Effect.fn("database.backup")(function* ({ databases = backups.databases }, { jobId, log }) {
      const made: Array<{ readonly database: string; readonly set: string; readonly rows: number }> = []
      const failed: Array<string> = []
      for (const database of databases) {
        const result = yield* Effect.result(backups.make(database, jobId))
        if (result._tag === "Failure") {
          // The others are not worse for it.
          failed.push(`${database}: ${result.failure.message}`)
          yield* log("error", failed.at(-1)!)
          continue
        }
        const { rows, set, tables } = result.success.manifest
        made.push({ database, set, rows })
        yield* log("info", `${database}: ${set}, ${tables} tables, ${rows} rows`)
        const removed = yield* sets.prune(database).pipe(Effect.catchTag("BackupFailed", () => Effect.succeed(0)))
        if (removed > 0) yield* log("info", `${database}: ${removed} old backups removed`)
      }
      yield* report.measure
      if (failed.length > 0) return yield* new JobFailed({ detail: failed.join("; "), retryable: true })
      return done({ made })
    })
  })
})

export const databaseBackup: Layer.Layer<never, never, BackupReport | BackupSets | DatabaseBackups | JobHandlers> =
  Layer.effectDiscard(makeHandler)
