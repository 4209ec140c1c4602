/** Makes an OCI image archive (image-spec 1.1) of one layer, which containerd, skopeo and `docker load` take; must run no program and know no file system. */
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"
import { type Entry, tar } from "./tar.ts"

export interface ImageContent {
  /** What the root file system holds. */
  readonly root: ReadonlyArray<Entry>
  /** The image's configuration (image-spec `config`): entry point, environment, user. */
  readonly config: {
    readonly Entrypoint: ReadonlyArray<string>
    readonly Env: ReadonlyArray<string>
    readonly User: string
    readonly WorkingDir: string
    readonly Labels: Readonly<Record<string, string>>
  }
  /** Go's name of the processor, such as amd64. */
  readonly architecture: string
  /** The one time in it, in seconds after 1970. */
  readonly seconds: number
}

export interface ImageArchive {
  readonly bytes: Buffer
  /** Of the image's manifest, `sha256:…`: what a registry would call it. */
  readonly digest: string
  /** The names it is imported under. */
  readonly names: ReadonlyArray<string>
}

const sha256 = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex")

/** zlib writes no time and no name into its header, so the same content is the same bytes. */
const compress = (data: Uint8Array) => gzipSync(data, { level: 9 })

/**
 * The archive. `nameOf` gives the image's names once its digest is known, so that a name can hold it. The layer is gzip, not
 * zstd, which is a fifth smaller, as every runtime and registry since 2015 reads it.
 */
export const imageArchive = (
  content: ImageContent,
  nameOf: (digest: string) => ReadonlyArray<string>
): ImageArchive => {
  const { architecture, config, root, seconds } = content
  const blobs = new Map<string, Uint8Array>()
  const blob = (mediaType: string, data: Uint8Array) => {
    const hash = sha256(data)
    blobs.set(hash, data)
    return { mediaType, digest: `sha256:${hash}`, size: data.length }
  }
  const json = (mediaType: string, value: object) => blob(mediaType, Buffer.from(JSON.stringify(value)))

  const layer = tar(root, seconds)
  const created = new Date(seconds * 1000).toISOString().replace(".000Z", "Z")
  const layerBlob = blob("application/vnd.oci.image.layer.v1.tar+gzip", compress(layer))
  const configBlob = json("application/vnd.oci.image.config.v1+json", {
    created,
    architecture,
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created, created_by: "bun run image" }]
  })
  const mediaType = "application/vnd.oci.image.manifest.v1+json"
  const manifest = json(mediaType, { schemaVersion: 2, mediaType, config: configBlob, layers: [layerBlob] })
  const names = nameOf(manifest.digest)
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: names.map((name) => ({
      ...manifest,
      platform: { architecture, os: "linux" },
      annotations: {
        // containerd reads the first, everybody else the second, which is a tag alone.
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1)
      }
    }))
  }
  const pathOf = ({ digest }: { readonly digest: string }) => `blobs/${digest.replace(":", "/")}`
  /** What `docker load` looks for, beside the layout: the same blobs by their paths. */
  const dockerManifest = [{ Config: pathOf(configBlob), RepoTags: names, Layers: [pathOf(layerBlob)] }]
  const text = (path: string, value: object): Entry => ({ path, data: Buffer.from(JSON.stringify(value)) })
  const bytes = tar(
    [
      text("oci-layout", { imageLayoutVersion: "1.0.0" }),
      text("index.json", index),
      text("manifest.json", dockerManifest),
      ...[...blobs].map(([hash, data]) => ({ path: `blobs/sha256/${hash}`, data }))
    ],
    seconds
  )
  return { bytes, digest: manifest.digest, names }
}
