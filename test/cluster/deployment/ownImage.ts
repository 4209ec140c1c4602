/** The image of a service of one's own, made as README.md tells, the sample copied under another name, and built as services/Dockerfile does; must touch no file of this checkout. */
import { rmSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { binaryPath, environment, user } from "#dev/image/rootfs.ts"
import { imageArchive } from "#test/cluster/images.ts"
import { stage } from "#test/shared/dockerfile.ts"
import { copyTree, ownServiceBlocks } from "#test/shared/ownService.ts"
import { filesBelow } from "./postgresImage.ts"

/** As the component microservice names it. */
export const ownImage = "registry.example.org/orders:1.2.3"

const succeed = (argv: ReadonlyArray<string>, cwd: string) => {
  const { exitCode, stderr } = Bun.spawnSync([...argv], { cwd })
  if (exitCode !== 0) throw new Error(`${argv[0]}: ${stderr.toString().trim().slice(-1000)}`)
}

/** Writes the archive to `folder` and gives its path. */
export const writeOwnImage = (folder: string): string => {
  const copy = copyTree()
  try {
    const [recipe = ""] = ownServiceBlocks()
    succeed(["sh", "-euc", recipe], copy)
    const root = join(copy, "rootfs")
    const build = stage("build").find(({ name }) => name === "RUN")!.rest
    succeed(["sh", "-euc", build.replace("/rootfs", root)], copy)
    const files = filesBelow(root).map((path) => [`/${relative(root, path)}`, path] as const)
    const archive = join(folder, "own-image.tar")
    writeFileSync(
      archive,
      imageArchive([
        {
          name: ownImage,
          files: Object.fromEntries(files),
          entrypoint: [`/${binaryPath}`],
          user,
          environment: Object.entries(environment).map(([key, value]) => `${key}=${value}`)
        }
      ])
    )
    return archive
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}
