/** The image that the component secret-store names, with OpenBao's command as test/cluster builds it; must be in no overlay but the tests'. */
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { build, openBaoVersion } from "#test/cluster/build.ts"
import { imageArchive } from "#test/cluster/images.ts"
import { librariesOf } from "./postgresImage.ts"

export const openBaoImage = `docker.io/openbao/openbao:${openBaoVersion}`

/** Writes the archive to `folder` and gives its path. */
export const writeOpenBaoImage = async (folder: string): Promise<string> => {
  const archive = join(folder, "openbao-image.tar")
  if (existsSync(archive)) return archive
  // What the component's README calls it by.
  const env = Bun.which("env")!
  const bytes = imageArchive([
    {
      name: openBaoImage,
      files: {
        "/bin/bao": await build("secretstore"),
        "/bin/env": env,
        ...Object.fromEntries(librariesOf([env]).map((path) => [path, path]))
      },
      entrypoint: ["/bin/bao"],
      environment: ["PATH=/bin"]
    }
  ])
  writeFileSync(archive, bytes)
  return archive
}
