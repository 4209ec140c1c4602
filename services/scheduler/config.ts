/** The scheduler's settings, read once; must hold no default that a comment elsewhere repeats. */
import { Config, Duration, Effect } from "effect"
import { identityConfig } from "#shared/auth.ts"
import { databaseUrl } from "#shared/databaseTls.ts"
import { kubernetesConfig } from "#shared/kubernetes/config.ts"
import { workloadConfig } from "#shared/workload.ts"
import { backupConfig } from "./backups/config.ts"
import { thresholdsConfig } from "./health/thresholds.ts"
import { invalid } from "#shared/invalidSetting.ts"

const int = (key: string, fallback: number, least: number, most: number) =>
  Config.Int(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((value) =>
      value >= least && value <= most ? Effect.succeed(value) : invalid(key, `not between ${least} and ${most}`)
    )
  )

/** Whole or broken seconds, from a duration such as "20 seconds". */
const seconds = (key: string, fallback: number, least: number, most: number) =>
  Config.Duration(key).pipe(
    Config.withDefault(Duration.seconds(fallback)),
    Config.mapEffect((value) =>
      Duration.toSeconds(value) >= least && Duration.toSeconds(value) <= most
        ? Effect.succeed(Duration.toSeconds(value))
        : invalid(key, `not between ${least} and ${most} seconds`)
    )
  )

/** Every setting; `readConfig` refuses any other key that starts with `SCHEDULER_`. */
export const schedulerConfig = Config.all({
  identity: identityConfig,
  databaseUrl: databaseUrl("SCHEDULER_DATABASE_URL"),
  /** Connections to the database, one of them for LISTEN. */
  maxConnections: int("SCHEDULER_MAX_CONNECTIONS", 8, 3, 100),
  /** This process among its replicas, as attempts show it. */
  name: Config.String("HOSTNAME").pipe(Config.withDefault("scheduler")),
  /** Jobs that run at a time. */
  concurrency: int("SCHEDULER_CONCURRENCY", 10, 1, 1000),
  /** How long a job is a worker's without a word from it: so long a killed worker's jobs stand still. */
  leaseSeconds: seconds("SCHEDULER_LEASE", 20, 1, 300),
  /** Between two looks at the tables, however many hints are lost. */
  sweepSeconds: seconds("SCHEDULER_SWEEP", 4, 0.1, 5),
  /** How long runs may go on after SIGTERM. */
  graceSeconds: seconds("SCHEDULER_GRACE", 20, 0, 25),
  /** Days that jobs are kept after their end, and the slots of schedules. */
  keepSucceededDays: int("SCHEDULER_KEEP_SUCCEEDED_DAYS", 30, 1, 3650),
  keepFailedDays: int("SCHEDULER_KEEP_FAILED_DAYS", 180, 1, 3650),
  /** Days that jobs' log lines are kept. */
  keepLogDays: int("SCHEDULER_KEEP_LOG_DAYS", 30, 1, 3650),
  /** Where jobs run and pods are watched; the environment's own namespace unless told. */
  namespace: Config.String("SCHEDULER_NAMESPACE").pipe(Config.withDefault(undefined)),
  /** The PriorityClass of the containers that it runs; it must be there. Without one they have the cluster's default. */
  jobPriorityClass: Config.String("SCHEDULER_JOB_PRIORITY_CLASS").pipe(Config.withDefault(undefined)),
  /** The API server, unless neither this names one nor this process runs in a cluster. */
  kubernetes: kubernetesConfig.pipe(
    Config.map((found) => (found.source === "in-cluster" && found.serviceHost === undefined ? undefined : found))
  ),
  /** From when on what is seen of pods counts. */
  thresholds: thresholdsConfig,
  /** Where backups are, and how they are made; without a folder there are none. */
  backups: backupConfig,
  /** How the gateway is reached, and as whom; without it nothing is called there. */
  workload: workloadConfig.pipe(Config.withDefault(undefined))
})

export type SchedulerConfig = Config.Success<typeof schedulerConfig>
