/** `bun run image [FOLDER]`: writes the image's archive and its description to a folder, or with `--rootfs FOLDER` the bare files for a Dockerfile; needs no daemon and no root. */
import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { buildImage, buildRootfs } from "./image.ts"
import { complete } from "./tar.ts"

const usage = "usage: bun run image [FOLDER]   (dist unless told)\n       bun run image --rootfs FOLDER"

/** The one time in the image, as https://reproducible-builds.org/specs/source-date-epoch has it; 1970 unless told. */
const sourceDate = (): number => {
  const value = process.env["SOURCE_DATE_EPOCH"] ?? "0"
  if (!/^\d{1,10}$/u.test(value)) throw new Error("SOURCE_DATE_EPOCH: whole seconds after 1970 are expected")
  return Number(value)
}

/** Whole or not at all. */
const write = (path: string, data: Uint8Array | string) => {
  writeFileSync(`${path}.new`, data)
  renameSync(`${path}.new`, path)
}

const writeRootfs = async (folder: string) => {
  for (const { data, mode, path, target } of complete(await buildRootfs())) {
    const place = join(folder, path)
    mkdirSync(data === undefined && target === undefined ? place : dirname(place), { recursive: true })
    if (target !== undefined) symlinkSync(target, place)
    else if (data !== undefined) writeFileSync(place, data)
    if (mode !== undefined) chmodSync(place, mode)
  }
  console.log(`${folder}: the image's files`)
}

const writeArchive = async (folder: string) => {
  const { bytes, digest, names } = buildImage(await buildRootfs(), sourceDate())
  mkdirSync(folder, { recursive: true })
  const archive = join(folder, "gatehouse-image.tar")
  write(archive, bytes)
  write(join(folder, "image.json"), `${JSON.stringify({ names, digest, archive: "gatehouse-image.tar" }, null, 2)}\n`)
  console.log(`${archive}: ${(bytes.length / 1e6).toFixed(1)} MB, ${digest}`)
  for (const name of names) console.log(`  ${name}`)
  console.log(`import it on a k3s server with: k3s ctr -n k8s.io images import ${archive}`)
}

const [first, second, ...more] = process.argv.slice(2)
const bare = first === "--rootfs"
if (more.length > 0 || (bare ? second === undefined : second !== undefined || first?.startsWith("-"))) {
  console.error(usage)
  process.exit(2)
}
await (bare ? writeRootfs(resolve(second!)) : writeArchive(resolve(first ?? "dist"))).catch((error: unknown) => {
  console.error(`gatehouse: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(1)
})
