/** The real cluster keeps the contract that the simulated one keeps: where they differ, the simulation is wrong. */
import { afterAll, beforeAll } from "bun:test"
import { Effect, Layer } from "effect"
import { readConfig } from "#shared/config.ts"
import { kubernetesConfig, kubernetesLayer } from "#shared/kubernetes/config.ts"
import { workloadImages } from "#test/cluster/images.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { kubernetesContract } from "#test/shared/kubernetes/contract.ts"

const namespace = "kubernetes-contract"
const cluster = await testCluster()
const config = await Effect.runPromise(readConfig(kubernetesConfig, { KUBERNETES: cluster.kubeconfig }, []))

beforeAll(async () => {
  await cluster.openNamespace(namespace)
  await cluster.kubectl(["wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=60s"])
})
afterAll(async () => {
  await cluster.kubectl(["delete", "namespace", namespace, "--wait=false"])
})

kubernetesContract({
  title: `real, ${cluster.tier} tier`,
  layer: Layer.orDie(kubernetesLayer(config)),
  namespace,
  pass: Effect.sleep("250 millis"),
  features:
    cluster.tier === "node"
      ? {
          kubelet: true,
          images: {
            healthy: { image: workloadImages.good },
            crashing: { image: workloadImages.crash },
            finishing: { image: workloadImages.good, command: ["/workload", "resolve", "localhost"] }
          }
        }
      : { kubelet: false }
})
