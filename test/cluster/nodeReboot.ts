/** Takes a node through what a power cut does to it: everything on it is killed at once, what lay in memory is lost, what lay on disk is not; must spare the control plane. */
import { basename } from "node:path"
import { eventually } from "#test/cluster/eventually.ts"
import type { Supervisor } from "#test/cluster/supervisor.ts"

/** Kills the shims first, as they would report their containers' ends; then clears what a boot finds empty. */
const script = (cgroup: string) => `set -u
for process in /proc/[0-9]*; do
  case $(cat "$process/comm" 2>/dev/null) in containerd-shim*) kill -KILL "\${process#/proc/}" ;; esac
done
find /sys/fs/cgroup -path '*/${cgroup}/*' -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | xargs -r kill -KILL 2>/dev/null
for place in $(cut -d ' ' -f 2 /proc/self/mounts | grep -E '^/run/' | sort -r); do umount -l "$place"; done
rm -rf /run/containerd /run/netns
mkdir -p /run/netns
ip link delete cni0 2>/dev/null
exit 0`

/** In the order of their start. */
const programs = ["containerd", "kubelet", "kube-proxy"]

/** Milliseconds after which a kubelet has long asked its runtime whether it is there. */
const settled = 10_000

/** As systemd does: a kubelet that meets a runtime which still recovers its state ends, and is started again. */
const startKubelet = async (supervisor: Supervisor) => {
  await supervisor.start({ name: "kubelet" })
  let since = performance.now()
  await eventually("the kubelet keeps running", async () => {
    if ((await supervisor.state("kubelet")).running) return performance.now() - since > settled
    await supervisor.start({ name: "kubelet" })
    since = performance.now()
    return false
  })
}

export const rebootNode = async (supervisor: Supervisor, folder: string): Promise<void> => {
  for (const program of programs.toReversed()) await supervisor.stop(program, 0)
  await supervisor.run(["sh", "-c", script(basename(folder))])
  await supervisor.start({ name: "containerd" })
  await startKubelet(supervisor)
  await supervisor.start({ name: "kube-proxy" })
}
