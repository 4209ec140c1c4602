/** Prepares what a node's processes stand on, inside its namespaces: mounts, interfaces, cgroups; must change no setting of the machine. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Snapshotter } from "#test/cluster/containerd.ts"
import { podRange } from "#test/cluster/controlPlane.ts"
import type { NodeNetwork } from "#test/cluster/nodeNetwork.ts"
import type { Supervisor } from "#test/cluster/supervisor.ts"

/**
 * The kubelet insists on some settings of the whole machine. It finds the values it wants in files that cover the
 * real ones for this mount namespace only.
 */
const tunables: Readonly<Record<string, number>> = {
  "vm/overcommit_memory": 1,
  "vm/panic_on_oom": 0,
  "kernel/panic": 10,
  "kernel/panic_on_oops": 1,
  "kernel/keys/root_maxkeys": 1_000_000,
  "kernel/keys/root_maxbytes": 25_000_000
}

/** What programs write to fixed places of the machine's lands in memory, or in the folder, and goes with the namespace. */
const groundScript = (folder: string, network: NodeNetwork) => `set -eu
cd '${folder}'
mkdir -p ground cni kubelet opt plugins pod-logs tunables
mount -t tmpfs gatehouse ground
mkdir ground/upper ground/work
mount -t overlay gatehouse -o "lowerdir=/var/lib,upperdir=ground/upper,workdir=ground/work" /var/lib
mount --bind pod-logs /var/log
mount -t tmpfs -o mode=755 gatehouse /run
mkdir -p /run/netns /run/lock
${Object.entries(tunables)
  .map(([path, value]) => {
    const file = `tunables/${path.replaceAll("/", "-")}`
    return `if [ -e /proc/sys/${path} ]; then echo ${value} >${file}; mount --bind ${file} /proc/sys/${path}; fi`
  })
  .join("\n")}
mount --make-rshared /
ip link set lo up
ip address add ${network.nodeAddress}/30 dev eth0
ip link set eth0 up
ip route add default via ${network.hostAddress}
echo 1 >/proc/sys/net/ipv4/ip_forward
# A connection whose both ends were killed would hold the namespace, and so the machine's interface, for minutes.
echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries
# What leaves the node does so by the node's address, as the machine knows no way back to a pod's.
nft add table ip node
nft add chain ip node leaving '{ type nat hook postrouting priority srcnat; }'
nft add rule ip node leaving oifname eth0 ip saddr ${podRange} masquerade
# Without it policies miss what goes from pod to pod over the bridge.
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables; fi
`

const controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"]

/** Mount points of a file system type, by this process's view. */
const mountsOf = (type: string) =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields[2] === type)
    .map((fields) => fields[1]!)

/** A cgroup of the cluster's own in every hierarchy that limits something, for both versions of cgroups. */
const cgroupScript = (name: string) => {
  const version1 = mountsOf("cgroup").map((hierarchy) => {
    const own = join(hierarchy, name)
    // A new cpuset is empty, and no process can be put in.
    const fill = ["cpuset.cpus", "cpuset.mems"].map((file) => `cat ${hierarchy}/${file} >${own}/${file}`)
    return `mkdir -p ${own}\nif [ -e ${own}/cpuset.cpus ]; then ${fill.join("; ")}; fi`
  })
  if (version1.length > 0) return ["set -eu", ...version1].join("\n")
  const root = mountsOf("cgroup2")[0] ?? "/sys/fs/cgroup"
  // As the root may be a container's, one that cannot be had is told by the kubelet, by name.
  const enable = (folder: string) =>
    controllers.map((controller) => `echo +${controller} >${folder}/cgroup.subtree_control 2>/dev/null || true`)
  return ["set -eu", ...enable(root), `mkdir -p ${root}/${name}`, ...enable(`${root}/${name}`)].join("\n")
}

const succeed = async (supervisor: Supervisor, what: string, script: string) => {
  const { code, stderr } = await supervisor.run(["sh", "-c", script])
  if (code !== 0) throw new Error(`${what}: ${stderr.trim()}`)
}

export const cniConfig = JSON.stringify({
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: podRange.replace("/16", "/24") }]],
        routes: [{ dst: "0.0.0.0/0" }]
      }
    },
    { type: "portmap", capabilities: { portMappings: true } }
  ]
})

const overlayTrial = (folder: string) => `set -e
cd '${folder}'
mkdir -p trial/lower trial/upper trial/work trial/all
mount -t overlay gatehouse -o lowerdir=trial/lower,upperdir=trial/upper,workdir=trial/work trial/all
umount trial/all`

/** How the runtime can lay out images in `folder`. */
export const snapshotterFor = async (supervisor: Supervisor, folder: string): Promise<Snapshotter> =>
  (await supervisor.run(["sh", "-c", overlayTrial(folder)])).code === 0 ? "overlayfs" : "native"

export const prepareGround = async (
  supervisor: Supervisor,
  folder: string,
  cgroup: string,
  network: NodeNetwork
): Promise<void> => {
  await succeed(supervisor, "the node's mounts and interfaces", groundScript(folder, network))
  await succeed(supervisor, "the node's cgroups", cgroupScript(cgroup))
}
