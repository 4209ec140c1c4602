/** Prints what the monitor sees with the settings of its environment; run by view.test.ts inside namespaces. */
import { Effect, Layer } from "effect"
import { Collectors } from "#monitor/Collectors.ts"
import { monitorConfig } from "#monitor/config.ts"
import { snapshotOf } from "#monitor/snapshot.ts"
import { StatFs } from "#monitor/StatFs.ts"
import { readConfig } from "#shared/config.ts"
import type { Seen } from "#test/monitor/view.test.ts"

const config = await Effect.runPromise(
  readConfig(
    monitorConfig,
    {
      ENVIRONMENT: "dev",
      IDENTITY_ISSUER: "http://localhost",
      IDENTITY_JWKS_URL: "http://localhost/",
      MONITOR_DATABASE_URL: "postgresql://localhost/logging",
      MONITOR_ROOTFS: process.env["MONITOR_ROOTFS"],
      MONITOR_PROCFS: process.env["MONITOR_PROCFS"],
      MONITOR_SYSFS: "/sys"
    },
    ["MONITOR_"]
  )
)

const seen = await Effect.runPromise(
  Effect.gen(function* () {
    const { families, files, read } = yield* Collectors
    const reading = yield* read
    const snapshot = snapshotOf(undefined, reading, files.view)
    const { conntrack } = reading.outcomes
    return {
      view: files.view,
      name: snapshot.host.name,
      interfaces: snapshot.network.map(({ device }) => device),
      mountpoints: snapshot.filesystems.map(({ mountpoint }) => mountpoint),
      network: snapshot.sections["network"]!.status,
      exposed: families(reading, new Set(["netdev", "filesystem", "netstat", "sockstat"])).filter(
        ({ name, samples }) => !name.startsWith("node_scrape") && samples.length > 0
      ).length,
      conntrack: conntrack.ok ? "ok" : conntrack.reason
    } satisfies Seen
  }).pipe(Effect.provide(Collectors.layer(config).pipe(Layer.provide(StatFs.layer))))
)
console.log(JSON.stringify(seen))
process.exit(0)
