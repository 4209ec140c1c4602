/** Composes the dashboard: its files in memory behind the identity check; must need no database and no Kubernetes. */
import { Effect, Layer } from "effect"
import { Identity } from "#shared/auth.ts"
import { type Env, processEnv, readConfig } from "#shared/config.ts"
import { makeService, type Service } from "#shared/service.ts"
import { logging } from "#shared/telemetry.ts"
import { readAssets } from "./assets.ts"
import { dashboardConfig, dashboardPrefixes } from "./config.ts"
import { makeFetch } from "./http.ts"

/** A running dashboard; rejects with ConfigInvalid if a setting is wrong or the web app is not built. */
export const make = async (env: Env = processEnv()): Promise<Service> => {
  const { assets, identity } = await Effect.runPromise(
    Effect.gen(function* () {
      const config = yield* readConfig(dashboardConfig, env, dashboardPrefixes)
      return { assets: yield* readAssets(config.assets), identity: config.identity }
    })
  )
  return makeService({
    name: "dashboard",
    layer: Identity.layer({ service: "dashboard", ...identity }).pipe(
      Layer.provideMerge(Layer.orDie(logging("dashboard")))
    ),
    fetch: makeFetch(assets),
    ready: { identity: Identity.use((identity) => identity.ready) }
  })
}
