/** `gatehouse keys rotate`: promotes the next signing key from a shell on the server, with the gateway's own settings; running gateways follow by notification. */
import { Effect, Layer } from "effect"
import type { Env } from "#shared/config.ts"
import { Database } from "#shared/sql.ts"
import { Audit } from "./Audit.ts"
import { gatewayConfig } from "./config.ts"
import { Keys } from "./Keys.ts"
import { migrations } from "./migrations/index.ts"

/** Rotates once; with `emergency` also drops every older key and session. Fails with ConfigInvalid or Unavailable. */
export const rotateKeys = (env: Env, emergency: boolean) =>
  Effect.gen(function* () {
    const { databaseUrl, secret } = yield* gatewayConfig(env)
    const database = Database.layer({
      name: "the gateway DB",
      url: databaseUrl,
      applicationName: "gatehouse-keys",
      migrations,
      maxConnections: 3
    })
    const layer = Keys.layer({ secret }).pipe(Layer.provide(Audit.layer), Layer.provide(database))
    yield* Keys.use((keys) => keys.rotate({ emergency })).pipe(Effect.provide(layer))
  })
