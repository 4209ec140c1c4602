/** The composition of the scheduler: its configuration turned into a running service. */
import { ConfigProvider, Effect, Layer } from "effect"
import type { ScheduleInput } from "#shared/api/scheduler.ts"
import { Identity } from "#shared/auth.ts"
import { type Env, processEnv, readConfig } from "#shared/config.ts"
import { kubernetesLayer } from "#shared/kubernetes/config.ts"
import type { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { makeService, type Service } from "#shared/service.ts"
import { Database } from "#shared/sql.ts"
import { logging } from "#shared/telemetry.ts"
import { WorkloadIdentity } from "#shared/workload.ts"
import { Audit } from "./Audit.ts"
import { backupLayer, backupSchedules } from "./backups/layer.ts"
import { type SchedulerConfig, schedulerConfig } from "./config.ts"
import { AdminApi } from "./health/AdminApi.ts"
import { IncidentStore } from "./health/IncidentStore.ts"
import { healthLayer } from "./health/layer.ts"
import { makeFetch } from "./http.ts"
import { JobFeed } from "./JobFeed.ts"
import { JobHandlers } from "./JobHandler.ts"
import { JobLogs } from "./JobLogs.ts"
import { JobLogStore } from "./JobLogStore.ts"
import { Jobs } from "./Jobs.ts"
import { JobSignals } from "./JobSignals.ts"
import { healthCheck } from "./kinds/healthCheck.ts"
import { httpCall } from "./kinds/httpCall.ts"
import { kubernetesJob } from "./kinds/kubernetesJob.ts"
import { retention } from "./kinds/retention.ts"
import { migrations } from "./migrations/index.ts"
import { postgresJobStore } from "./PostgresJobStore.ts"
import { RetentionStore } from "./RetentionStore.ts"
import { Schedules } from "./schedules/Schedules.ts"
import { ScheduleStore } from "./schedules/ScheduleStore.ts"
import { Ticker } from "./schedules/Ticker.ts"
import { SchedulerEvents } from "./SchedulerEvents.ts"
import { Upkeep } from "./Upkeep.ts"
import { WatchState } from "./WatchState.ts"
import { Workers } from "./Workers.ts"

/** What tests and the platform in one process put in the place of what configuration would choose. */
export interface Overrides {
  /** Registers further kinds of job. */
  readonly handlers?: Layer.Layer<never, never, JobHandlers>
  /** The cluster to work in. */
  readonly kubernetes?: Layer.Layer<Kubernetes>
}

/** Schedules that come with the platform. */
const builtIn = ({ backups }: SchedulerConfig): Readonly<Record<string, ScheduleInput>> => ({
  retention: { cron: "17 3 * * *", kind: "retention", payload: {}, jitterSeconds: 600 },
  ...backupSchedules(backups)
})

/** The kinds of job that this process can run: those for which it is configured. */
const kindsOf = (config: SchedulerConfig, { handlers = Layer.empty, kubernetes }: Overrides) => {
  const namespace = config.namespace ?? config.identity.environment
  const { workload } = config
  const calling =
    workload === undefined
      ? healthCheck({ namespace, identity: undefined })
      : Layer.merge(
          httpCall,
          Layer.unwrap(Effect.map(WorkloadIdentity, (identity) => healthCheck({ namespace, identity })))
        ).pipe(Layer.provide(WorkloadIdentity.layer(workload)))
  const ages = { succeededDays: config.keepSucceededDays, failedDays: config.keepFailedDays }
  return Layer.mergeAll(
    handlers,
    calling,
    kubernetes === undefined
      ? Layer.empty
      : kubernetesJob({ namespace, priorityClass: config.jobPriorityClass }).pipe(Layer.provide(kubernetes)),
    retention(ages).pipe(Layer.provide(RetentionStore.layer))
  )
}

/** The watchman, where there is a cluster to watch; its incidents can be read in any case. */
const watching = ({ identity, namespace, thresholds, workload }: SchedulerConfig, { kubernetes }: Overrides) => {
  if (kubernetes === undefined) return Layer.merge(IncidentStore.layer, WatchState.off)
  const admin =
    workload === undefined ? AdminApi.unknown : AdminApi.layer.pipe(Layer.provide(WorkloadIdentity.layer(workload)))
  return healthLayer({ namespace: namespace ?? identity.environment, thresholds }).pipe(
    Layer.provide(Layer.merge(admin, kubernetes))
  )
}

const layerOf = (config: SchedulerConfig, env: Env, given: Overrides) => {
  const { keepLogDays, sweepSeconds } = config
  // Built into the same layer value, it is one client however many use it.
  const kubernetes =
    given.kubernetes ?? (config.kubernetes === undefined ? undefined : kubernetesLayer(config.kubernetes))
  const overrides = { ...given, ...(kubernetes === undefined ? {} : { kubernetes: Layer.orDie(kubernetes) }) }
  return Layer.mergeAll(Upkeep.layer({ everySeconds: sweepSeconds, logDays: keepLogDays }), JobFeed.layer).pipe(
    Layer.provideMerge(
      Layer.mergeAll(Workers.layer(config), Ticker.layer({ sweepSeconds, builtIn: builtIn(config) }), Schedules.layer)
    ),
    // Before the workers: what they claim is of kinds that are known.
    Layer.provideMerge(kindsOf(config, overrides)),
    Layer.provideMerge(backupLayer(config.backups)),
    Layer.provideMerge(watching(config, overrides)),
    Layer.provideMerge(Layer.mergeAll(Jobs.layer, JobLogs.layer, ScheduleStore.layer)),
    Layer.provideMerge(Layer.mergeAll(JobSignals.layer, JobLogStore.layer, postgresJobStore, Audit.layer)),
    Layer.provideMerge(Layer.merge(JobHandlers.layer, SchedulerEvents.layer)),
    Layer.provideMerge(Identity.layer({ service: "scheduler", ...config.identity })),
    Layer.provideMerge(
      Database.layer({
        name: "logging DB",
        url: config.databaseUrl,
        applicationName: "gatehouse-scheduler",
        migrations,
        maxConnections: config.maxConnections
      })
    ),
    Layer.provideMerge(
      logging("scheduler").pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))
    ),
    Layer.orDie
  )
}

/** Builds the scheduler from `env`; rejects with ConfigInvalid. */
export const make = async (env: Env = processEnv(), overrides: Overrides = {}): Promise<Service> => {
  const config = await Effect.runPromise(readConfig(schedulerConfig, env, ["SCHEDULER_"]))
  return makeService({
    name: "scheduler",
    layer: layerOf(config, env, overrides),
    fetch: (built) => {
      // Claiming ends with the wish to stop, not with the last request.
      built.stopping.addEventListener("abort", () => built.runtime.runFork(Workers.use((workers) => workers.drain)))
      return makeFetch(built)
    },
    ready: {
      database: Database.use((database) => database.ready),
      identity: Identity.use((identity) => identity.ready)
    }
  })
}
