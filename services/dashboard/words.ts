/** Kubernetes' and the platform's own terms in words for people; what has no words here is shown as it came. Must hold no state. */
import type { ActionState, ContainerState, ProposalState } from "#shared/api/admin.ts"
import type { Incident, IncidentClass, JobState, RemedyState } from "#shared/api/scheduler.ts"
import type { HealthStatus, RolloutPhase } from "#shared/domain/workload.ts"

/** How a state looks beside its word: never the colour alone. */
export type Tone = "good" | "busy" | "rest" | "warn" | "bad" | "none"

export const healthTones: Readonly<Record<HealthStatus, Tone>> = {
  Healthy: "good",
  Suspended: "rest",
  Progressing: "busy",
  Missing: "warn",
  Degraded: "bad",
  Unknown: "warn"
}

/** Worst first: what a person should look at first. */
export const healthOrder: ReadonlyArray<HealthStatus> = [
  "Unknown",
  "Degraded",
  "Missing",
  "Progressing",
  "Suspended",
  "Healthy"
]

export const phaseTones: Readonly<Record<RolloutPhase, Tone>> = {
  complete: "good",
  progressing: "busy",
  paused: "rest",
  stalled: "bad",
  failed: "bad"
}

const reasons: Readonly<Record<string, string>> = {
  CrashLoopBackOff: "keeps crashing, waits before its next start",
  ImagePullBackOff: "its image cannot be pulled, waits before trying again",
  ErrImagePull: "its image cannot be pulled",
  InvalidImageName: "its image has no valid name",
  CreateContainerConfigError: "a ConfigMap, Secret or key that it needs is missing",
  CreateContainerError: "the container cannot be created",
  RunContainerError: "the container cannot be started",
  ContainerCreating: "is being created",
  PodInitializing: "waits for the init containers",
  OOMKilled: "was killed: it used more memory than its limit",
  Completed: "has finished",
  Error: "ended with an error",
  ContainerCannotRun: "its command cannot be run",
  DeadlineExceeded: "took longer than allowed"
}

export const reasonInWords = (reason: string): string | undefined => reasons[reason]

/** What an exit code usually means; by signal number above 128 (POSIX shells). */
export const exitInWords = (code: number): string => {
  const known: Readonly<Record<number, string>> = {
    0: "success",
    1: "the program's own error",
    126: "command cannot be executed",
    127: "command not found",
    134: "aborted (SIGABRT)",
    137: "killed (SIGKILL), often out of memory",
    139: "memory fault (SIGSEGV)",
    143: "asked to stop (SIGTERM)"
  }
  return known[code] ?? (code > 128 && code < 160 ? `ended by signal ${code - 128}` : "the program's own code")
}

export const containerTone = ({ ready, reason, state }: ContainerState): Tone => {
  if (state === "running") return ready ? "good" : "busy"
  if (/^Err|Error$|BackOff$|^Invalid|OOMKilled/u.test(reason)) return "bad"
  if (state === "terminated") return reason === "Completed" ? "good" : "bad"
  return state === "waiting" ? "busy" : "warn"
}

export const proposalWords: Readonly<Record<ProposalState, readonly [Tone, string]>> = {
  pending: ["warn", "Waiting for a decision"],
  approved: ["busy", "Approved"],
  executing: ["busy", "Being carried out"],
  succeeded: ["good", "Carried out"],
  failed: ["bad", "Failed"],
  unknown: ["warn", "Outcome unknown"],
  rejected: ["rest", "Rejected"],
  expired: ["rest", "Expired"],
  stale: ["rest", "Out of date"],
  superseded: ["rest", "Superseded"]
}

export const actionWords: Readonly<Record<ActionState, readonly [Tone, string]>> = {
  intended: ["busy", "Under way"],
  succeeded: ["good", "Succeeded"],
  failed: ["bad", "Failed"],
  skipped: ["rest", "Skipped"],
  unchanged: ["rest", "Unchanged"],
  not_applied: ["rest", "Not applied"],
  unknown: ["warn", "Unknown"]
}

export const classWords: Readonly<Record<typeof IncidentClass.Type, string>> = {
  crash_loop: "Crash loop",
  oom_loop: "Out of memory",
  image_pull: "Image cannot be pulled",
  config_error: "Configuration error",
  rollout_stuck: "Rollout is stuck",
  not_ready: "Not ready",
  pending: "Cannot be scheduled",
  node: "Node",
  cluster_wide: "Cluster-wide"
}

export const remedyWords: Readonly<Record<RemedyState, readonly [Tone, string]>> = {
  none: ["none", "Not decided yet"],
  advice: ["rest", "Advice only"],
  suppressed: ["rest", "Held back"],
  proposal_pending: ["busy", "Proposal on its way"],
  proposed: ["warn", "Waiting for a decision"],
  approved: ["busy", "Approved"],
  rejected: ["rest", "Rejected"],
  expired: ["rest", "Proposal expired"],
  stale: ["rest", "Proposal out of date"],
  acting: ["busy", "Being carried out"],
  verifying: ["busy", "Being verified"],
  verified: ["good", "Verified"],
  ineffective: ["bad", "Did not help"],
  failed: ["bad", "Failed"]
}

/** The image without its registry and folders: "api:1.4.2", or its digest's first characters. */
export const shortImage = (image: string): string => {
  const last = image.slice(image.lastIndexOf("/") + 1)
  const [name = "", digest] = last.split("@")
  return digest === undefined ? name : `${name}@${digest.replace(/^sha256:/u, "").slice(0, 10)}`
}

/** The largest unit of an age: "3d". */
export const age = (at: string | null, now: number): string => {
  if (at === null) return "–"
  const seconds = Math.max(0, Math.round((now - Date.parse(at)) / 1000))
  if (seconds < 120) return `${seconds}\u202fs`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}\u202fmin`
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}\u202fh`
  return `${Math.floor(seconds / 86_400)}\u202fd`
}

export const kinds = ["Deployment", "StatefulSet", "DaemonSet"] as const

export const jobWords: Readonly<Record<JobState, readonly [Tone, string]>> = {
  scheduled: ["none", "Scheduled"],
  available: ["none", "Waiting"],
  running: ["busy", "Running"],
  retryable: ["warn", "Waits to try again"],
  succeeded: ["good", "Succeeded"],
  cancelled: ["rest", "Cancelled"],
  failed: ["bad", "Failed"],
  expired: ["rest", "Expired"]
}

export const impactWords: Readonly<Record<Incident["impact"], readonly [Tone, string]>> = {
  none: ["good", "Users are not affected"],
  partial: ["warn", "Some users are affected"],
  full: ["bad", "Users are affected"],
  unknown: ["none", "Impact not known"]
}
