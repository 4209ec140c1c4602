/** What this service remembers of workloads beyond the cluster: who changed what, and which revisions were once good; must not read the cluster. */
import { Context, Effect, Layer } from "effect"
import type { Actor, Workload } from "#shared/api/admin.ts"
import type { Unavailable } from "#shared/domain/errors.ts"

export type LastChange = NonNullable<Workload["lastChange"]>

/** Who brought a revision about, and why. */
export interface RevisionNote {
  readonly actor: Actor
  readonly approver: Actor | null
  readonly reason: string
}

/** Workloads and revisions by uid: names and numbers are used again, uids are not. Every method fails with 503 while the database is away. */
export class Chronicle extends Context.Service<
  Chronicle,
  {
    /** The last change of the workload that went through admin. */
    readonly lastChange: (workloadUid: string) => Effect.Effect<LastChange | null, Unavailable>
    /** Notes on its revisions, by the uid of the ReplicaSet or ControllerRevision. */
    readonly revisionNotes: (workloadUid: string) => Effect.Effect<ReadonlyMap<string, RevisionNote>, Unavailable>
    /** uids of its revisions that were once fully available. */
    readonly goodRevisions: (workloadUid: string) => Effect.Effect<ReadonlySet<string>, Unavailable>
    /** Idempotent. */
    readonly markGood: (workloadUid: string, revisionUid: string) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/admin/Chronicle") {
  /** Remembers good revisions for the life of the process, and nobody's changes. */
  static readonly layerMemory = Layer.sync(Chronicle, () => {
    const good = new Map<string, Set<string>>()
    return Chronicle.of({
      lastChange: () => Effect.succeed(null),
      revisionNotes: () => Effect.succeed(new Map()),
      goodRevisions: (workload) => Effect.sync(() => new Set(good.get(workload))),
      markGood: (workload, revision) =>
        Effect.sync(() => {
          good.set(workload, (good.get(workload) ?? new Set()).add(revision))
        })
    })
  })
}
