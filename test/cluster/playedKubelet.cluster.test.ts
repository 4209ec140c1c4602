/** The played kubelet: rollouts, crash loops, lost nodes and drains happen in the control plane as if a node ran the pods. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import type { Cluster } from "#test/cluster/cluster.ts"
import { eventually } from "#test/shared/until.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { type PlayedKubelet, playedTaint, playKubelet } from "#test/cluster/playedKubelet.ts"

const namespace = "played-kubelet"
let cluster: Cluster
let kubelet: PlayedKubelet

const deployment = (name: string, image: string, replicas = 2) =>
  JSON.stringify({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas,
      progressDeadlineSeconds: 600,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          nodeSelector: { "kubernetes.io/hostname": kubelet.node },
          tolerations: [playedTaint],
          containers: [{ name: "app", image }]
        }
      }
    }
  })

const apply = (name: string, image: string) =>
  cluster.kubectl(["apply", "--server-side", "-f", "-"], { stdin: deployment(name, image) })

const rollout = (name: string) =>
  cluster.kubectl(["rollout", "status", `deployment/${name}`, "-n", namespace, "--timeout=60s"])

interface Pod {
  readonly metadata: { readonly name: string }
  readonly status: {
    readonly containerStatuses?: ReadonlyArray<{
      readonly restartCount: number
      readonly state: object
      readonly lastState: object
    }>
  }
}

const podsOf = async (name: string): Promise<ReadonlyArray<Pod>> => {
  const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3D${name}`
  return (await cluster.read<{ readonly items: ReadonlyArray<Pod> }>(path)).items
}

beforeAll(async () => {
  cluster = await testCluster()
  await cluster.openNamespace(namespace)
  kubelet = await playKubelet(cluster, {
    node: "played-kubelet-1",
    behaviour: ({ spec }) =>
      spec.containers[0]!.image.endsWith("-crash") ? { crashLoop: { restarts: 4, exitCode: 3 } } : "running"
  })
})
afterAll(async () => {
  await cluster?.kubectl(["delete", "namespace", namespace, "--timeout=60s"])
  await kubelet?.stop()
})

test("a rollout of a good release completes, and the old pods go", async () => {
  await apply("good", "docker.io/gatehouse/workload:1")
  await rollout("good")
  await apply("good", "docker.io/gatehouse/workload:2")
  await rollout("good")
  await eventually("two pods are left", async () => (await podsOf("good")).length === 2)
})

test("a release that crashes is seen as a crash loop, and its rollout stays behind", async () => {
  await apply("bad", "docker.io/gatehouse/workload:1")
  await rollout("bad")
  await apply("bad", "docker.io/gatehouse/workload:2-crash")
  const status = await eventually("a pod is in a crash loop", async () =>
    (await podsOf("bad"))
      .flatMap((pod) => pod.status.containerStatuses ?? [])
      .find(({ restartCount }) => restartCount === 4)
  )
  expect(status).toMatchObject({
    state: { waiting: { reason: "CrashLoopBackOff" } },
    lastState: { terminated: { exitCode: 3, reason: "Error" } }
  })
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/bad`
  expect(await (await cluster.request(path)).json()).toMatchObject({
    status: { readyReplicas: 2, unavailableReplicas: 1 }
  })
  await cluster.kubectl(["rollout", "undo", "deployment/bad", "-n", namespace])
  await rollout("bad")
})

test("a test may set one pod's state", async () => {
  await apply("one", "docker.io/gatehouse/workload:1")
  await rollout("one")
  const [pod] = await podsOf("one")
  await kubelet.set(namespace, pod!.metadata.name, "never-ready")
  await cluster.kubectl(["wait", "-n", namespace, "deployment/one", "--for=jsonpath={.status.readyReplicas}=1"])
})

test("a node that is reported not ready is tainted, and comes back", async () => {
  const taints = async () => cluster.kubectl(["get", "node", kubelet.node, "-o", "jsonpath={.spec.taints[*].key}"])
  await kubelet.setReady(false)
  await eventually("the node is tainted", async () => (await taints()).includes("node.kubernetes.io/not-ready"))
  await kubelet.setReady(true)
  await eventually("the taint is gone", async () => !(await taints()).includes("node.kubernetes.io/not-ready"))
})
