/** The health rules: from what is seen over time to confirmed findings, one for each workload, revision and class; pure but for its own memory, must know no store. */
import type { IncidentClass } from "#shared/api/scheduler.ts"
import type { Boot, Pod } from "./facts.ts"
import { isCalm, restartsOf, type Symptom, symptomsOf } from "./symptoms.ts"
import type { Thresholds } from "./thresholds.ts"
import type { RevisionView, View, WorkloadView } from "./view.ts"

/** A fault that was seen long enough. Times in milliseconds since the epoch. */
export interface Finding {
  /** namespace/kind/name/revision/class: further pods of it are the same finding. */
  readonly key: string
  readonly class: IncidentClass
  readonly namespace: string
  readonly kind: "Deployment" | "StatefulSet" | "DaemonSet" | "Node" | "Cluster"
  readonly name: string
  readonly uid: string
  readonly generation: number
  readonly revision: number | null
  readonly revisionUid: string | null
  readonly podCount: number
  readonly restarts: number
  /** The pod, container, word and exit code that show it best. */
  readonly pod: string | null
  readonly container: string | null
  readonly reason: string
  readonly exitCode: number | null
  readonly impact: "none" | "partial" | "full" | "unknown"
  readonly firstSeenAt: number
}

export interface Verdict {
  readonly findings: ReadonlyArray<Finding>
  /** Workloads (by uid) at rest: complete, all Ready and without a restart for the resolve time. */
  readonly calm: ReadonlySet<string>
  /** Workloads that are meant not to run, with the reason: nothing is opened for them. */
  readonly exempt: ReadonlyMap<string, string>
  /** Revisions (by uid) whose pods were all Ready for the known-good time. */
  readonly good: ReadonlyMap<string, { readonly workloadUid: string; readonly revision: number }>
}

interface Track {
  readonly firstSeen: number
  /** When the fault was last there, not only what it has left. */
  readonly lastAcute: number
}

interface Sighting {
  readonly pod: Pod
  readonly symptom: Symptom
}

const order: ReadonlyArray<IncidentClass> = [
  "oom_loop",
  "crash_loop",
  "config_error",
  "image_pull",
  "pending",
  "not_ready"
]

/** Faults that say why a rollout is stuck: theirs is the incident. */
const graver = ["oom_loop", "crash_loop", "config_error", "image_pull"] as const

/** Why no fault of this workload counts now, if so. */
export const exemption = ({ workload }: WorkloadView): string | undefined => {
  if (workload.deleting) return "it is being deleted"
  if (workload.desired === 0) return "it is scaled to zero"
  if (workload.paused) return "its rollout is paused"
  if (!workload.observed) return "the cluster has not taken up its last change yet"
  return undefined
}

const impactOf = ({ workload }: WorkloadView): Finding["impact"] =>
  workload.available >= workload.desired ? "none" : workload.available > 0 ? "partial" : "full"

/** Long enough for its class, by what was tracked since it began. */
const confirmed = (sightings: ReadonlyArray<Sighting>, track: Track, now: number, thresholds: Thresholds): boolean => {
  const [first] = sightings
  if (first === undefined) return false
  const held = track.lastAcute - track.firstSeen
  const since = Math.min(...sightings.map(({ symptom }) => symptom.since ?? track.firstSeen))
  const restarts = Math.max(...sightings.map(({ symptom }) => symptom.restarts))
  switch (first.symptom.class) {
    case "crash_loop":
      return held >= thresholds.crashHold && restarts >= thresholds.crashRestarts
    case "oom_loop":
      return restarts >= 2 && held >= Math.min(thresholds.crashHold, thresholds.configError)
    case "image_pull":
      return held >= thresholds.imagePull
    case "config_error":
      return held >= thresholds.configError
    case "pending":
      return now - since >= thresholds.pending
    case "not_ready":
      return now - since >= thresholds.notReady
  }
}

const bestOf = (sightings: ReadonlyArray<Sighting>): Sighting =>
  sightings.reduce((best, one) => (one.symptom.restarts > best.symptom.restarts ? one : best))

/** The judge of one cluster: call it with each look at everything, in the order of time. */
export const makeJudge = (
  thresholds: Thresholds,
  /** What is known of the nodes' boots; kept up to date. A judge that forgot them would miss the reboot that ended it. */
  boots: Map<string, Boot> = new Map()
) => {
  const tracks = new Map<string, Track>()

  /** Nodes whose pods tell nothing of the workloads: away, under pressure, or just booted. */
  const troubledNodes = (view: View, now: number): ReadonlyMap<string, string> => {
    const troubled = new Map<string, string>()
    for (const node of view.nodes) {
      const known = boots.get(node.name)
      if (known === undefined) boots.set(node.name, { bootId: node.bootId, changedAt: null })
      else if (known.bootId !== node.bootId) boots.set(node.name, { bootId: node.bootId, changedAt: now })
      const changedAt = boots.get(node.name)?.changedAt ?? Number.NEGATIVE_INFINITY
      if (!node.ready) troubled.set(node.name, "NotReady")
      else if (node.pressure.length > 0) troubled.set(node.name, node.pressure.join(", "))
      else if (now - changedAt < thresholds.rebootGrace) troubled.set(node.name, "rebooted")
    }
    return troubled
  }

  const nodeFindings = (view: View, troubled: ReadonlyMap<string, string>, now: number): ReadonlyArray<Finding> =>
    view.nodes.flatMap((node) => {
      const reason = troubled.get(node.name)
      const key = `/Node/${node.name}//node`
      if (reason === undefined || reason === "rebooted") {
        tracks.delete(key)
        return []
      }
      const track = tracks.get(key) ?? { firstSeen: now, lastAcute: now }
      tracks.set(key, { ...track, lastAcute: now })
      if (now - track.firstSeen < thresholds.configError) return []
      return [
        {
          key,
          class: "node",
          namespace: "",
          kind: "Node",
          name: node.name,
          uid: node.name,
          generation: 0,
          revision: null,
          revisionUid: null,
          podCount: view.workloads
            .flatMap(({ revisions }) => revisions.flatMap(({ pods }) => pods))
            .filter((pod) => pod.node === node.name).length,
          restarts: 0,
          pod: null,
          container: null,
          reason,
          exitCode: null,
          impact: "unknown",
          firstSeenAt: track.firstSeen
        } satisfies Finding
      ]
    })

  const ofRevision = (
    one: WorkloadView,
    { pods, revision }: RevisionView,
    troubled: ReadonlyMap<string, string>,
    now: number,
    seen: Set<string>
  ): Finding | undefined => {
    const { kind, name, namespace } = one.workload
    const sightings = pods
      .filter((pod) => pod.node === undefined || !troubled.has(pod.node))
      .flatMap((pod) => symptomsOf(pod, now, thresholds).map((symptom) => ({ pod, symptom })))
    const byClass = Map.groupBy(sightings, ({ symptom }) => symptom.class)
    let finding: Finding | undefined
    for (const which of order) {
      const group = byClass.get(which as Symptom["class"])
      if (group === undefined) continue
      const key = `${namespace}/${kind}/${name}/${revision.name}/${which}`
      seen.add(key)
      const acute = group.some(({ symptom }) => symptom.acute)
      const known = tracks.get(key)
      // A fault begins with a sight of it; between two crashes it only goes on.
      if (known === undefined && !acute) continue
      const best = bestOf(group)
      const firstSeen = known?.firstSeen ?? now
      // A crash between two looks leaves its time. A node's clock may be ahead.
      const deaths = group.map(({ symptom: { diedAt = 0 } }) => Math.min(diedAt, now))
      const track: Track = { firstSeen, lastAcute: acute ? now : Math.max(known?.lastAcute ?? firstSeen, ...deaths) }
      tracks.set(key, track)
      if (finding !== undefined || !confirmed(group, track, now, thresholds)) continue
      finding = {
        key,
        class: which,
        namespace,
        kind,
        name,
        uid: one.workload.uid,
        generation: one.workload.generation,
        revision: revision.revision,
        revisionUid: revision.uid,
        podCount: new Set(group.map(({ pod }) => pod.uid)).size,
        restarts: pods.reduce((sum, pod) => sum + restartsOf(pod), 0),
        pod: best.pod.name,
        container: best.symptom.container ?? null,
        reason: best.symptom.reason,
        exitCode: best.symptom.exitCode ?? null,
        impact: impactOf(one),
        firstSeenAt: track.firstSeen
      }
    }
    return finding
  }

  /** Whether a graver fault of the revision is being watched and not confirmed yet, as after a start of the judge itself. */
  const brewing = ({ workload: { kind, name, namespace } }: WorkloadView, { revision }: RevisionView): boolean =>
    graver.some((which) => tracks.has(`${namespace}/${kind}/${name}/${revision.name}/${which}`))

  const stuck = (one: WorkloadView, now: number): Finding | undefined => {
    const current = one.revisions.find((revision) => revision.current)
    if (!one.workload.deadlineExceeded || current === undefined || brewing(one, current)) return undefined
    const { generation, kind, name, namespace, uid } = one.workload
    return {
      key: `${namespace}/${kind}/${name}/${current.revision.name}/rollout_stuck`,
      class: "rollout_stuck",
      namespace,
      kind,
      name,
      uid,
      generation,
      revision: current.revision.revision,
      revisionUid: current.revision.uid,
      podCount: current.pods.length,
      restarts: current.pods.reduce((sum, pod) => sum + restartsOf(pod), 0),
      pod: current.pods[0]?.name ?? null,
      container: null,
      reason: "ProgressDeadlineExceeded",
      exitCode: null,
      impact: impactOf(one),
      firstSeenAt: now
    }
  }

  const isAtRest = ({ revisions, workload }: WorkloadView, now: number): boolean => {
    const pods = revisions.flatMap((revision) => revision.pods).filter((pod) => !pod.deleting)
    return (
      workload.ready >= workload.desired &&
      workload.updated >= workload.desired &&
      pods.length > 0 &&
      pods.every((pod) => isCalm(pod, now, thresholds))
    )
  }

  /** Revisions that have proved themselves, also the old one that still serves while the next comes up beside it. */
  const proven = ({ revisions, workload }: WorkloadView, now: number): ReadonlyArray<RevisionView> => {
    const steady = (pod: Pod) => pod.readySince !== undefined && now - pod.readySince >= thresholds.knownGood
    // A rollout takes a quarter of the old pods away at most, unless the workload says otherwise.
    const enough = Math.max(1, Math.floor(workload.desired * 0.75))
    return revisions.filter(({ pods }) => {
      const whole = pods.filter((pod) => !pod.deleting)
      return whole.length >= enough && whole.every(steady)
    })
  }

  return (view: View, now: number): Verdict => {
    const seen = new Set<string>()
    const troubled = troubledNodes(view, now)
    const findings: Array<Finding> = [...nodeFindings(view, troubled, now)]
    const calm = new Set<string>()
    const exempt = new Map<string, string>()
    const good = new Map<string, { readonly workloadUid: string; readonly revision: number }>()
    for (const one of view.workloads) {
      const reason = exemption(one)
      if (reason !== undefined) {
        exempt.set(one.workload.uid, reason)
        continue
      }
      const mine = one.revisions.flatMap((revision) => ofRevision(one, revision, troubled, now, seen) ?? [])
      findings.push(...mine)
      if (mine.length === 0) findings.push(...[stuck(one, now)].filter((found) => found !== undefined))
      if (isAtRest(one, now)) calm.add(one.workload.uid)
      for (const { revision } of proven(one, now)) {
        good.set(revision.uid, { workloadUid: one.workload.uid, revision: revision.revision })
      }
    }
    for (const key of tracks.keys()) if (!seen.has(key) && !key.startsWith("/Node/")) tracks.delete(key)
    return { findings, calm, exempt, good }
  }
}
