/** The sample service's settings, read once; `readConfig` refuses any other key that starts with `HELLO_`. */
import { Config } from "effect"
import { identityConfig } from "#shared/auth.ts"
import { databaseUrl } from "#shared/databaseTls.ts"
import { workloadConfig } from "#shared/workload.ts"

export const helloConfig = Config.all({
  /** By whom callers are proved. */
  identity: identityConfig,
  /** The data DB, as a role with a schema of its own. */
  databaseUrl: databaseUrl("HELLO_DATABASE_URL"),
  /** What is said to who comes. */
  greeting: Config.NonEmptyString("HELLO_GREETING").pipe(Config.withDefault("Hello")),
  /** How the gateway is reached, and as whom; without it no reminder can be asked for. */
  workload: workloadConfig.pipe(Config.withDefault(undefined))
})

export type HelloConfig = Config.Success<typeof helloConfig>
