/** The composition of the scheduler: its configuration turned into a running service. */
import { ConfigProvider, Effect, Layer } from "effect"
import type { ScheduleInput } from "#shared/api/scheduler.ts"
import { Identity } from "#shared/auth.ts"
import { ConfigInvalid, type Env, processEnv, readConfig } from "#shared/config.ts"
import type { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { makeService, type Service } from "#shared/service.ts"
import { Database } from "#shared/sql.ts"
import { logging } from "#shared/telemetry.ts"
import { WorkloadIdentity } from "#shared/workload.ts"
import { Audit } from "./Audit.ts"
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
import { migrations } from "./migrations/index.ts"
import { postgresJobStore } from "./PostgresJobStore.ts"
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
  /** The cluster to watch; without one there is no watchman. */
  readonly kubernetes?: Layer.Layer<Kubernetes>
}

/** The watchman, where there is a cluster to watch; its incidents can be read in any case. */
const watching = ({ identity, namespace, thresholds, workload }: SchedulerConfig, { kubernetes }: Overrides) => {
  if (kubernetes === undefined) return Layer.merge(IncidentStore.layer, WatchState.off)
  const admin =
    workload === undefined
      ? Layer.effect(
          AdminApi,
          Effect.fail(new ConfigInvalid({ key: "GATEWAY_URL", detail: "missing: nothing could be proposed" }))
        )
      : AdminApi.layer.pipe(Layer.provide(WorkloadIdentity.layer(workload)))
  return healthLayer({ namespace: namespace ?? identity.environment, thresholds }).pipe(
    Layer.provide(Layer.merge(admin, kubernetes))
  )
}

/** Days that the log lines of jobs are kept. */
const logDays = 30

/** Schedules that come with the platform. */
const builtIn: Readonly<Record<string, ScheduleInput>> = {}

const layerOf = (config: SchedulerConfig, env: Env, overrides: Overrides) =>
  Layer.mergeAll(
    Upkeep.layer({ everySeconds: config.sweepSeconds, logDays }),
    JobFeed.layer,
    overrides.handlers ?? Layer.empty
  ).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Workers.layer(config),
        Ticker.layer({ sweepSeconds: config.sweepSeconds, builtIn }),
        Schedules.layer
      )
    ),
    Layer.provideMerge(watching(config, overrides)),
    Layer.provideMerge(Layer.mergeAll(Jobs.layer, JobLogs.layer, ScheduleStore.layer)),
    Layer.provideMerge(Layer.mergeAll(JobSignals.layer, JobLogStore.layer, postgresJobStore, Audit.layer)),
    Layer.provideMerge(Layer.mergeAll(JobHandlers.layer, SchedulerEvents.layer)),
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
