/** Finds out how much of a cluster this machine can run, and why no more; must change nothing on it. */
import { tmpdir } from "node:os"
import { thisProcess } from "#test/cluster/alive.ts"
import { goVersion } from "#test/cluster/build.ts"
import { namePrefix } from "#test/cluster/leftBehind.ts"

/** What runs: only the control plane, or a node with real pods too. */
export type Tier = "controlplane" | "node"

export interface Verdict {
  /** Undefined where not even a control plane can be built. */
  readonly tier: Tier | undefined
  /** Why it is no higher, for people; empty for the highest. */
  readonly reason: string
}

/** Program, and Debian's package that has it. */
const needed = [
  ["containerd", "containerd"],
  ["ctr", "containerd"],
  ["runc", "runc"],
  ["ip", "iproute2"],
  ["nft", "nftables"],
  ["unshare", "util-linux"],
  ["mount", "mount"]
] as const

/** Where Debian, and others, keep the CNI plugins. */
const pluginFolders = ["/usr/lib/cni", "/opt/cni/bin"]
export const cniPlugins = (): string | undefined =>
  pluginFolders.find((folder) =>
    ["bridge", "host-local", "portmap"].every((plugin) => Bun.which(plugin, { PATH: folder }) !== null)
  )

/** Does what a node needs of the kernel, in namespaces of its own, which end with it. */
const trial = `set -e
ip link add gh0 type veth peer name gh1
ip link add gh2 type bridge
echo 1 >/proc/sys/net/ipv4/ip_forward
nft add table ip gatehouse
nft 'add chain ip gatehouse c { type nat hook postrouting priority 100; }'
mount -t tmpfs gatehouse "$1"
mkdir "$1/lower" "$1/upper" "$1/work" "$1/all"
mount -t overlay gatehouse -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/all"
cgroups=/sys/fs/cgroup
if [ -e $cgroups/cgroup.controllers ]; then
  for controller in cpu memory pids; do
    # Below the true root, which has no type, a group with processes cannot hand controllers on.
    if [ -e $cgroups/cgroup.type ] && ! grep -qw $controller $cgroups/cgroup.subtree_control; then
      echo "the cgroup of this container hands no $controller on" >&2
      exit 1
    fi
  done
else
  cgroups=$cgroups/memory
fi
mkdir "$cgroups/$2"
rmdir "$cgroups/$2"`

const nodeObstacle = (): string | undefined => {
  if (process.platform !== "linux") return `a node needs Linux, and this is ${process.platform}`
  if (process.getuid?.() !== 0) return "a node needs root"
  const missing: Array<string> = [
    ...new Set<string>(needed.filter(([program]) => Bun.which(program) === null).map(([, name]) => name))
  ]
  if (cniPlugins() === undefined) missing.push("containernetworking-plugins")
  if (missing.length > 0) return `a node needs Debian's ${missing.join(" ")}`
  const namespaces = ["--fork", "--kill-child", "--pid", "--mount", "--net", "--mount-proc"]
  const args = ["sh", "-c", trial, "sh", tmpdir(), `${namePrefix}${thisProcess()}-trial`]
  const { exitCode, stderr } = Bun.spawnSync(["unshare", ...namespaces, ...args])
  return exitCode === 0 ? undefined : `a node cannot be walled off here: ${stderr.toString().trim().split("\n")[0]}`
}

export const highestTier = (): Verdict => {
  if (goVersion() === undefined) {
    return { tier: undefined, reason: "no Go toolchain that can build Kubernetes is on the PATH" }
  }
  const obstacle = nodeObstacle()
  return obstacle === undefined ? { tier: "node", reason: "" } : { tier: "controlplane", reason: obstacle }
}
