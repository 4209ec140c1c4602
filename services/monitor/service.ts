/** The composition of the monitor: its configuration turned into a running service. */
import { ConfigProvider, Effect, Layer } from "effect"
import { Identity } from "#shared/auth.ts"
import { type Env, processEnv, readConfig } from "#shared/config.ts"
import { makeService, type Service } from "#shared/service.ts"
import { Database } from "#shared/sql.ts"
import { logging } from "#shared/telemetry.ts"
import { Collectors } from "./Collectors.ts"
import { type MonitorConfig, monitorConfig } from "./config.ts"
import { History } from "./History.ts"
import { Host } from "./Host.ts"
import { makeFetch } from "./http.ts"
import { migrations } from "./migrations/index.ts"
import { StatFs } from "./StatFs.ts"

const layerOf = (config: MonitorConfig, env: Env) =>
  History.layer({ interval: config.historyInterval, maxBytes: config.historyMaxBytes }).pipe(
    Layer.provideMerge(Host.layer),
    Layer.provideMerge(Collectors.layer(config)),
    Layer.provideMerge(StatFs.layer),
    Layer.provideMerge(Identity.layer({ service: "monitor", ...config.identity })),
    Layer.provideMerge(
      Database.layer({
        name: "logging DB",
        url: config.databaseUrl,
        applicationName: "gatehouse-monitor",
        migrations,
        maxConnections: 4
      })
    ),
    Layer.provideMerge(logging("monitor").pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))),
    Layer.orDie
  )

/** The host's processor and memory can be read; without them there is nothing worth serving. */
const collecting = Effect.gen(function* () {
  const { outcomes } = yield* Host.use((host) => host.reading())
  for (const outcome of [outcomes.cpu, outcomes.meminfo])
    if (!outcome.ok) return yield* Effect.fail(new Error(outcome.reason))
})

/** Builds the monitor from `env`; rejects with ConfigInvalid. The history's database being away does not make it unready. */
export const make = async (env: Env = processEnv()): Promise<Service> => {
  const config = await Effect.runPromise(readConfig(monitorConfig, env, ["MONITOR_"]))
  return makeService({
    name: "monitor",
    layer: layerOf(config, env),
    fetch: makeFetch,
    ready: { collectors: collecting, identity: Identity.use((identity) => identity.ready) }
  })
}
