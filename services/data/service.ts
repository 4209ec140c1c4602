/** The composition of the data service: its configuration turned into a running service. */
import { ConfigProvider, Effect, Layer } from "effect"
import { Identity } from "#shared/auth.ts"
import { type Env, processEnv, readConfig } from "#shared/config.ts"
import { makeService, type Service } from "#shared/service.ts"
import { Database } from "#shared/sql.ts"
import { logging } from "#shared/telemetry.ts"
import { Catalogue } from "./Catalogue.ts"
import { type DataConfig, dataConfig, dataPrefixes } from "./config.ts"
import { Datasets } from "./Datasets.ts"
import { Freshness } from "./Freshness.ts"
import { Gatekeeper } from "./Gatekeeper.ts"
import { makeFetch } from "./http.ts"
import { Ingest } from "./Ingest.ts"
import { Memberships } from "./Memberships.ts"
import { migrations } from "./migrations/index.ts"
import { Queries } from "./Queries.ts"
import { Rows } from "./Rows.ts"
import { Sessions } from "./Sessions.ts"
import { SqlParser } from "./SqlParser.ts"

export interface Composition {
  /** Datasets that come with the composition rather than from a folder. */
  readonly definitions?: ReadonlyArray<{ readonly name: string; readonly text: string }>
}

const layerOf = (config: DataConfig, env: Env, { definitions = [] }: Composition) =>
  Layer.mergeAll(Queries.layer(config.limits), Rows.layer(config.limits), Ingest.layer(config.limits)).pipe(
    Layer.provideMerge(Gatekeeper.layer(config.limits)),
    Layer.provideMerge(SqlParser.layer),
    Layer.provideMerge(Sessions.layer({ queryUrl: config.queryDatabaseUrl, writeUrl: config.writeDatabaseUrl })),
    Layer.provideMerge(Layer.mergeAll(Catalogue.layer, Memberships.layer, Freshness.layer)),
    Layer.provideMerge(Datasets.layer({ folder: config.datasetsDir, definitions })),
    Layer.provideMerge(Identity.layer({ service: "data", ...config.identity })),
    Layer.provideMerge(
      Database.layer({
        name: "data DB",
        url: config.databaseUrl,
        applicationName: "gatehouse-data",
        migrations,
        maxConnections: 6,
        patience: "10 seconds"
      })
    ),
    Layer.provideMerge(logging("data").pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))),
    Layer.orDie
  )

/** Builds the data service from `env`; rejects with ConfigInvalid. Started before its database is there, it becomes ready with it. */
export const make = async (env: Env = processEnv(), composition: Composition = {}): Promise<Service> => {
  const config = await Effect.runPromise(readConfig(dataConfig, env, dataPrefixes))
  return makeService({
    name: "data",
    layer: layerOf(config, env, composition),
    fetch: makeFetch,
    ready: {
      database: Database.use((database) => database.ready),
      datasets: Datasets.use((datasets) => datasets.ready),
      identity: Identity.use((identity) => identity.ready)
    }
  })
}
