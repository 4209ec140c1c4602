/** Follows the rollout after a write to its end and records what it came to; must act on nothing it sees. */
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import type { Action } from "#shared/api/admin.ts"
import { WorkloadKind } from "#shared/domain/workload.ts"
import { ActionLog } from "./ActionLog.ts"
import { Cluster } from "./Cluster.ts"
import { Feed } from "./Feed.ts"
import type { WorkloadRef } from "./kinds.ts"

/** Minutes a rollout is followed; what has not ended by then is recorded as it stands. */
const followedMinutes = 15
/** Between two looks at the live view, which is kept by a watch. */
const look = Duration.seconds(1)

export class RolloutWatch extends Context.Service<
  RolloutWatch,
  {
    /** Returns at once; what is followed already is not followed twice. */
    readonly follow: (actionId: string, generation?: number) => Effect.Effect<void>
  }
>()("gatehouse/admin/RolloutWatch") {
  static readonly layer = Layer.effect(
    RolloutWatch,
    Effect.suspend(() => makeRolloutWatch)
  )
}

/** Actions that make a new revision. */
const templateActions: ReadonlySet<string> = new Set(["apply", "restart", "undo"])

const isWorkloadKind = Schema.is(WorkloadKind)

const makeRolloutWatch = Effect.gen(function* () {
  const log = yield* ActionLog
  const cluster = yield* Cluster
  const feed = yield* Feed
  const scope = yield* Effect.scope
  const followed = new Set<string>()

  /** The revision that runs now is what the action has brought about, if it was one that changes the template. */
  const attribute = Effect.fnUntraced(function* (action: Action, target: WorkloadRef) {
    if (action.uid === null || !templateActions.has(action.action)) return
    const current = (yield* cluster.history(target)).find((revision) => revision.current)
    if (current !== undefined) yield* log.attribute(action.uid, current.uid, action.id)
  })

  const watch = Effect.fnUntraced(function* (actionId: string, generation: number) {
    const { action } = yield* log.find(actionId)
    const { kind, name, namespace } = action
    if (!isWorkloadKind(kind)) return
    const end = (yield* Clock.currentTimeMillis) + followedMinutes * 60_000
    for (;;) {
      yield* Effect.sleep(look)
      const over = (yield* Clock.currentTimeMillis) >= end
      const seen = yield* Effect.option(cluster.detail({ namespace, kind, name }))
      if (seen._tag === "None") {
        if (over) return
        continue
      }
      const { status, workload } = seen.value
      // The view may not have seen the write yet: then its status is that of the rollout before.
      const fresh = workload.generation >= generation && (action.uid === null || workload.uid === action.uid)
      if (!over && (!fresh || (status.phase === "progressing" && !status.done))) continue
      yield* attribute(action, { namespace, kind, name })
      yield* log.rollout(action, { phase: status.phase, message: status.reason || status.message })
      const { action: recorded } = yield* log.find(actionId)
      return yield* feed.publish({ event: "action", data: recorded })
    }
  })

  const follow = (actionId: string, generation = 0) =>
    Effect.suspend(() => {
      if (followed.has(actionId)) return Effect.void
      followed.add(actionId)
      return watch(actionId, generation).pipe(
        Effect.catch((error) => Effect.logDebug("a rollout is not followed to its end", error.message)),
        Effect.tapCause((cause) => Effect.logError("a rollout cannot be followed", cause)),
        Effect.ignore,
        Effect.ensuring(Effect.sync(() => followed.delete(actionId))),
        Effect.forkIn(scope),
        Effect.asVoid
      )
    })

  // What the process before this one had begun to follow.
  yield* log.unwatched(followedMinutes).pipe(
    Effect.flatMap((ids) => Effect.forEach(ids, (id) => follow(id), { discard: true })),
    Effect.catch((error) => Effect.logDebug("earlier rollouts are not followed", error.message)),
    Effect.forkScoped
  )

  return RolloutWatch.of({ follow })
})
