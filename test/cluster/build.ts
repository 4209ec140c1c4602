/** Builds the cluster's Go modules once per content into a cache outside the checkout; must not build what the cache holds, nor leave a half-built file in it. */
import { createHash } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { isAlive, thisProcess } from "#test/cluster/alive.ts"

/** Go modules below test/cluster, each built to one program of the same name; what the first has compiled serves the next. */
export const modules = ["controlplane", "secretstore", "dns", "supervisor", "workload"] as const
export type Module = (typeof modules)[number]

const days = 24 * 60 * 60 * 1000
/** A build that nothing used for so long makes room. */
const keepUnused = 14 * days

/** Where builds and downloads lie, outside the checkout. */
export const cacheFolder = () => {
  const own = process.env["GATEHOUSE_CACHE"]
  const user = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache")
  return join(own || join(user, "gatehouse"), "cluster")
}

const go = (module: Module, args: ReadonlyArray<string>) =>
  Bun.spawnSync(["go", ...args], {
    cwd: join(import.meta.dir, module),
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly" }
  })

/** Go's version with its system, as `go` gives it for `module`; undefined where there is none that is new enough. */
export const goVersion = (module: Module = "controlplane"): string | undefined => {
  if (Bun.which("go") === null) return undefined
  // Since 1.21 Go brings the version that go.mod asks for, if it may.
  const { exitCode, stdout } = go(module, ["version"])
  const version = stdout.toString().trim()
  const minor = Number(/go1\.(\d+)/u.exec(version)?.[1] ?? 0)
  const asked = /^go 1\.(\d+)/mu.exec(readFileSync(join(import.meta.dir, module, "go.mod"), "utf8"))?.[1]
  return exitCode === 0 && minor >= Number(asked) ? version : undefined
}

/** The version of Kubernetes that the control plane is built from, such as `v1.36.3`. */
export const kubernetesVersion = (): string => {
  const text = readFileSync(join(import.meta.dir, "controlplane/go.mod"), "utf8")
  const version = /^\s*k8s\.io\/kubernetes (v\S+)$/mu.exec(text)?.[1]
  if (version === undefined) throw new Error("controlplane/go.mod names no version of k8s.io/kubernetes")
  return version
}

/** What `kubectl version` and the node's kubelet say they are; without it they are v0.0.0 and refuse each other. */
const stamp = () => {
  const version = kubernetesVersion()
  const [, major, minor] = /^v(\d+)\.(\d+)/u.exec(version)!
  const fields = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: "clean" }
  return ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"].flatMap((where) =>
    Object.entries(fields).map(([name, value]) => `-X ${where}.${name}=${value}`)
  )
}

/** Of the commit that secretstore/go.mod names, as its project released it. */
export const openBaoVersion = "2.4.0"

const stamps: Readonly<Partial<Record<Module, () => ReadonlyArray<string>>>> = {
  controlplane: stamp,
  secretstore: () => [`-X github.com/openbao/openbao/version.fullVersion=${openBaoVersion}`]
}

const linkFlags = (module: Module) => ["-s", "-w", ...(stamps[module]?.() ?? [])].join(" ")

const contentHash = (module: Module, version: string) => {
  const folder = join(import.meta.dir, module)
  const hash = createHash("sha256").update(`${version}\n${linkFlags(module)}\n`)
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()) {
    if (/(?:\.go|(?:^|\/)go\.(?:mod|sum))$/u.test(name))
      hash.update(`${name}\n`).update(readFileSync(join(folder, name)))
  }
  return hash.digest("hex").slice(0, 16)
}

/** Waits until no other process builds what `lock` stands for; gives a release. A lock whose holder is dead counts for nothing. */
const holdLock = async (lock: string): Promise<() => void> => {
  for (;;) {
    try {
      writeFileSync(lock, thisProcess(), { flag: "wx" })
      return () => rmSync(lock, { force: true })
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error
    }
    let holder = ""
    try {
      holder = readFileSync(lock, "utf8")
      // Written in two steps: an empty one was made just now, or its maker died between them.
      if (holder === "" && Date.now() - statSync(lock).mtimeMs < 10_000) holder = thisProcess()
    } catch {
      continue
    }
    if (!isAlive(holder)) rmSync(lock, { force: true })
    else await Bun.sleep(500)
  }
}

/** Removes builds of `module` that nothing used for a while. */
const makeRoom = (cache: string, module: Module) => {
  for (const name of readdirSync(cache)) {
    const folder = join(cache, name)
    if (!new RegExp(`^${module}-[0-9a-f]{16}$`, "u").test(name)) continue
    if (Date.now() - statSync(folder).mtimeMs > keepUnused) rmSync(folder, { recursive: true, force: true })
  }
}

const folderOf = (module: Module, version: string) => join(cacheFolder(), `${module}-${contentHash(module, version)}`)

/** The path of `module`'s program if it was built already, else undefined; builds nothing. */
export const built = (module: Module): string | undefined => {
  const version = goVersion(module)
  const program = version === undefined ? undefined : join(folderOf(module, version), module)
  return program !== undefined && existsSync(program) ? program : undefined
}

/** The path of `module`'s program; builds it if the cache has none for this content and this Go. */
export const build = async (module: Module): Promise<string> => {
  const version = goVersion(module)
  if (version === undefined) throw new Error("no Go toolchain that can build the cluster is on the PATH")
  const cache = cacheFolder()
  const folder = folderOf(module, version)
  const program = join(folder, module)
  const used = () => {
    try {
      utimesSync(folder, new Date(), new Date())
    } catch {
      // Another user's cache: who may not touch it will not clear it either.
    }
    return program
  }
  if (existsSync(program)) return used()
  mkdirSync(cache, { recursive: true })
  const release = await holdLock(`${folder}.lock`)
  try {
    if (existsSync(program)) return used()
    console.error(`building ${module} with ${version} (once per content; the control plane takes some minutes) ...`)
    const unfinished = `${folder}.building`
    rmSync(unfinished, { recursive: true, force: true })
    mkdirSync(unfinished)
    const args = ["build", "-trimpath", "-ldflags", linkFlags(module), "-o", join(unfinished, module), "."]
    const compiler = Bun.spawn(["go", ...args], {
      cwd: join(import.meta.dir, module),
      env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly" },
      stdio: ["ignore", "ignore", "pipe"]
    })
    const complaint = await new Response(compiler.stderr).text()
    if ((await compiler.exited) !== 0) {
      rmSync(unfinished, { recursive: true, force: true })
      throw new Error(`go build of ${module} failed: ${complaint.trim().slice(-2000)}`)
    }
    renameSync(unfinished, folder)
    makeRoom(cache, module)
    return program
  } finally {
    release()
  }
}
