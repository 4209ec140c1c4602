/** Follows the rollout after a write to its end and records what it came to; must act on nothing it sees. */
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import type { Action } from "#shared/api/admin.ts"
import { WorkloadKind } from "#shared/domain/workload.ts"
import { ActionLog } from "./ActionLog.ts"
import { Cluster } from "./Cluster.ts"
import { Feed } from "./Feed.ts"
import type { WorkloadRef } from "./kinds.ts"
import type { WrittenObject } from "./writtenObject.ts"

/** Minutes a rollout is followed; what has not ended by then is recorded as it stands. */
const followedMinutes = 15
/** Between two looks at the live view, which is kept by a watch. */
const look = Duration.seconds(1)

export class RolloutWatch extends Context.Service<
  RolloutWatch,
  {
    /** Follows what an action has written. Returns at once; what is followed already is not followed twice. */
    readonly follow: (actionId: string, written: ReadonlyArray<WrittenObject>) => Effect.Effect<void>
  }
>()("gatehouse/admin/RolloutWatch") {
  static readonly layer = Layer.effect(
    RolloutWatch,
    Effect.suspend(() => makeRolloutWatch)
  )
}

/** Actions that make a new revision. */
const templateActions: ReadonlySet<string> = new Set(["apply", "restart", "undo"])

type Followed = Pick<WrittenObject, "kind" | "name" | "uid" | "generation">

const isWorkloadKind = Schema.is(WorkloadKind)

const makeRolloutWatch = Effect.gen(function* () {
  const log = yield* ActionLog
  const cluster = yield* Cluster
  const feed = yield* Feed
  const scope = yield* Effect.scope
  const followed = new Set<string>()

  /** The revision that runs now is what the action has brought about, if it was one that changes the template. */
  const attribute = Effect.fnUntraced(function* (action: Action, uid: string, target: WorkloadRef) {
    if (!templateActions.has(action.action)) return
    const current = (yield* cluster.history(target)).find((revision) => revision.current)
    if (current !== undefined) yield* log.attribute(uid, current.uid, action.id)
  })

  /** The end of one workload's rollout, or how it stands at the time `end`; undefined if it is not to be seen. */
  const settled = Effect.fnUntraced(function* (target: WorkloadRef, written: Followed, end: number) {
    for (;;) {
      yield* Effect.sleep(look)
      const over = (yield* Clock.currentTimeMillis) >= end
      const seen = yield* Effect.option(cluster.detail(target))
      if (seen._tag === "Some") {
        const { status, workload } = seen.value
        // The view may not have seen the write yet: then its status is that of the rollout before.
        const fresh = workload.generation >= written.generation && (written.uid === "" || written.uid === workload.uid)
        const ended = fresh && (status.phase !== "progressing" || status.done)
        if (ended || over) return { status, uid: workload.uid }
      } else if (over) return undefined
    }
  })

  const watch = Effect.fnUntraced(function* (actionId: string, written: ReadonlyArray<Followed>) {
    const { action } = yield* log.find(actionId)
    const { namespace } = action
    const end = (yield* Clock.currentTimeMillis) + followedMinutes * 60_000
    const results = yield* Effect.forEach(
      written,
      Effect.fnUntraced(function* (one) {
        const { kind, name } = one
        if (!isWorkloadKind(kind)) return []
        const target = { namespace, kind, name }
        // The view asks who changed a workload when it first sees it, which may have been before this was recorded.
        yield* cluster.refresh(target)
        const found = yield* settled(target, one, end)
        if (found === undefined) return []
        yield* cluster.refresh(target)
        yield* attribute(action, found.uid, target)
        return [{ phase: found.status.phase, message: found.status.reason || found.status.message }]
      }),
      { concurrency: "unbounded" }
    )
    // Of several workloads the one that did not come up is what a person must know.
    const all = results.flat()
    const told = all.find(({ phase }) => phase !== "complete") ?? all[0]
    if (told === undefined) return
    yield* log.rollout(action, told)
    const { action: recorded } = yield* log.find(actionId)
    yield* feed.publish({ event: "action", data: recorded })
  })

  const follow = (actionId: string, written: ReadonlyArray<Followed>) =>
    Effect.suspend(() => {
      if (followed.has(actionId)) return Effect.void
      followed.add(actionId)
      return watch(actionId, written).pipe(
        Effect.catch((error) => Effect.logDebug("a rollout is not followed to its end", error.message)),
        Effect.tapCause((cause) => Effect.logError("a rollout cannot be followed", cause)),
        Effect.ignore,
        Effect.ensuring(Effect.sync(() => followed.delete(actionId))),
        Effect.forkIn(scope),
        Effect.asVoid
      )
    })

  /** What an action has written, as far as the record tells. */
  const writtenBy = ({ kind, name, objects, uid }: Action): ReadonlyArray<Followed> =>
    kind === "List"
      ? objects.flatMap((one) =>
          one.result === "created" || one.result === "configured" ? [{ ...one, uid: "", generation: 0 }] : []
        )
      : [{ kind, name, uid: uid ?? "", generation: 0 }]

  // What the process before this one had begun to follow.
  yield* log.unwatched(followedMinutes).pipe(
    Effect.flatMap((ids) =>
      Effect.forEach(ids, (id) => Effect.flatMap(log.find(id), ({ action }) => follow(id, writtenBy(action))), {
        discard: true
      })
    ),
    Effect.catch((error) => Effect.logDebug("earlier rollouts are not followed", error.message)),
    Effect.forkScoped
  )

  return RolloutWatch.of({ follow })
})
