/** The parts of backups put together: kinds of job, report, schedules, by what this process is configured for. */
import { Effect, Layer } from "effect"
import type { ScheduleInput } from "#shared/api/scheduler.ts"
import { type JobHandler, JobFailed, JobHandlers } from "../JobHandler.ts"
import { databaseBackup, databaseBackupKind } from "../kinds/databaseBackup.ts"
import { databaseDrill, databaseDrillKind } from "../kinds/databaseDrill.ts"
import { BackupReport } from "./BackupReport.ts"
import { BackupSets } from "./BackupSets.ts"
import type { BackupConfig } from "./config.ts"
import { DatabaseBackups } from "./DatabaseBackups.ts"
import { PostgresTools } from "./PostgresTools.ts"
import { RestoreDrills } from "./RestoreDrills.ts"
import { Throwaway } from "./Throwaway.ts"

/** Known by name only, so that people see that there are such jobs and why not here. */
const named = (how: Pick<JobHandler<never>, "elsewhere" | "unavailable">) =>
  Layer.effectDiscard(
    Effect.flatMap(JobHandlers, ({ register }) =>
      Effect.forEach(
        [databaseBackupKind, databaseDrillKind],
        (kind) =>
          register({ ...kind, ...how, run: () => new JobFailed({ detail: "not configured here", retryable: true }) }),
        { discard: true }
      )
    )
  )

const notConfigured = "backups are not configured: SCHEDULER_BACKUP_DIR"

/** Kinds and report. */
export const backupLayer = (config: BackupConfig | undefined): Layer.Layer<BackupReport, never, JobHandlers> => {
  if (config === undefined) {
    return Layer.merge(BackupReport.none(notConfigured), named({ unavailable: Effect.succeed(notConfigured) }))
  }
  const { folder, maker, minFreeBytes, path, tools, workFolder } = config
  const sets = BackupSets.layer({ folder, minFreeBytes, key: maker?.identity })
  if (maker === undefined)
    return Layer.merge(BackupReport.layer([]).pipe(Layer.provide(sets)), named({ elsewhere: true }))
  const programs = PostgresTools.layer({ folder: tools, path })
  return Layer.merge(databaseBackup, databaseDrill).pipe(
    Layer.provideMerge(BackupReport.layer(maker.databases)),
    Layer.provide(
      Layer.merge(
        DatabaseBackups.layer(maker),
        RestoreDrills.layer(maker).pipe(Layer.provide(Throwaway.layer({ folder: workFolder })))
      )
    ),
    Layer.provide(Layer.merge(sets, programs))
  )
}

/** Schedules that backups come with: none until they are configured. */
export const backupSchedules = (config: BackupConfig | undefined): Readonly<Record<string, ScheduleInput>> => {
  if (config?.maker === undefined) return {}
  const { cron, drillCron, timeZone } = config
  return {
    "database-backup": { cron, timeZone, kind: databaseBackupKind.kind, payload: {} },
    "database-drill": { cron: drillCron, timeZone, kind: databaseDrillKind.kind, payload: {} }
  }
}
