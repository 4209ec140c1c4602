/** The composition of the sample service, the smallest useful one behind the gateway: its configuration turned into a running service. */
import { ConfigProvider, Effect, Layer } from "effect"
import { Identity } from "#shared/auth.ts"
import { type Env, processEnv, readConfig } from "#shared/config.ts"
import { makeService, type Service } from "#shared/service.ts"
import { Database } from "#shared/sql.ts"
import { logging } from "#shared/telemetry.ts"
import { WorkloadIdentity } from "#shared/workload.ts"
import { type HelloConfig, helloConfig } from "./config.ts"
import { GuestBook } from "./GuestBook.ts"
import { makeFetch } from "./http.ts"
import { migrations } from "./migrations/index.ts"
import { Reminders } from "./Reminders.ts"

const layerOf = ({ databaseUrl, identity, workload }: HelloConfig, env: Env) =>
  Layer.merge(
    GuestBook.layer,
    workload === undefined ? Reminders.off : Reminders.layer.pipe(Layer.provide(WorkloadIdentity.layer(workload)))
  ).pipe(
    Layer.provideMerge(Identity.layer({ service: "hello", ...identity })),
    Layer.provideMerge(
      Database.layer({
        name: "data DB",
        url: databaseUrl,
        applicationName: "gatehouse-hello",
        migrations,
        maxConnections: 4,
        patience: "3 seconds"
      })
    ),
    Layer.provideMerge(logging("hello").pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))),
    Layer.orDie
  )

/** Builds the service from `env`; rejects with ConfigInvalid. A database that is away makes it unready and does not stop it. */
export const make = async (env: Env = processEnv()): Promise<Service> => {
  const config = await Effect.runPromise(readConfig(helloConfig, env, ["HELLO_"]))
  return makeService({
    name: "hello",
    layer: layerOf(config, env),
    fetch: makeFetch(config.greeting),
    ready: {
      database: Database.use((database) => database.ready),
      identity: Identity.use((identity) => identity.ready)
    }
  })
}
