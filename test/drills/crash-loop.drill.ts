/** `bun run drill crash-loop [--cluster] [--kill]`: a release that crashes, found, proposed, approved and undone through the public door; the last line is one JSON object, exit 0 only if the promise held. */
import { resolve } from "node:path"
import { workloadImages } from "#test/cluster/images.ts"
import { startCluster } from "#test/cluster/launch.ts"
import { freePort } from "#test/shared/freePort.ts"
import { dataFolder, explained, startPlatformProcess } from "#test/scenarios/platformProcess.ts"
import { play, type Point, quickPatience } from "#test/scenarios/story.ts"

const real = process.argv.includes("--cluster")
/** Kills the whole platform with SIGKILL at every point of the story, and starts it again. */
const killing = process.argv.includes("--kill")

const main = async () => {
  const folder = dataFolder()
  const cluster = real ? await startCluster({ tier: "node" }) : undefined
  await cluster?.openNamespace("dev")
  const port = await freePort(2)
  const start = () =>
    startPlatformProcess(folder.path, port, {
      env: quickPatience,
      args: cluster === undefined ? [] : ["--kubeconfig", resolve(cluster.kubeconfig)]
    })
  let platform = await start()
  const restart = async (point: Point) => {
    if (!killing) return
    platform.signal("SIGKILL")
    await platform.exited
    platform = await start()
    console.log(`killed and started again: ${point}`)
  }
  try {
    const story = play({
      origin: platform.origin,
      namespace: "dev",
      name: "drill",
      goodImage: real ? workloadImages.good : "registry.example/drill:1",
      badImage: real ? workloadImages.crash : "registry.example/drill:2-crash",
      at: restart,
      say: (line) => console.log(line)
    })
    const told = await explained(() => platform, story)
    const { detectedSeconds, proposals, undone, verified } = told
    console.log(JSON.stringify({ detectedSeconds, proposals, undone, verified }))
    return proposals === 1 && undone && verified && detectedSeconds <= 90
  } finally {
    platform.signal("SIGTERM")
    await platform.exited
    await cluster?.stop()
    folder.remove()
  }
}

process.exit((await main().catch((error: unknown) => (console.error(error), false))) ? 0 : 1)
