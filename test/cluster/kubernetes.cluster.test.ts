/** The real cluster keeps the contract that the simulated one keeps: where they differ, the simulation is wrong. */
import { beforeAll } from "bun:test"
import { Effect, Layer } from "effect"
import { kubernetesConfig, kubernetesLayer } from "#shared/kubernetes/config.ts"
import { readConfig } from "#shared/config.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { kubernetesContract } from "#test/shared/kubernetes/contract.ts"

const namespace = "kubernetes-contract"
const cluster = await testCluster()
const config = await Effect.runPromise(readConfig(kubernetesConfig, { KUBERNETES: cluster.kubeconfig }, []))

beforeAll(async () => {
  await cluster.kubectl(["create", "namespace", namespace])
  await cluster.kubectl(["wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=60s"])
})

kubernetesContract({
  title: `real, ${cluster.tier} tier`,
  layer: Layer.orDie(kubernetesLayer(config)),
  namespace,
  pass: Effect.sleep("100 millis"),
  features: { kubelet: false }
})
