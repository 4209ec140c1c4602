/** The image as `bun run image` makes it, and with one layer more that trusts the tests' certificate authority; must change no byte of the layer below. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { buildImage, buildRootfs } from "#dev/image/image.ts"
import { tar } from "#dev/image/tar.ts"
import { runFolder } from "#test/cluster/cluster.ts"

export const testedImage = "gatehouse.local/gatehouse:under-test"

/** The image's archive, built once in a run (test/cluster/run.ts), otherwise in `folder`. */
export const writeImage = async (folder: string): Promise<string> => {
  const path = join(process.env[runFolder] ?? folder, "gatehouse-image.tar")
  if (existsSync(path)) return path
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, buildImage(await buildRootfs(), 0).bytes)
  renameSync(unfinished, path)
  return path
}

/** The files of a tar archive by their paths (ustar, as tar.ts writes it). */
export const untar = (archive: Uint8Array): ReadonlyMap<string, Uint8Array> => {
  const files = new Map<string, Uint8Array>()
  const text = (at: number, length: number) =>
    new TextDecoder().decode(archive.subarray(at, at + length)).replace(/\0[\s\S]*$/u, "")
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const size = Number.parseInt(text(at + 124, 12), 8)
    if (text(at + 156, 1) === "0") files.set(text(at, 100), archive.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}
export interface Manifest {
  readonly config: Descriptor
  readonly layers: ReadonlyArray<Descriptor>
}
export interface ImageConfig {
  readonly config: { readonly Env: ReadonlyArray<string>; readonly User: string }
  readonly rootfs: { readonly diff_ids: ReadonlyArray<string> }
}

const digestOf = (data: Uint8Array) => `sha256:${createHash("sha256").update(data).digest("hex")}`
const pathOf = (digest: string) => `blobs/${digest.replace(":", "/")}`

/** What an archive holds: its blobs, and the one image's manifest and configuration. */
export const readImage = (archive: string) => {
  const files = untar(readFileSync(archive))
  const json = <A>(path: string): A => JSON.parse(new TextDecoder().decode(files.get(path)!)) as A
  const index = json<{ readonly manifests: ReadonlyArray<Descriptor> }>("index.json")
  const manifest = json<Manifest>(pathOf(index.manifests[0]!.digest))
  return { files, index, manifest, config: json<ImageConfig>(pathOf(manifest.config.digest)), blob: pathOf }
}

/** Writes the image with `authority` (PEM) trusted, as a company does that has its own, and gives the archive's path. */
export const writeTrustingImage = async (folder: string, authority: string): Promise<string> => {
  const { config, files, manifest } = readImage(await writeImage(folder))
  const certificate = "etc/ssl/certs/test-authority.crt"
  const layer = tar([{ path: certificate, data: Buffer.from(authority) }], 0)
  const blobs = new Map([...files].filter(([path]) => path.startsWith("blobs/")))
  const put = (mediaType: string, data: Uint8Array): Descriptor => {
    const digest = digestOf(data)
    blobs.set(pathOf(digest), data)
    return { mediaType, digest, size: data.length }
  }
  const json = (mediaType: string, value: object) => put(mediaType, Buffer.from(JSON.stringify(value)))
  const layerBlob = put("application/vnd.oci.image.layer.v1.tar", layer)
  const configBlob = json(manifest.config.mediaType, {
    ...config,
    config: { ...config.config, Env: [...config.config.Env, `NODE_EXTRA_CA_CERTS=/${certificate}`] },
    rootfs: { ...config.rootfs, diff_ids: [...config.rootfs.diff_ids, layerBlob.digest] },
    history: []
  })
  const mediaType = "application/vnd.oci.image.manifest.v1+json"
  const layers = [...manifest.layers, layerBlob]
  const made = json(mediaType, { schemaVersion: 2, mediaType, config: configBlob, layers })
  const annotations = { "io.containerd.image.name": testedImage }
  const text = (value: object) => Buffer.from(JSON.stringify(value))
  const path = join(folder, "gatehouse-trusting-image.tar")
  writeFileSync(
    path,
    tar(
      [
        { path: "oci-layout", data: text({ imageLayoutVersion: "1.0.0" }) },
        { path: "index.json", data: text({ schemaVersion: 2, manifests: [{ ...made, annotations }] }) },
        ...[...blobs].map(([name, data]) => ({ path: name, data }))
      ],
      0
    )
  )
  return path
}
