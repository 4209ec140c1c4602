/** Takes a node through what a power cut does to it: everything on it is killed at once, what lay in memory is lost, what lay on disk is not; must spare the control plane. */
import { basename } from "node:path"
import { eventually } from "#test/shared/until.ts"
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

/** A kubelet says how it is here, once it has found its runtime. */
const kubeletHealth = "127.0.0.1:10248"

/** As systemd does: a kubelet that meets a runtime which still recovers its state ends, and is started again. */
const keepKubelet = async (supervisor: Supervisor, nodeAddress: string) => {
  const health = await supervisor.relay(`${nodeAddress}:0`, kubeletHealth)
  await eventually("the kubelet keeps running", async () => {
    if (!(await supervisor.state("kubelet")).running) await supervisor.start({ name: "kubelet" })
    const answer = await fetch(`http://${health}/healthz`, { signal: AbortSignal.timeout(2000) })
    return answer.ok && (await answer.text()) === "ok"
  })
}

export const rebootNode = async (supervisor: Supervisor, folder: string, nodeAddress: string): Promise<void> => {
  for (const program of programs.toReversed()) await supervisor.stop(program, 0)
  await supervisor.run(["sh", "-c", script(basename(folder))])
  for (const program of programs) await supervisor.start({ name: program })
  await keepKubelet(supervisor, nodeAddress)
}
