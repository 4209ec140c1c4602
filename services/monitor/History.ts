/** The metric history: one fiber samples, one writes, and queries are answered; a lost database costs neither metrics nor memory. */
import { Cause, Clock, Context, Duration, Effect, Layer, Metric, Queue, Schedule } from "effect"
import { type History as HistoryAnswer, type HistoryQuery, historyMetrics } from "#shared/api/monitor.ts"
import type { InvalidInput, MalformedRequest, Unavailable } from "#shared/domain/errors.ts"
import type { Reading } from "./Collectors.ts"
import { Host } from "./Host.ts"
import { type Plan, planOf } from "./historyPlan.ts"
import { historyValues } from "./historySamples.ts"
import { type HistoryRow, type HistorySample, HistoryStore } from "./HistoryStore.ts"

interface Options {
  /** Between two samples. */
  readonly interval: Duration.Duration
  /** Bytes the rows may take. */
  readonly maxBytes: number
}

/** Samples kept in memory while the database is away, an hour at the usual interval; past it the oldest are dropped. */
const maxWaiting = 360

/** Samples of one insert. */
const maxBatch = 60

/** Seconds between two roll-ups, and between two rounds of forgetting. */
const rollUpEvery = 60
const forgetEvery = 600

const lag = Metric.gauge("gatehouse_monitor_history_lag_seconds", {
  description: "Age of the newest sample in the history's database."
})
const dropped = Metric.counter("gatehouse_monitor_history_dropped_samples_total", {
  description: "Samples lost because the history's database was away for too long.",
  incremental: true
})

export class History extends Context.Service<
  History,
  {
    /** Points of one metric. 400 for a range that ends before it starts, 422 for times that are none and too many points, 503 without the database. */
    readonly query: (query: HistoryQuery) => Effect.Effect<HistoryAnswer, InvalidInput | MalformedRequest | Unavailable>
  }
>()("gatehouse/monitor/History") {
  static readonly layerNoDeps = (options: Options) => Layer.effect(History, makeHistory(options))
  static readonly layer = (options: Options) => History.layerNoDeps(options).pipe(Layer.provide(HistoryStore.layer))
}

const isoOf = (seconds: number) => new Date(seconds * 1000).toISOString()

const aggregate = (row: HistoryRow, agg: HistoryAnswer["agg"]) => {
  if (agg === "avg") return row.total / row.samples
  return agg === "min" ? row.lowest : row.highest
}

/** Every step of the plan with its value, null where there are no samples. */
const pointsOf = (plan: Plan, rows: ReadonlyArray<HistoryRow>, agg: HistoryAnswer["agg"]) => {
  const values = new Map(rows.map((row) => [row.at, aggregate(row, agg)]))
  return Array.from({ length: (plan.last - plan.first) / plan.step + 1 }, (_, index): [number, number | null] => {
    const at = plan.first + index * plan.step
    return [at, values.get(at) ?? null]
  })
}

const makeHistory = (options: Options) =>
  Effect.gen(function* () {
    const store = yield* HistoryStore
    const host = yield* Host
    const waiting = yield* Queue.sliding<HistorySample>(maxWaiting)
    const interval = Duration.toSeconds(options.interval)
    const seconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)
    let newest: number | undefined
    let previous: Reading | undefined

    const sample = Effect.gen(function* () {
      const reading = yield* host.reading()
      const values = historyValues(host.compare(previous, reading))
      previous = reading
      const at = Math.floor(Math.floor(reading.time / 1000 / interval) * interval)
      if (values.length === 0) return
      if ((yield* Queue.size(waiting)) >= maxWaiting) yield* Metric.update(dropped, 1)
      yield* Queue.offer(waiting, { at, values })
      if (newest !== undefined) yield* Metric.update(lag, Math.max(0, at - newest))
    })

    const untilNext = Effect.flatMap(seconds, (now) => Effect.sleep(Math.ceil((interval - (now % interval)) * 1000)))

    /** Tries until the database takes it; says once that it does not, and once that it does again. */
    const insisting = (write: Effect.Effect<void, Unavailable>) =>
      Effect.gen(function* () {
        let failed = false
        yield* write.pipe(
          Effect.tapError(() => {
            if (failed) return Effect.void
            failed = true
            return Effect.logWarning("the history's database is away; samples wait in memory")
          }),
          Effect.retry(Schedule.spaced("2 seconds")),
          Effect.orDie
        )
        if (failed) yield* Effect.logInfo("the history's database is back")
      })

    let rolledUp = Number.NEGATIVE_INFINITY
    let forgot = Number.NEGATIVE_INFINITY
    const maintain = Effect.gen(function* () {
      const now = yield* seconds
      if (Math.floor(now / rollUpEvery) === Math.floor(rolledUp / rollUpEvery)) return
      yield* store.rollUp(now)
      rolledUp = now
      if (now - forgot < forgetEvery) return
      yield* store.forget(now, options.maxBytes)
      forgot = now
    })

    const write = Effect.gen(function* () {
      const batch = yield* Queue.takeBetween(waiting, 1, maxBatch)
      yield* insisting(store.add(batch))
      newest = batch.at(-1)?.at ?? newest
      // What cannot be kept up now is kept up with the next sample.
      yield* maintain.pipe(Effect.catchTag("Unavailable", () => Effect.void))
    })

    const forEver = (what: string, effect: Effect.Effect<void>) =>
      effect.pipe(
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.logError(`${what} failed`, cause)
        ),
        Effect.forever,
        Effect.forkScoped
      )

    yield* forEver("sampling for the history", Effect.andThen(sample, untilNext))
    yield* forEver("writing the history", write)

    return History.of({
      query: Effect.fn("History.query")(function* (query) {
        const plan = yield* Effect.fromResult(planOf(query, yield* seconds))
        const { agg = "avg", label, metric } = query
        const { first, from, last, step, tier, to } = plan
        const rows = yield* store.read({ metric, label, tier, step, from: first, to: last + step })
        const labels = new Set(rows.map((row) => row.label))
        const described = historyMetrics[metric]
        if (described.label === null) labels.add("")
        return {
          metric,
          unit: described.unit,
          agg,
          from: isoOf(from),
          to: isoOf(to),
          step,
          series: [...labels].sort().map((one) => ({
            label: described.label === null ? null : one,
            points: pointsOf(
              plan,
              rows.filter((row) => row.label === one),
              agg
            )
          }))
        }
      })
    })
  })
