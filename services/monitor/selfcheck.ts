/** What /monitor/selfcheck says: whether the monitor sees the host, what each collector found and how to mend what it did not. */
import type { SelfCheck } from "#shared/api/monitor.ts"
import type { Collectors, Outcome, Reading } from "./Collectors.ts"
import { expose } from "./exposition.ts"
import type { HostFiles, NoData } from "./files.ts"

const remedies: Readonly<Partial<Record<NoData["problem"], string>>> = {
  hidepid: "mount /proc without hidepid, or give the monitor's group its gid= option",
  pod: "mount the host's /proc and /sys into the pod and point MONITOR_PROCFS and MONITOR_SYSFS at them",
  netns: "give the pod hostNetwork, or do without",
  denied: "let the monitor's user read the file",
  missing: "the kernel or the machine does not have it, or its folder is not mounted",
  timeout: "the filesystem's server does not answer"
}

const mountHost = "mount the host's / read-only with mountPropagation HostToContainer and set MONITOR_ROOTFS"

const check = (name: string, ok: boolean, detail: string, remedy?: string): SelfCheck["checks"][number] => ({
  name,
  status: ok ? "ok" : "degraded",
  detail,
  ...(ok || remedy === undefined ? {} : { remedy })
})

const hidden = (outcome: Outcome<unknown>) =>
  !outcome.ok && (outcome.problem === "hidepid" || outcome.problem === "pod") ? outcome : undefined

const viewCheck = (files: HostFiles) => {
  switch (files.view) {
    case "host":
      return check("view", true, "the files read are the host's")
    case "container":
      return check(
        "view",
        false,
        "this process is in a container: network and mounts are the container's own",
        mountHost
      )
    case "pod":
      return check("view", false, "MONITOR_PROCFS is the container's own /proc", remedies.pod)
  }
}

/** lxcfs overlays /proc files: counts and sizes may then be the container's (lxc/lxcfs). */
const lxcfsCheck = (files: HostFiles) => {
  let mounts = ""
  try {
    mounts = files.first("mountinfo")
  } catch {
    // The view check says so.
  }
  const overlaid = mounts.split("\n").filter((line) => line.includes(" fuse.lxcfs "))
  return check(
    "lxcfs",
    overlaid.length === 0,
    overlaid.length === 0 ? "no lxcfs over /proc" : `lxcfs stands in for ${overlaid.length} files of /proc`,
    "run the monitor outside the LXC guest to see the host"
  )
}

/** The report of one reading. */
export const selfCheckOf = (
  collectors: Collectors["Service"],
  reading: Reading,
  stuck: ReadonlyArray<string>
): SelfCheck => {
  const { outcomes } = reading
  const netns = hidden(outcomes.netdev)
  const mounts = hidden(outcomes.filesystem)
  const { duplicates } = expose(collectors.families(reading, new Set(collectors.names)))
  const checks = [
    viewCheck(collectors.files),
    check(
      "network",
      netns === undefined,
      netns?.reason ?? "read from process 1",
      remedies[netns?.problem ?? "hidepid"]
    ),
    check(
      "mounts",
      mounts === undefined,
      mounts?.reason ?? "read from process 1",
      remedies[mounts?.problem ?? "hidepid"]
    ),
    check(
      "pressure",
      outcomes.pressure.ok,
      outcomes.pressure.ok ? "the kernel keeps PSI" : outcomes.pressure.reason,
      "boot with psi=1 on a kernel of 4.20 or later"
    ),
    lxcfsCheck(collectors.files),
    check(
      "stuck filesystems",
      stuck.length === 0,
      stuck.length === 0 ? "every filesystem answers" : stuck.join(", "),
      remedies.timeout
    ),
    check("duplicate series", duplicates.length === 0, duplicates.length === 0 ? "none" : duplicates.join(", "))
  ]
  return {
    at: new Date(reading.time).toISOString(),
    status: checks.every(({ status }) => status === "ok") ? "ok" : "degraded",
    checks,
    collectors: collectors.names.map((name) => {
      const outcome = outcomes[name]
      const seconds = outcome.took
      if (outcome.ok && collectors.foreign.has(name)) {
        const reason = "container: the values are the container's own, so that metrics leave them out"
        return { collector: name, success: false, seconds, reason, remedy: mountHost }
      }
      if (outcome.ok) return { collector: name, success: true, seconds, reason: null, remedy: null }
      return {
        collector: name,
        success: false,
        seconds,
        reason: outcome.reason,
        remedy: remedies[outcome.problem] ?? null
      }
    })
  }
}
