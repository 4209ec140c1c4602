/** What may be done to this workload now: admin's word for the namespace, and what it would refuse for the workload as it is; pure. */
import type { Workload } from "#shared/api/admin.ts"
import { type Allowance, firstRefusal, type Rules } from "../../useCapabilities.ts"

const paused = "It is paused: resume it first."

export const mayRestart = (rules: Rules, { namespace, paused: isPaused }: Workload): Allowance =>
  firstRefusal(rules.can(namespace, "restart"), isPaused && paused)

export const mayUndo = (rules: Rules, { kind, namespace, paused: isPaused }: Workload): Allowance =>
  firstRefusal(rules.can(namespace, "undo"), kind === "Deployment" && isPaused && paused)

export const mayPause = (rules: Rules, { kind, namespace }: Workload): Allowance =>
  firstRefusal(rules.can(namespace, "pause"), kind !== "Deployment" && `A ${kind} cannot be paused.`)

export const mayResume = (rules: Rules, { namespace }: Workload): Allowance => rules.can(namespace, "resume")

export const mayScale = (rules: Rules, { kind, namespace }: Workload): Allowance =>
  firstRefusal(rules.can(namespace, "scale"), kind === "DaemonSet" && "A DaemonSet has one pod on each node.")
