/** The watchman, composed: watch, judge, incidents and the durable job that follows each one; must hold no rule. */
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { again, done, JobHandlers } from "#scheduler/JobHandler.ts"
import { Jobs } from "#scheduler/Jobs.ts"
import { SchedulerEvents } from "#scheduler/SchedulerEvents.ts"
import { WatchState } from "#scheduler/WatchState.ts"
import { EvidenceCollector } from "./EvidenceCollector.ts"
import { IncidentStore } from "./IncidentStore.ts"
import { Remedies } from "./Remedies.ts"
import type { Thresholds } from "./thresholds.ts"
import { Watch } from "./Watch.ts"
import { Watchman } from "./Watchman.ts"
import { incidentOf } from "./wire.ts"

/** The kind of job by which an incident is followed to its end. */
export const followKind = "incident.follow"

/** A job that waits for a person must not run out of attempts because its worker was killed now and then. */
const attempts = 100
/** Steps that follow at once on one another within a run. */
const atOnce = 8

const Payload = Schema.Struct({ incidentId: Schema.String })

/** Registers the job that carries an incident on; every run takes the steps that are due and then waits. */
const following = Effect.gen(function* () {
  const handlers = yield* JobHandlers
  const remedies = yield* Remedies
  const store = yield* IncidentStore
  const events = yield* SchedulerEvents

  const tell = (incidentId: string) =>
    Effect.flatMap(store.get(incidentId), (row) =>
      row === undefined ? Effect.void : events.publish({ event: "incident", data: incidentOf(row) })
    )

  yield* handlers.register({
    kind: followKind,
    version: 1,
    description: "Follows an incident: decides, proposes to admin, waits for the decision and the action, verifies",
    payload: Payload,
    target: ({ incidentId }) => `incident:${incidentId}`,
    run: ({ incidentId }, context) =>
      Effect.gen(function* () {
        const before = yield* store.get(incidentId)
        let next = yield* remedies.step(incidentId)
        for (let n = 1; n < atOnce && next._tag === "Again" && next.afterMs === 0; n++) {
          next = yield* remedies.step(incidentId)
        }
        const after = yield* store.get(incidentId)
        if (after?.remedy !== before?.remedy || after?.advice !== before?.advice) {
          yield* context.log("info", `${before?.remedy ?? "gone"} → ${after?.remedy ?? "gone"} ${after?.advice ?? ""}`)
          yield* tell(incidentId)
        }
        if (next._tag === "Over") return done()
        return again(new Date((yield* Clock.currentTimeMillis) + next.afterMs), next.note)
      }).pipe(
        // The database is where this job itself is kept: it can only be waited for.
        Effect.catch((error) =>
          Effect.map(Clock.currentTimeMillis, (now) => again(new Date(now + 5000), error.message))
        )
      )
  })
})

const follower = Effect.gen(function* () {
  const jobs = yield* Jobs
  const events = yield* SchedulerEvents
  return {
    changed: (incident: Parameters<typeof incidentOf>[0]) =>
      events.publish({ event: "incident", data: incidentOf(incident) }),
    pursue: (incidentId: string) =>
      jobs
        .enqueue({
          kind: followKind,
          payload: { incidentId },
          uniqueKey: `${followKind}/${incidentId}`,
          maxAttempts: attempts,
          by: "watchman"
        })
        .pipe(
          Effect.asVoid,
          Effect.catchTag(["InvalidInput", "IdempotencyConflict"], (error) => Effect.die(error))
        )
  }
})

/** Everything of the watchman but where the cluster and admin are. */
export const healthLayer = (options: { readonly namespace: string; readonly thresholds: Thresholds }) =>
  Layer.effect(
    WatchState,
    Effect.map(Watchman, ({ state }) => ({ current: state }))
  ).pipe(
    Layer.provideMerge(
      Layer.unwrap(
        Effect.map(Effect.context<Jobs | SchedulerEvents>(), (context) =>
          Watchman.layer(options.thresholds, Effect.provide(follower, Context.pick(Jobs, SchedulerEvents)(context)))
        )
      )
    ),
    Layer.provide(Layer.effectDiscard(following)),
    Layer.provideMerge(Remedies.layer(options.thresholds)),
    Layer.provide(EvidenceCollector.layer),
    Layer.provideMerge(Layer.merge(Watch.layer({ namespace: options.namespace }), IncidentStore.layer))
  )
