/** Takes what a running test cluster answers as kustomize/access.txt, to be read before it is committed; wants GATEHOUSE_TEST_CLUSTER (test/cluster/README.md, "By hand"). */
import { writeFileSync } from "node:fs"
import { testCluster } from "#test/cluster/launch.ts"
import { accessFile, accessTable } from "./access.ts"
import { clusterText, environments, overlayText } from "./render.ts"

const cluster = await testCluster()
for (const text of [clusterText(), ...environments.map(overlayText)]) {
  const { code, stderr } = await cluster.tryKubectl(["apply", "--server-side", "-f", "-"], { stdin: text })
  if (stderr !== "") console.error(stderr)
  if (code !== 0) process.exit(1)
}
writeFileSync(accessFile, await accessTable(cluster))
process.exit(0)
