/** What was observed of workloads over time: how long a rollout lasts, and which revision has proven itself; must ask nobody. */
import type { RolloutStatus, Workload } from "#shared/api/admin.ts"
import { currentRevision, type Family, statusOf } from "./rollout/presentation.ts"

/** What is known of one workload beyond its objects. */
export interface Memory {
  /** Generation whose rollout is under way, and since when it was seen to be. */
  rollout: { readonly generation: number; readonly since: number } | undefined
  /** Revision that is fully available, and since when without a break. */
  available: { readonly revision: string; readonly since: number } | undefined
  lastChange: Workload["lastChange"]
}

/** Both by uid: a revision that was fully available for long enough. */
export interface Proof {
  readonly workload: string
  readonly revision: string
}

const uidOf = ({ object }: Family) => object.metadata.uid ?? ""
const generationOf = ({ object }: Family) => object.metadata.generation ?? 0

export class Observations {
  readonly #memories = new Map<string, Memory>()
  /** uids of revisions that were marked, by workload. */
  readonly #marked = new Map<string, Set<string>>()
  readonly #deadline: number
  readonly #goodAfter: number

  /** Milliseconds: after which a rollout counts as stalled, and for which a revision must be available to be good. */
  constructor(deadline: number, goodAfter: number) {
    this.#deadline = deadline
    this.#goodAfter = goodAfter
  }

  known(uid: string): Memory | undefined {
    return this.#memories.get(uid)
  }

  /** `fresh`: nothing was known of it before. */
  of(family: Family): { readonly memory: Memory; readonly fresh: boolean } {
    const known = this.#memories.get(uidOf(family))
    if (known !== undefined) return { memory: known, fresh: false }
    const memory: Memory = { rollout: undefined, available: undefined, lastChange: null }
    this.#memories.set(uidOf(family), memory)
    return { memory, fresh: true }
  }

  /** The status at `now`, with how long this rollout was seen to last. */
  judge(family: Family, now: number, pinned = 0): RolloutStatus {
    const rollout = this.#memories.get(uidOf(family))?.rollout
    const lasted = rollout?.generation === generationOf(family) ? now - rollout.since : 0
    return statusOf(family, { deadline: this.#deadline, lasted, pinned })
  }

  /** Brings the memory up to what is seen now. */
  observe(family: Family, now: number): void {
    const { memory } = this.of(family)
    const generation = generationOf(family)
    const { available, desired, done, phase } = this.judge(family, now)
    if (phase === "complete" || phase === "paused") memory.rollout = undefined
    else if (memory.rollout?.generation !== generation) memory.rollout = { generation, since: now }
    const revision = currentRevision(family)?.uid
    // None of none is no proof.
    if (!done || revision === undefined || desired === 0 || available < desired) memory.available = undefined
    else if (memory.available?.revision !== revision) memory.available = { revision, since: now }
  }

  /** What has been available for long enough and is not marked yet. */
  proofs(families: ReadonlyArray<Family>, now: number): ReadonlyArray<Proof> {
    return families.flatMap((family) => {
      const workload = uidOf(family)
      const available = this.#memories.get(workload)?.available
      if (available === undefined || now - available.since < this.#goodAfter) return []
      const { revision } = available
      return this.#marked.get(workload)?.has(revision) === true ? [] : [{ workload, revision }]
    })
  }

  marked({ revision, workload }: Proof): void {
    this.#marked.set(workload, (this.#marked.get(workload) ?? new Set()).add(revision))
  }

  forgetAllBut(families: ReadonlyArray<Family>): void {
    const alive = new Set(families.map(uidOf))
    for (const known of [this.#memories, this.#marked]) {
      for (const uid of known.keys()) if (!alive.has(uid)) known.delete(uid)
    }
  }
}
