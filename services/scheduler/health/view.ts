/** One namespace's workloads, revisions and pods put together: which pod belongs to which revision of which workload; pure, must judge nothing. */
import type { Node, Pod, Revision, Workload } from "./facts.ts"

/** What the API server last said, by kind; each map by uid. */
export interface Facts {
  readonly workloads: ReadonlyMap<string, Workload>
  readonly revisions: ReadonlyMap<string, Revision>
  readonly pods: ReadonlyMap<string, Pod>
  readonly nodes: ReadonlyMap<string, Node>
}

export interface RevisionView {
  readonly revision: Revision
  readonly current: boolean
  readonly pods: ReadonlyArray<Pod>
}

export interface WorkloadView {
  readonly workload: Workload
  /** Ascending. */
  readonly revisions: ReadonlyArray<RevisionView>
}

export interface View {
  readonly workloads: ReadonlyArray<WorkloadView>
  /** Pods without a workload that has revisions (of a Job, or of nobody). */
  readonly others: ReadonlyArray<Pod>
  readonly nodes: ReadonlyArray<Node>
}

/** Pods of a StatefulSet or DaemonSet name their ControllerRevision by this label: its name, or the hash its name ends with. */
const revisionLabel = "controller-revision-hash"

const belongs = (pod: Pod, workload: Workload, revision: Revision): boolean => {
  if (workload.kind === "Deployment") return pod.owner?.uid === revision.uid
  const hash = pod.labels[revisionLabel] ?? ""
  return (
    pod.owner?.uid === workload.uid && hash !== "" && (hash === revision.name || revision.name.endsWith(`-${hash}`))
  )
}

const isCurrent = (workload: Workload, revision: Revision, highest: number): boolean =>
  workload.updateRevision === "" ? revision.revision === highest : revision.name === workload.updateRevision

const push = <A>(groups: Map<string, Array<A>>, key: string, one: A) => {
  const group = groups.get(key)
  if (group === undefined) groups.set(key, [one])
  else group.push(one)
}

export const viewOf = ({ nodes, pods, revisions, workloads }: Facts): View => {
  const revisionsOf = new Map<string, Array<Revision>>()
  for (const revision of revisions.values()) if (revision.owner) push(revisionsOf, revision.owner.uid, revision)
  const workloadOf = new Map<string, string>()
  for (const revision of revisions.values()) if (revision.owner) workloadOf.set(revision.uid, revision.owner.uid)
  const podsOf = new Map<string, Array<Pod>>()
  const others: Array<Pod> = []
  for (const pod of pods.values()) {
    const uid = pod.owner === undefined ? undefined : (workloadOf.get(pod.owner.uid) ?? pod.owner.uid)
    if (uid !== undefined && workloads.has(uid)) push(podsOf, uid, pod)
    else others.push(pod)
  }
  return {
    workloads: [...workloads.values()].map((workload) => {
      const mine = (revisionsOf.get(workload.uid) ?? []).toSorted((a, b) => a.revision - b.revision)
      const highest = mine.at(-1)?.revision ?? 0
      const own = podsOf.get(workload.uid) ?? []
      return {
        workload,
        revisions: mine.map((revision) => ({
          revision,
          current: isCurrent(workload, revision, highest),
          pods: own.filter((pod) => belongs(pod, workload, revision))
        }))
      }
    }),
    others,
    nodes: [...nodes.values()]
  }
}
