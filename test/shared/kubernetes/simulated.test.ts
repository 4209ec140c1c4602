/** The simulated cluster keeps the contract of every Kubernetes, with its kubelet and without. */
import { Effect } from "effect"
import { makeSimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { kubernetesContract } from "./contract.ts"

for (const kubelet of [true, false]) {
  const cluster = makeSimulatedCluster({ namespaces: ["contract"], kubelet })
  kubernetesContract({
    title: kubelet ? "simulated, with running pods" : "simulated, without a kubelet",
    layer: simulatedKubernetes(cluster),
    namespace: "contract",
    pass: Effect.sync(() => cluster.advance(1)),
    features: { kubelet }
  })
}
