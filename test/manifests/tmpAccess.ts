import { writeFileSync } from "node:fs"
import { testCluster } from "#test/cluster/launch.ts"
import { accessFile, accessTable } from "#test/manifests/access.ts"
import { clusterText, environments, overlayText } from "#test/manifests/render.ts"
const cluster = await testCluster()
for (const text of [clusterText(), ...environments.map(overlayText)])
  console.log((await cluster.tryKubectl(["apply", "--server-side", "-f", "-"], { stdin: text })).stderr)
writeFileSync(accessFile, await accessTable(cluster))
process.exit(0)
