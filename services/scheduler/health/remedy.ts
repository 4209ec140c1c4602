/** What is to be done about an incident: a rollback, a restart, advice, or nothing for now; pure, must know no store and no admin. */
import { sameButRestart } from "#shared/kubernetes/templates.ts"
import type { IncidentRow, Recent, RevisionHealth, Wish } from "./IncidentStore.ts"
import type { RevisionView, WorkloadView } from "./view.ts"

/** `Propose` something, give `Advice` and leave it to people, or hold back for now (`Suppress`). */
export type Decision =
  | { readonly _tag: "Propose"; readonly wish: Wish; readonly lastGoodRevision: number | null }
  /** `final`: nothing but a change of the workload makes it another decision. */
  | { readonly _tag: "Advise"; readonly advice: string; readonly final: boolean }
  | { readonly _tag: "Suppress"; readonly reason: string }

export interface Situation {
  readonly incident: IncidentRow
  readonly view: WorkloadView | undefined
  readonly exemption: string | undefined
  readonly health: ReadonlyArray<RevisionHealth>
  readonly recent: Recent
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly cooldown: number
}

/** Namespaces and the label of what must never be changed by a proposal of ours: the ground we stand on. */
const forbiddenNamespaces = new Set(["kube-system", "kube-public", "kube-node-lease"])
const ownStack = (view: WorkloadView) =>
  view.workload.labels["app.kubernetes.io/part-of"] === "gatehouse" ||
  view.workload.annotations["gatehouse.dev/proposals"] === "never"

/** At this age a release is no longer new: a crash has another cause. */
const oldRelease = 24 * 3_600_000
/** Undos of one workload in 24 h. */
const undosADay = 2
const actingInAll = 2

const advise = (advice: string, final = true): Decision => ({ _tag: "Advise", advice, final })
const suppress = (reason: string): Decision => ({ _tag: "Suppress", reason })

const adviceFor: Partial<Record<IncidentRow["class"], string>> = {
  oom_loop:
    "Its container is killed for using more memory than its limit. Raise the limit or mend the leak: neither a restart nor a rollback helps for long.",
  image_pull: "Its image cannot be pulled. Check the image's name and tag, and the registry's credentials.",
  config_error: "A ConfigMap, Secret or mount that it needs is missing or wrong. Its events name it.",
  pending: "No node has room for it, or none may run it. Its events say what is lacking.",
  not_ready: "It runs and does not get ready. See its readiness probe and its log.",
  cluster_wide:
    "Many workloads began to fail at about the same time, so nothing is proposed for any of them. Look at what they share: the network, DNS, storage, a registry, a Secret.",
  node: "The node is in trouble. What its pods show says nothing about the workloads."
}

/** The newest earlier revision that proved itself, is not marked bad and differs in more than the restart stamp. */
export const lastGood = (
  view: WorkloadView,
  failing: RevisionView,
  health: ReadonlyArray<RevisionHealth>
): RevisionView | undefined => {
  const known = new Map(health.map((one) => [one.revisionUid, one]))
  return view.revisions
    .filter(({ revision }) => revision.revision < failing.revision.revision)
    .toReversed()
    .find(({ revision }) => {
      const is = known.get(revision.uid)
      return is?.good === true && !is.bad && !sameButRestart(revision.template, failing.revision.template)
    })
}

const limits = ({ cooldown, incident, now, recent }: Situation, wish: Wish): Decision | undefined => {
  if (incident.mutedUntil !== null && incident.mutedUntil > now) return suppress("it is muted")
  if (recent.clusterWide) return suppress("many workloads fail at once: look for a common cause first")
  if (recent.busyWith !== null) return suppress("another proposal for this workload is open")
  if (recent.sinceActionMs !== null && recent.sinceActionMs < cooldown) {
    return suppress(`the last action on it was ${Math.round(recent.sinceActionMs / 60_000)} minutes ago`)
  }
  if (recent.sinceRejectedMs !== null && recent.sinceRejectedMs < cooldown) {
    return suppress(`a proposal for it was rejected ${Math.round(recent.sinceRejectedMs / 60_000)} minutes ago`)
  }
  if (wish.action === "undo" && recent.undos >= undosADay) return suppress("it was rolled back twice within 24 hours")
  if (wish.action === "restart" && recent.restarts >= 1) return suppress("it was restarted within 24 hours")
  if (recent.actingHere > 0 || recent.acting >= actingInAll) return suppress("another action is under way")
  return undefined
}

/** Decides by the rules; the same situation gives the same decision. */
export const decide = (situation: Situation): Decision => {
  const { exemption, health, incident, now, view } = situation
  const standing = adviceFor[incident.class]
  if (standing !== undefined) return advise(standing)
  if (view === undefined) return advise("The workload is gone.")
  if (forbiddenNamespaces.has(incident.namespace))
    return advise("Nothing is proposed in a namespace of the cluster's own.")
  if (ownStack(view)) return advise("It is a part of the platform itself: its changes are made by people.")
  if (view.workload.kind === "StatefulSet" && view.workload.hasVolumes) {
    return advise(
      "It keeps data on volumes, and an older release may not read what a newer one wrote: decide yourself."
    )
  }
  if (exemption !== undefined) return suppress(exemption)

  const failing = view.revisions.find(({ revision }) => revision.uid === incident.revisionUid)
  if (failing === undefined) return advise("The revision that failed is gone.")
  if (!failing.current) return advise("It is an older revision that fails: a newer one is being rolled out.", false)

  const workload = `${incident.kind.toLowerCase()}/${incident.name}`
  const age = now - failing.revision.createdAt
  const wentWell = health.some(({ good, revisionUid }) => good && revisionUid === failing.revision.uid)
  if (incident.class === "crash_loop" && wentWell && age > oldRelease) {
    const wish: Wish = {
      action: "restart",
      toRevision: null,
      summary: `Restart ${workload} once: it crashes after running well for more than a day, with no change of its own`
    }
    return limits(situation, wish) ?? { _tag: "Propose", wish, lastGoodRevision: null }
  }
  const good = lastGood(view, failing, health)
  if (good === undefined) {
    return advise(
      "No earlier revision is known to have worked: there is nothing safe to go back to. See the previous log and what changed.",
      false
    )
  }
  const what = incident.class === "rollout_stuck" ? "its rollout is stuck" : "its new release crashes"
  const wish: Wish = {
    action: "undo",
    toRevision: good.revision.revision,
    summary: `Undo ${workload} to revision ${good.revision.revision}: ${what}${
      incident.impact === "none" ? "; the old release still serves" : ""
    }`
  }
  return limits(situation, wish) ?? { _tag: "Propose", wish, lastGoodRevision: good.revision.revision }
}
