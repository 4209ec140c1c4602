/** The image of every service, from sources to an archive; the same sources on the same machine give the same bytes. Must publish nothing. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { buildDashboard } from "#dashboard/build.ts"
import { compile } from "./binary.ts"
import { type ImageArchive, imageArchive } from "./ociLayout.ts"
import { binaryPath, environment, rootfs, user } from "./rootfs.ts"
import type { Entry } from "./tar.ts"

const packageFile = JSON.parse(readFileSync(resolve(import.meta.dir, "../../../package.json"), "utf8")) as Readonly<
  Record<"description" | "license" | "version", string>
>

export const repository = "gatehouse.local/gatehouse"

/** The root file system's content. Throws where something cannot be built, in the words of what failed. */
export const buildRootfs = async (): Promise<ReadonlyArray<Entry>> => {
  const assets = mkdtempSync(join(tmpdir(), "gatehouse-dashboard-"))
  try {
    await buildDashboard(assets)
    return rootfs(await compile(), assets)
  } finally {
    rmSync(assets, { recursive: true, force: true })
  }
}

/**
 * The archive, under two names: the version with twelve digits of the manifest's digest, which never means anything else, and
 * the version alone, which the overlays ask for. `seconds` after 1970 is the one time in it (SOURCE_DATE_EPOCH).
 */
export const buildImage = (root: ReadonlyArray<Entry>, seconds: number): ImageArchive => {
  const { description, license, version } = packageFile
  return imageArchive(
    {
      root,
      seconds,
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      config: {
        Entrypoint: [`/${binaryPath}`],
        Env: Object.entries(environment).map(([key, value]) => `${key}=${value}`),
        User: `${user}:${user}`,
        WorkingDir: "/",
        Labels: {
          "org.opencontainers.image.title": "gatehouse",
          "org.opencontainers.image.description": description,
          "org.opencontainers.image.version": version,
          "org.opencontainers.image.licenses": license
        }
      }
    },
    (digest) => [`${repository}:${version}-${digest.slice(7, 19)}`, `${repository}:${version}`]
  )
}
