/** Starts a real node beside a control plane: container runtime, kubelet, proxy, DNS, enforced policies; must run only inside its namespaces. */
import { readFileSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { stringify } from "yaml"
import type { Cluster } from "#test/cluster/cluster.ts"
import { containerdSocket, writeContainerdConfig } from "#test/cluster/containerd.ts"
import { assertRuns, logPath, podRange } from "#test/cluster/controlPlane.ts"
import { eventually } from "#test/shared/until.ts"
import { writeOwnImages } from "#test/cluster/images.ts"
import { cniConfig, prepareGround, snapshotterFor } from "#test/cluster/nodeGround.ts"
import type { NodeNetwork } from "#test/cluster/nodeNetwork.ts"
import { kubeconfigPath, nodeName, pkiFolder } from "#test/cluster/pki.ts"
import type { Supervisor } from "#test/cluster/supervisor.ts"
import { cniPlugins } from "#test/cluster/tier.ts"

const dnsAddress = "10.43.0.10"

const kubeletConfig = (folder: string, network: NodeNetwork) => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  address: network.nodeAddress,
  authentication: {
    x509: { clientCAFile: join(pkiFolder(folder), "ca.crt") },
    webhook: { enabled: true },
    anonymous: { enabled: false }
  },
  authorization: { mode: "Webhook" },
  tlsCertFile: join(pkiFolder(folder), "node.crt"),
  tlsPrivateKeyFile: join(pkiFolder(folder), "node.key"),
  clusterDNS: [dnsAddress],
  clusterDomain: "cluster.local",
  cgroupDriver: "cgroupfs",
  cgroupRoot: `/${basename(folder)}`,
  failCgroupV1: false,
  failSwapOn: false,
  containerRuntimeEndpoint: `unix://${containerdSocket(folder)}`,
  resolvConf: join(folder, "resolv.conf"),
  podLogsDir: "/var/log/pods",
  volumePluginDir: join(folder, "plugins"),
  imageGCHighThresholdPercent: 100,
  imageGCLowThresholdPercent: 99,
  evictionHard: {
    "memory.available": "100Mi",
    "nodefs.available": "1%",
    "imagefs.available": "1%",
    "nodefs.inodesFree": "1%"
  },
  seccompDefault: true,
  oomScoreAdj: 0,
  nodeStatusUpdateFrequency: "2s",
  nodeLeaseDurationSeconds: 8,
  // Crash loops are the point of some tests; the default of 5 min between starts is not.
  crashLoopBackOff: { maxContainerRestartPeriod: "8s" },
  logging: { verbosity: 2 }
})

const proxyConfig = (folder: string) => ({
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  kind: "KubeProxyConfiguration",
  mode: "nftables",
  clientConnection: { kubeconfig: kubeconfigPath(folder, "proxy") },
  clusterCIDR: podRange,
  hostnameOverride: nodeName,
  // Their limits are the whole machine's.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  oomScoreAdj: 0,
  nftables: { minSyncPeriod: "100ms", syncPeriod: "30s" }
})

interface Condition {
  readonly type: string
  readonly status: string
}

const conditionHolds = async (cluster: Cluster, path: string, type: string): Promise<boolean> => {
  const answer = await cluster.request(path)
  if (!answer.ok) {
    await answer.body?.cancel()
    return false
  }
  const { status } = (await answer.json()) as { readonly status?: { readonly conditions?: ReadonlyArray<Condition> } }
  return status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false
}

const waitFor = (supervisor: Supervisor, cluster: Cluster, what: string, path: string, type: string) =>
  eventually(what, async () => {
    for (const component of ["containerd", "kubelet", "kube-proxy"]) {
      await assertRuns(supervisor, cluster.folder, component)
    }
    return await conditionHolds(cluster, path, type)
  })

/** The containerd of `folder` takes images as soon as its socket answers. */
const importImages = async (supervisor: Supervisor, cluster: Cluster) => {
  const archive = await writeOwnImages(cluster.folder)
  await eventually("containerd answers", async () => {
    await assertRuns(supervisor, cluster.folder, "containerd")
    const { code } = await supervisor.run(["ctr", "--address", containerdSocket(cluster.folder), "version"])
    return code === 0
  })
  await cluster.importImage(archive)
}

/** Starts what the runtime needs before the API server is there. */
export const startRuntime = async (supervisor: Supervisor, folder: string, network: NodeNetwork): Promise<void> => {
  await prepareGround(supervisor, folder, basename(folder), network)
  const plugins = cniPlugins()
  if (plugins === undefined) throw new Error("the CNI plugins are gone")
  writeFileSync(join(folder, "cni/10-pods.conflist"), cniConfig)
  const config = writeContainerdConfig(folder, { plugins, snapshotter: await snapshotterFor(supervisor, folder) })
  await supervisor.start({
    name: "containerd",
    argv: ["containerd", "--config", config],
    log: logPath(folder, "containerd")
  })
}

/** Returns when the node is ready and its DNS answers. */
export const startNode = async (supervisor: Supervisor, cluster: Cluster, network: NodeNetwork): Promise<void> => {
  const { folder, program } = cluster
  const start = (name: string, argv: ReadonlyArray<string>) =>
    supervisor.start({ name, argv, log: logPath(folder, name) })
  const config = (name: string, value: object) => {
    const path = join(folder, `${name}.yaml`)
    writeFileSync(path, stringify(value))
    return path
  }
  await importImages(supervisor, cluster)
  writeFileSync(join(folder, "resolv.conf"), `nameserver ${network.hostAddress}\n`)
  await start("kubelet", [
    program,
    "kubelet",
    `--config=${config("kubelet", kubeletConfig(folder, network))}`,
    `--kubeconfig=${kubeconfigPath(folder, "node")}`,
    `--hostname-override=${nodeName}`,
    `--node-ip=${network.nodeAddress}`,
    `--root-dir=${join(folder, "kubelet")}`
  ])
  await start("kube-proxy", [program, "kube-proxy", `--config=${config("proxy", proxyConfig(folder))}`])
  const enforcer = join(import.meta.dir, "policies.process.ts")
  await start("policies", [process.execPath, enforcer, folder, cluster.server])
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], {
    stdin: readFileSync(join(import.meta.dir, "dns/manifest.yaml"), "utf8")
  })
  await waitFor(supervisor, cluster, "the node is ready", `/api/v1/nodes/${nodeName}`, "Ready")
  const dns = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
  await waitFor(supervisor, cluster, "the cluster's DNS is ready", dns, "Available")
}
