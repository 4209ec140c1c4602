/** The image archive's documents: what they name is there, under the digest they give, and the same content gives the same bytes. */
import { expect, test } from "bun:test"
import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { imageArchive, type ImageContent } from "#dev/image/ociLayout.ts"
import { tar } from "#dev/image/tar.ts"
import { untar } from "#test/cluster/deployment/gatehouseImage.ts"

const content = (text: string): ImageContent => ({
  root: [{ path: "etc/name", data: Buffer.from(text) }],
  config: { Entrypoint: ["/tool"], Env: ["A=b"], User: "65532:65532", WorkingDir: "/", Labels: {} },
  architecture: "amd64",
  seconds: 0
})
const nameOf = (digest: string) => [`example.org/tool:1-${digest.slice(7, 19)}`, "example.org/tool:1"]
const made = (text = "one") => imageArchive(content(text), nameOf)
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex")

test("the same content is the same bytes, and other content another digest", () => {
  expect(made().bytes.equals(made().bytes)).toBe(true)
  expect(made("two").digest).not.toBe(made().digest)
})

test("every blob lies under its own digest, and every document names blobs that are there", () => {
  const { bytes, digest } = made()
  const files = untar(bytes)
  const blobs = [...files].filter(([path]) => path.startsWith("blobs/"))
  expect(blobs.length).toBe(3)
  for (const [path, data] of blobs) expect(path).toBe(`blobs/sha256/${sha256(data)}`)
  const json = (path: string) => JSON.parse(new TextDecoder().decode(files.get(path)))
  const at = (descriptor: { readonly digest: string }) => `blobs/${descriptor.digest.replace(":", "/")}`
  const index = json("index.json")
  expect(index.manifests.map((one: { readonly digest: string }) => one.digest)).toEqual([digest, digest])
  const manifest = json(at(index.manifests[0]))
  const layer = gunzipSync(files.get(at(manifest.layers[0]))!)
  expect(layer.equals(tar(content("one").root, 0))).toBe(true)
  expect(json(at(manifest.config)).rootfs.diff_ids).toEqual([`sha256:${sha256(layer)}`])
  expect(manifest.layers[0].size).toBe(files.get(at(manifest.layers[0]))!.length)
})

test("it has two names, one of which holds the digest and means nothing else ever", () => {
  const { bytes, digest, names } = made()
  expect(names).toEqual([`example.org/tool:1-${digest.slice(7, 19)}`, "example.org/tool:1"])
  const index = JSON.parse(new TextDecoder().decode(untar(bytes).get("index.json")))
  const annotations = index.manifests.map((one: { readonly annotations: object }) => one.annotations)
  expect(annotations).toEqual(
    names.map((name) => ({
      "io.containerd.image.name": name,
      "org.opencontainers.image.ref.name": name.split(":")[1]
    }))
  )
})

test("nothing in it tells a time but the one that was given", () => {
  const { bytes } = imageArchive({ ...content("one"), seconds: 1_700_000_000 }, nameOf)
  const times = new TextDecoder().decode(bytes).matchAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/gu)
  expect(new Set([...times].map(([time]) => time))).toEqual(new Set(["2023-11-14T22:13:20Z"]))
})
