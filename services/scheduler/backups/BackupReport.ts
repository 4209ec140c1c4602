/** What is known of the backups: the list people read, and how old the newest proven one of each database is; must change nothing. */
import { Clock, Context, Effect, Layer, Metric } from "effect"
import type { Backup, BackupDatabase, BackupList } from "#shared/api/scheduler.ts"
import { type BackupSet, BackupSets } from "./BackupSets.ts"
import type { BackupFailed } from "./failures.ts"

export class BackupReport extends Context.Service<
  BackupReport,
  {
    readonly list: Effect.Effect<BackupList, BackupFailed>
    /** Looks again now; after a backup or a drill. */
    readonly measure: Effect.Effect<void>
  }
>()("gatehouse/scheduler/BackupReport") {
  /** `expected` are the databases that this process backs up: one without any backup counts as never restorable. */
  static readonly layer = (expected: ReadonlyArray<BackupDatabase>) => Layer.effect(BackupReport, makeReport(expected))

  /** Where nothing is configured: `reason` says so. */
  static readonly none = (reason: string) =>
    Layer.succeed(
      BackupReport,
      BackupReport.of({
        list: Effect.succeed({ databases: [], items: [], notes: [reason] }),
        measure: Effect.void
      })
    )
}

const databases: ReadonlyArray<BackupDatabase> = ["gateway", "logging", "data"]

/** Between two looks at the folder. */
const every = "30 seconds"

/** Infinite where no backup of the database was ever restored: an alarm on its size then fires too. */
const restorableAge = Metric.gauge("backup_last_restorable_age_seconds", {
  description: "Age of the snapshot of the newest backup that a drill has restored, by database."
})

const localOnly =
  "All backups lie in one folder of this installation: copy them elsewhere, or a lost disk takes them too."

const stateOf = ({ drill }: BackupSet) => (drill === undefined ? "made" : drill.ok ? "verified" : "damaged")

const viewOf = (set: BackupSet): Backup => {
  const { database, files, jobId, rows, serverVersion, set: id, tables, takenAt } = set.manifest
  const { drill } = set
  return {
    id,
    database,
    state: stateOf(set),
    takenAt,
    jobId,
    bytes: files.reduce((sum, one) => sum + one.bytes, 0),
    tables,
    rows,
    serverVersion,
    drill:
      drill === undefined
        ? null
        : {
            at: drill.at,
            rtoSeconds: drill.rtoSeconds,
            rpoSeconds: drill.rpoSeconds,
            tables: drill.tables,
            rows: drill.rows,
            faults: drill.faults
          }
  }
}

const makeReport = Effect.fnUntraced(function* (expected: ReadonlyArray<BackupDatabase>) {
  const sets = yield* BackupSets

  const look = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const all = yield* Effect.forEach(databases, (database) =>
      Effect.map(sets.list(database), (found) => {
        const proven = found.find(({ drill }) => drill?.ok === true)
        const age = proven === undefined ? null : Math.max(0, (now - Date.parse(proven.manifest.takenAt)) / 1000)
        return { database, found, age }
      })
    )
    return all.filter(({ database, found }) => found.length > 0 || expected.includes(database))
  })

  const measure = look.pipe(
    Effect.flatMap((all) =>
      Effect.forEach(
        all,
        ({ age, database }) =>
          Metric.update(Metric.withAttributes(restorableAge, { database }), age ?? Number.POSITIVE_INFINITY),
        { discard: true }
      )
    ),
    Effect.catchTag("BackupFailed", (error) =>
      Effect.logWarning("the backups cannot be looked at").pipe(Effect.annotateLogs({ reason: error.message }))
    )
  )
  yield* measure.pipe(Effect.andThen(Effect.sleep(every)), Effect.forever, Effect.forkScoped)

  return BackupReport.of({
    measure,
    list: Effect.gen(function* () {
      const all = yield* look
      const items = all
        .flatMap(({ found }) => found.map(viewOf))
        .toSorted((one, other) => other.takenAt.localeCompare(one.takenAt))
      return {
        databases: all.map(({ age, database }) => ({ database, restorableAgeSeconds: age })),
        items,
        notes: [localOnly]
      }
    })
  })
})
