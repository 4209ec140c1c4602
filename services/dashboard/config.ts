/** The dashboard's settings, read once; must hold no secret, because the dashboard has none. */
import { Config } from "effect"
import { identityConfig } from "#shared/auth.ts"

export const dashboardConfig = Config.all({
  /** Folder of the built web app (services/dashboard/build.ts writes it). */
  assets: Config.String("DASHBOARD_ASSETS").pipe(
    Config.withDefault(decodeURIComponent(new URL("./dist", import.meta.url).pathname))
  ),
  identity: identityConfig
})

/** Prefixes under which a key that nobody reads stops the start. */
export const dashboardPrefixes = ["DASHBOARD_", "IDENTITY_"]
