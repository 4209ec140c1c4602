/** The monitor's settings, read once; must hold no default that a comment elsewhere repeats. */
import { join } from "node:path"
import { Config, Duration, Effect } from "effect"
import { identityConfig } from "#shared/auth.ts"
import { databaseUrl } from "#shared/databaseTls.ts"
import { defaultDiskExclude, defaultFsTypeExclude, defaultMountExclude, type Filter, makeFilter } from "./filter.ts"
import { invalid } from "#shared/invalidSetting.ts"

const optional = (key: string) => Config.String(key).pipe(Config.withDefault(undefined))

/** `<key>_INCLUDE` or `<key>_EXCLUDE`, regular expressions as node_exporter's flags; both at once stop the start. */
const filter = (key: string, defaultExclude: string | undefined): Config.Config<Filter> =>
  Config.all({ include: optional(`${key}_INCLUDE`), exclude: optional(`${key}_EXCLUDE`) }).pipe(
    Config.mapEffect(({ exclude, include }) => {
      if (include !== undefined && exclude !== undefined) {
        return invalid(`${key}_INCLUDE`, `set it or ${key}_EXCLUDE, not both`)
      }
      const name = include === undefined ? `${key}_EXCLUDE` : `${key}_INCLUDE`
      const pattern = include ?? exclude ?? defaultExclude
      try {
        const expression = pattern === undefined ? undefined : new RegExp(pattern, "u")
        return Effect.succeed(
          include === undefined ? makeFilter(undefined, expression) : makeFilter(expression, undefined)
        )
      } catch {
        return invalid(name, "not a regular expression")
      }
    })
  )

const folder = (key: string) =>
  optional(key).pipe(
    Config.mapEffect((path) =>
      path === undefined || path.startsWith("/") ? Effect.succeed(path) : invalid(key, "not an absolute path")
    )
  )

const prefixes = Config.all({
  rootfs: folder("MONITOR_ROOTFS"),
  procfs: folder("MONITOR_PROCFS"),
  sysfs: folder("MONITOR_SYSFS")
}).pipe(
  Config.map(({ procfs, rootfs = "/", sysfs }) => ({
    rootfs,
    procfs: procfs ?? join(rootfs, "proc"),
    sysfs: sysfs ?? join(rootfs, "sys")
  }))
)

/** Every setting; `readConfig` refuses any other key that starts with `MONITOR_`. */
export const monitorConfig = Config.all({
  identity: identityConfig,
  prefixes,
  mounts: filter("MONITOR_FILESYSTEM_MOUNT", defaultMountExclude),
  fsTypes: filter("MONITOR_FILESYSTEM_FS_TYPE", defaultFsTypeExclude),
  disks: filter("MONITOR_DISK", defaultDiskExclude),
  networks: filter("MONITOR_NETWORK", undefined),
  databaseUrl: databaseUrl("MONITOR_DATABASE_URL"),
  /** Between two samples kept in history, 1 s at least. */
  historyInterval: Config.Duration("MONITOR_HISTORY_INTERVAL").pipe(
    Config.withDefault(Duration.seconds(10)),
    Config.mapEffect((interval) =>
      Duration.toMillis(interval) >= 1000 && Duration.toMillis(interval) <= 60_000
        ? Effect.succeed(interval)
        : invalid("MONITOR_HISTORY_INTERVAL", "not between 1 second and 60 seconds")
    )
  ),
  /** Bytes the history may take in the database before its oldest fine-grained part goes early. */
  historyMaxBytes: Config.Int("MONITOR_HISTORY_MAX_BYTES").pipe(
    Config.withDefault(512 * 1024 * 1024),
    Config.mapEffect((bytes) =>
      bytes >= 1024 * 1024 ? Effect.succeed(bytes) : invalid("MONITOR_HISTORY_MAX_BYTES", "less than 1 MiB")
    )
  )
})

export type MonitorConfig = Config.Success<typeof monitorConfig>
