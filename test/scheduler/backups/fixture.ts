/** Backups of a test's own database into a test's own folder, with keys made for the test; must use no key or folder of anybody else. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { BackupSets } from "#scheduler/backups/BackupSets.ts"
import { DatabaseBackups } from "#scheduler/backups/DatabaseBackups.ts"
import { PostgresTools } from "#scheduler/backups/PostgresTools.ts"
import { type DrillOptions, RestoreDrills } from "#scheduler/backups/RestoreDrills.ts"
import { Throwaway } from "#scheduler/backups/Throwaway.ts"
import { type AgeKey, newAgeKey } from "#shared/age.ts"
import { postgresTools } from "#test/shared/postgresTools.ts"
import { skipUnless } from "#test/shared/skip.ts"

const found = postgresTools()
export const bin = "bin" in found ? found.bin : ""
/** Tests that need PostgreSQL's programs. */
export const withTools = {
  possible: "bin" in found,
  ...skipUnless("bin" in found, "missing" in found ? found.missing : "")
}

export interface Place {
  readonly folder: string
  readonly server: AgeKey
  readonly recovery: AgeKey
  readonly dispose: () => void
}

export const place = async (): Promise<Place> => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-backup-test-"))
  return {
    folder,
    server: await Effect.runPromise(newAgeKey),
    recovery: await Effect.runPromise(newAgeKey),
    dispose: () => rmSync(folder, { recursive: true, force: true })
  }
}

export interface Given {
  readonly url: string
  readonly database?: "gateway" | "logging" | "data"
  readonly drill?: Partial<DrillOptions>
  readonly minFreeBytes?: number
  readonly throwaway?: Layer.Layer<Throwaway>
}

/** The services over one place: sets are made, drilled and looked at. */
export const backupsIn = (
  { folder, recovery, server }: Place,
  { database = "logging", drill = {}, minFreeBytes = 0, throwaway, url }: Given
) => {
  const tools = PostgresTools.layer({ folder: bin, path: "" })
  const sets = BackupSets.layer({ folder, minFreeBytes, key: server.identity })
  const layer = Layer.mergeAll(
    DatabaseBackups.layer({
      urls: { [database]: Redacted.make(url) },
      recipients: [server.recipient, recovery.recipient]
    }),
    RestoreDrills.layer({ identity: recovery.identity, ...drill }).pipe(
      Layer.provide(throwaway ?? Throwaway.layer({ folder: tmpdir() }).pipe(Layer.provide(tools)))
    )
  ).pipe(Layer.provideMerge(Layer.merge(sets, tools)))
  return ManagedRuntime.make(layer)
}

const mount = (...args: ReadonlyArray<string>) =>
  Bun.spawnSync(["mount", ...args], { stdout: "ignore", stderr: "ignore" }).exitCode === 0

/** A disk of a few bytes in the place of a folder. */
export const mountSmall = (folder: string, size: string) => {
  if (!mount("-t", "tmpfs", "-o", `size=${size},mode=0700`, "tmpfs", folder)) throw new Error("cannot mount")
}
export const unmount = (folder: string) => void Bun.spawnSync(["umount", folder])

const canMount = (() => {
  if (process.getuid?.() !== 0 || process.platform !== "linux") return false
  const probe = mkdtempSync(join(tmpdir(), "gatehouse-mount-"))
  const able = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", probe)
  if (able) unmount(probe)
  rmSync(probe, { recursive: true, force: true })
  return able
})()
/** Tests that fill a disk. */
export const withDisk = skipUnless(
  bin !== "" && canMount,
  bin === "" ? "no PostgreSQL tools" : "a small disk needs root"
)
