/** Makes image archives for a container runtime from single files, without a daemon; the same content gives the same bytes. */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { build } from "#test/cluster/build.ts"
import { pauseImage } from "#test/cluster/containerd.ts"

export interface Image {
  /** Such as docker.io/gatehouse/workload:1. */
  readonly name: string
  /** Absolute path inside to path here; all are executable and root's. */
  readonly files: Readonly<Record<string, string>>
  readonly entrypoint: ReadonlyArray<string>
  readonly command?: ReadonlyArray<string>
  /** Numeric user and group. */
  readonly user?: number
  readonly environment?: ReadonlyArray<string>
}

const block = 512

/** A ustar header (POSIX.1-1988) without times and names of people. */
const header = (name: string, size: number, mode: number, type: "0" | "5"): Buffer => {
  const entry = Buffer.alloc(block)
  const put = (at: number, text: string) => entry.write(text, at, "latin1")
  const octal = (at: number, value: number, digits: number) => put(at, value.toString(8).padStart(digits, "0"))
  if (Buffer.byteLength(name) > 100) throw new Error(`too long for a tar header: ${name}`)
  put(0, name)
  octal(100, mode, 7)
  octal(108, 0, 7)
  octal(116, 0, 7)
  octal(124, size, 11)
  octal(136, 0, 11)
  put(148, " ".repeat(8))
  put(156, type)
  put(257, "ustar\u000000")
  octal(
    148,
    entry.reduce((sum, byte) => sum + byte, 0),
    6
  )
  put(154, "\u0000 ")
  return entry
}

interface Entry {
  readonly name: string
  /** A folder has none. */
  readonly data?: Uint8Array
  readonly mode?: number
}

export const tar = (entries: ReadonlyArray<Entry>): Buffer =>
  Buffer.concat([
    ...entries.flatMap(({ data, mode, name }) =>
      data === undefined
        ? [header(`${name}/`, 0, mode ?? 0o755, "5")]
        : [header(name, data.length, mode ?? 0o755, "0"), data, Buffer.alloc((block - (data.length % block)) % block)]
    ),
    Buffer.alloc(2 * block)
  ])

const sha256 = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex")

const architecture = process.arch === "x64" ? "amd64" : process.arch

/** The folders above `paths`, each once, parents first. */
const foldersOf = (paths: ReadonlyArray<string>) =>
  [
    ...new Set(
      paths.flatMap((path) => {
        const parts = path.split("/").slice(0, -1)
        return parts.map((_, at) => parts.slice(0, at + 1).join("/"))
      })
    )
  ].sort()

/** An archive as `docker save` writes it, with one layer; several images may share their files. */
export const imageArchive = (images: ReadonlyArray<Image>): Buffer => {
  const blobs = new Map<string, Uint8Array>()
  const manifest = images.map((image) => {
    const files = Object.entries(image.files)
      .map(([path, source]) => ({ name: path.replace(/^\//u, ""), data: readFileSync(source) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    const layer = tar([...foldersOf(files.map(({ name }) => name)).map((name) => ({ name })), ...files])
    const layerName = `${sha256(layer)}.tar`
    const config = JSON.stringify({
      architecture,
      os: "linux",
      config: {
        Entrypoint: image.entrypoint,
        Cmd: image.command ?? [],
        User: image.user === undefined ? "" : `${image.user}:${image.user}`,
        Env: ["PATH=/", ...(image.environment ?? [])]
      },
      rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
      history: [{ created_by: "gatehouse" }]
    })
    const configName = `${sha256(config)}.json`
    blobs.set(layerName, layer).set(configName, Buffer.from(config))
    return { Config: configName, RepoTags: [image.name], Layers: [layerName] }
  })
  const entries = [...blobs].map(([name, data]) => ({ name, data, mode: 0o644 }))
  return tar([...entries, { name: "manifest.json", data: Buffer.from(JSON.stringify(manifest)), mode: 0o644 }])
}

export const dnsImage = "docker.io/coredns/coredns:gatehouse"

/** Images whose releases differ in what they do by default: good, better, one that crashes, one that never gets ready. */
export const workloadImages = {
  good: "docker.io/gatehouse/workload:1",
  next: "docker.io/gatehouse/workload:2",
  crash: "docker.io/gatehouse/workload:2-crash",
  neverReady: "docker.io/gatehouse/workload:2-never-ready"
} as const

/** Writes the archive of everything that the node itself and the tests' workloads need, and gives its path. */
export const writeOwnImages = async (folder: string): Promise<string> => {
  const [workload, dns] = [await build("workload"), await build("dns")]
  const files = { "/workload": workload }
  const release = (name: string, mode: string): Image => ({
    name,
    files,
    entrypoint: ["/workload"],
    command: [mode],
    user: 10_001,
    environment: [`RELEASE=${name.slice(name.lastIndexOf(":") + 1)}`]
  })
  const path = join(folder, "images.tar")
  writeFileSync(
    path,
    imageArchive([
      { name: pauseImage, files, entrypoint: ["/workload", "pause"] },
      { name: dnsImage, files: { "/coredns": dns }, entrypoint: ["/coredns"] },
      release(workloadImages.good, "serve"),
      release(workloadImages.next, "serve"),
      release(workloadImages.crash, "crash"),
      release(workloadImages.neverReady, "never-ready")
    ])
  )
  return path
}
