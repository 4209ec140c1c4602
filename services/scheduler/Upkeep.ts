/** What has to be done again and again beside running jobs: taking back lost ones, letting waiting ones go, measuring; must run no job. */
import { Cause, Context, Effect, Layer, Metric, Schema } from "effect"
import { Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { JobHandlers } from "./JobHandler.ts"
import { JobLogStore } from "./JobLogStore.ts"
import { JobSignals } from "./JobSignals.ts"
import { JobStore } from "./JobStore.ts"
import { Workers } from "./Workers.ts"

interface Options {
  /** Between two rounds of taking back lost jobs. */
  readonly everySeconds: number
  /** Days that log lines are kept. */
  readonly logDays: number
}

/** Due jobs, free hands and nothing claimed for so long: this replica does not do its work. */
const stuckAfter = 30

const depth = Metric.gauge("gatehouse_scheduler_queue_due", { description: "Jobs that are due and not yet taken." })
const oldest = Metric.gauge("gatehouse_scheduler_queue_oldest_seconds", { description: "Age of the oldest due job." })
const unknown = Metric.gauge("gatehouse_scheduler_queue_unknown", {
  description: "Due jobs of a kind or version that this process cannot run; they wait for one that can."
})
const skew = Metric.gauge("gatehouse_scheduler_clock_skew_seconds", {
  description: "This process's clock less the database's; jobs go by the database's."
})
const recovered = Metric.counter("gatehouse_scheduler_recovered_total", {
  description: "Runs taken from workers that had stopped answering.",
  incremental: true
})

/** The queue stands still here although it could move. */
class Stuck extends Schema.TaggedError<Stuck>()("Stuck", { seconds: Schema.Int }) {
  override get message() {
    return `jobs are due and nothing was claimed for ${this.seconds} s`
  }
}

export class Upkeep extends Context.Service<
  Upkeep,
  {
    /** Fails while due jobs wait for half a minute and this process, with free hands, takes none. */
    readonly moving: Effect.Effect<void, Stuck | Unavailable>
  }
>()("gatehouse/scheduler/Upkeep") {
  static readonly layer = (options: Options) => Layer.effect(Upkeep, makeUpkeep(options))
}

const makeUpkeep = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const handlers = yield* JobHandlers
    const logs = yield* JobLogStore
    const signals = yield* JobSignals
    const sql = yield* SqlClient.SqlClient
    const store = yield* JobStore
    const workers = yield* Workers

    const takeBack = Effect.gen(function* () {
      const ids = yield* store.recover
      if (ids.length > 0) {
        yield* Metric.update(recovered, ids.length)
        yield* Effect.logWarning("jobs were taken from workers that had stopped answering").pipe(
          Effect.annotateLogs({ jobs: ids.length })
        )
        yield* signals.tell({ due: true, jobs: ids })
      }
      if ((yield* store.release) > 0) yield* signals.tell({ due: true })
    })

    let reported = ""
    const measure = Effect.gen(function* () {
      const known = handlers.runnable()
      const queue = yield* store.depth(known)
      yield* Metric.update(depth, queue.due)
      yield* Metric.update(oldest, queue.oldestSeconds ?? 0)
      const asked = performance.timeOrigin + performance.now()
      const rows = yield* database.run(sql<{ readonly now: number }>`
        SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`)
      const answered = performance.timeOrigin + performance.now()
      yield* Metric.update(skew, ((asked + answered) / 2 - rows[0]!.now) / 1000)
      const left = yield* store.stranded(known)
      yield* Metric.update(
        unknown,
        left.reduce((sum, { jobs }) => sum + jobs, 0)
      )
      const kinds = left.map(({ kind }) => kind).join(", ")
      if (kinds !== reported && kinds !== "") {
        yield* Effect.logWarning("due jobs wait for a process that knows their kind").pipe(
          Effect.annotateLogs({ kinds })
        )
      }
      reported = kinds
    })

    const every = (seconds: number, what: string, effect: Effect.Effect<void, Unavailable>) =>
      effect.pipe(
        Effect.catchTag("Unavailable", (error) => Effect.logDebug(error.message)),
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.logError(`${what} failed`, cause)
        ),
        Effect.andThen(Effect.sleep(`${seconds} seconds`)),
        Effect.forever,
        Effect.forkScoped
      )
    yield* every(options.everySeconds, "taking back lost jobs", takeBack)
    yield* every(15, "measuring the queue", measure)
    yield* every(3600, "rotating the logs", logs.rotate(options.logDays))

    return Upkeep.of({
      moving: Effect.gen(function* () {
        const { free, idleFor } = yield* workers.state
        if (free <= 0 || idleFor < stuckAfter) return
        const { oldestSeconds } = yield* store.depth(handlers.runnable())
        if ((oldestSeconds ?? 0) >= stuckAfter) return yield* new Stuck({ seconds: Math.floor(idleFor) })
      })
    })
  })
