/** The composition of admin: its configuration turned into a running service. */
import { ConfigProvider, Effect, Layer } from "effect"
import { Identity } from "#shared/auth.ts"
import { type Env, processEnv, readConfig } from "#shared/config.ts"
import { kubernetesConfig, kubernetesLayer } from "#shared/kubernetes/config.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { makeService, type Service } from "#shared/service.ts"
import { Database } from "#shared/sql.ts"
import { logging } from "#shared/telemetry.ts"
import { ActionLog } from "./ActionLog.ts"
import { Authority } from "./Authority.ts"
import { Backups } from "./Backups.ts"
import { CapabilityMap } from "./CapabilityMap.ts"
import { Cluster } from "./Cluster.ts"
import { type AdminConfig, adminConfig } from "./config.ts"
import { Feed } from "./Feed.ts"
import { makeFetch } from "./http.ts"
import { Locks } from "./Locks.ts"
import { Logs } from "./Logs.ts"
import { migrations } from "./migrations/index.ts"
import { Operations } from "./Operations.ts"
import { Plans } from "./Plans.ts"
import { Proposals } from "./Proposals.ts"
import { ProposalStore } from "./ProposalStore.ts"
import { Recovery } from "./Recovery.ts"
import { chronicleLayer, recentLayer } from "./Remembered.ts"
import { Rollouts } from "./Rollouts.ts"
import { RolloutWatch } from "./RolloutWatch.ts"
import { BackupSets } from "./sets/BackupSets.ts"
import { Writes } from "./Writes.ts"

/** What stands in for a part of the service: a simulated cluster. */
export interface Overrides {
  readonly kubernetes?: Layer.Layer<Kubernetes>
}

const layerOf = (config: AdminConfig, env: Env, kubernetes: Layer.Layer<Kubernetes, Error>) => {
  const records = Layer.mergeAll(ProposalStore.layer, Locks.layer, chronicleLayer).pipe(
    Layer.provideMerge(ActionLog.layer)
  )
  const seen = Feed.layer().pipe(
    Layer.provideMerge(
      Layer.mergeAll(recentLayer, Cluster.layer({ namespaces: config.namespaces, goodAfter: config.knownGood }))
    ),
    Layer.provideMerge(Layer.mergeAll(Rollouts.layer, Logs.layer())),
    Layer.provideMerge(records)
  )
  const written = Layer.mergeAll(
    Proposals.layer({ fourEyes: config.fourEyes }).pipe(Layer.provideMerge(Operations.layer)),
    Plans.layer({ directApply: config.directApply, ...config.manifests })
  ).pipe(
    Layer.provideMerge(Writes.layer),
    Layer.provideMerge(Layer.mergeAll(Recovery.layer, RolloutWatch.layer, Backups.layer(config.backups)))
  )
  const { folder, minFreeBytes } = config.backups
  const sets = BackupSets.layer({ ...config.backupSets, namespaces: config.namespaces, folder, minFreeBytes })
  return Layer.mergeAll(written, sets, Authority.layer(config.namespaces), CapabilityMap.layer(config)).pipe(
    Layer.provideMerge(seen),
    Layer.provideMerge(kubernetes),
    Layer.provideMerge(Identity.layer({ service: "admin", ...config.identity })),
    Layer.provideMerge(
      Database.layer({
        name: "logging DB",
        url: config.databaseUrl,
        applicationName: "gatehouse-admin",
        migrations,
        maxConnections: 8,
        patience: "5 seconds"
      })
    ),
    Layer.provideMerge(logging("admin").pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))),
    Layer.orDie
  )
}

/** Builds admin from `env`; rejects with ConfigInvalid. It starts while the cluster or the database is away, and is not ready then. */
export const make = async (env: Env = processEnv(), overrides: Overrides = {}): Promise<Service> => {
  const config = await Effect.runPromise(readConfig(adminConfig, env, ["ADMIN_"]))
  const kubernetes =
    overrides.kubernetes ?? kubernetesLayer(await Effect.runPromise(readConfig(kubernetesConfig, env, [])))
  return makeService({
    name: "admin",
    layer: layerOf(config, env, kubernetes),
    fetch: makeFetch,
    ready: {
      kubernetes: Kubernetes.use((port) => port.ready),
      database: Database.use((database) => database.ready),
      identity: Identity.use((identity) => identity.ready)
    }
  })
}
