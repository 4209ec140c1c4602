/** The job kind `database.drill`: restores the newest backup of each database asked for and compares it; where that is damaged, the one before, and says so. */
import { Effect, Layer } from "effect"
import { BackupReport } from "../backups/BackupReport.ts"
import { DatabaseBackups } from "../backups/DatabaseBackups.ts"
import { PostgresTools } from "../backups/PostgresTools.ts"
import { RestoreDrills } from "../backups/RestoreDrills.ts"
import { done, JobFailed, JobHandlers } from "../JobHandler.ts"
import { DatabasesPayload } from "./databaseBackup.ts"

export const databaseDrillKind = {
  kind: "database.drill",
  version: 1,
  description: "Restore the newest backup of databases into a throwaway server and compare every row",
  payload: DatabasesPayload,
  target: ({ databases }: typeof DatabasesPayload.Type) => `database/${databases?.join(",") ?? "all"}`
}

const makeHandler = Effect.gen(function* () {
  const backups = yield* DatabaseBackups
  const drills = yield* RestoreDrills
  const handlers = yield* JobHandlers
  const report = yield* BackupReport
  const tools = yield* PostgresTools
  yield* handlers.register({
    ...databaseDrillKind,
    unavailable: tools.need("pg_restore", "initdb", "postgres").pipe(
      Effect.as(undefined),
      Effect.catchTag("ToolsMissing", ({ reason }) => Effect.succeed(reason))
    ),
    run: Effect.fn("database.drill")(function* ({ databases = backups.databases }, { log }) {
      const restored: Array<object> = []
      const failed: Array<string> = []
      let again = false
      for (const database of databases) {
        const result = yield* Effect.result(drills.newest(database))
        if (result._tag === "Failure") {
          again = true
          failed.push(`${database}: ${result.failure.message}`)
          yield* log("error", failed.at(-1)!)
          continue
        }
        if (result.success.length === 0) failed.push(`${database}: there is no backup`)
        for (const { record, set } of result.success) {
          const { faults, ok, rows, rpoSeconds, rtoSeconds, tables } = record
          const name = set.manifest.set
          if (ok) {
            restored.push({ database, set: name, tables, rows, rtoSeconds, rpoSeconds })
            yield* log("info", `${database}: ${name} restored in ${rtoSeconds} s, ${tables} tables, ${rows} rows equal`)
          } else {
            failed.push(`${database}: ${name} cannot be restored: ${faults[0]}`)
            for (const fault of faults) yield* log("error", `${database}: ${name}: ${fault}`)
          }
        }
      }
      yield* report.measure
      // What is damaged stays so; what could not be tried may work later.
      if (failed.length > 0) return yield* new JobFailed({ detail: failed.join("; "), retryable: again })
      return done({ restored })
    })
  })
})

export const databaseDrill: Layer.Layer<
  never,
  never,
  BackupReport | DatabaseBackups | JobHandlers | PostgresTools | RestoreDrills
> = Layer.effectDiscard(makeHandler)
