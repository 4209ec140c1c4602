/** The history's tables: inserting, rolling up, forgetting and reading rows; must know neither collectors nor HTTP. */
import { Context, Effect, Layer } from "effect"
import type { Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { type Tier, tiers } from "./historyPlan.ts"
import type { HistoryValue } from "./historySamples.ts"

/** The values of one moment, seconds since the epoch. */
export interface HistorySample {
  readonly at: number
  readonly values: ReadonlyArray<HistoryValue>
}

/** One step of one series: sum and count, so that averages of averages stay exact. */
export interface HistoryRow {
  readonly label: string
  readonly at: number
  readonly total: number
  readonly lowest: number
  readonly highest: number
  readonly samples: number
}

/** A part of the time axis, seconds since the epoch, `to` excluded. */
interface Span {
  readonly from: number
  readonly to: number
}

/** Steps of a tier that a roll-up does again, for samples that came late. Retention never touches what they are made of. */
const redone = 2

/** Steps of a tier that one transaction rolls up. */
const rollUpChunk = 360

/** Rows one statement deletes. */
const deleteChunk = 10_000

/** Bytes of a row with its part of the primary key and of the pages' overhead, rounded up from a measurement on Postgres 18. */
export const bytesPerRow = 128

/** Seconds of the finest tier that stay whatever the size. */
const leastFine = 3600

const down = (value: number, step: number) => Math.floor(value / step) * step

export class HistoryStore extends Context.Service<
  HistoryStore,
  {
    /** Adds samples; one that is there already stays as it is. */
    readonly add: (samples: ReadonlyArray<HistorySample>) => Effect.Effect<void, Unavailable>
    /** Fills each tier from the finer one with every step that is over at `now`. May be repeated and interrupted at will. */
    readonly rollUp: (now: number) => Effect.Effect<void, Unavailable>
    /** Deletes rows past their tier's time, then the oldest fine ones while all rows take more than `maxBytes`. */
    readonly forget: (now: number, maxBytes: number) => Effect.Effect<void, Unavailable>
    /** Rows of one tier, what it does not have yet taken from the finer ones, joined to steps of `step` seconds. */
    readonly read: (
      options: Span & {
        readonly metric: string
        readonly label?: string | undefined
        readonly tier: number
        readonly step: number
      }
    ) => Effect.Effect<ReadonlyArray<HistoryRow>, Unavailable>
  }
>()("gatehouse/monitor/HistoryStore") {
  static readonly layer = Layer.effect(
    HistoryStore,
    Effect.suspend(() => makeStore)
  )
}

const makeStore = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const known = new Map<string, number>()
  const keyOf = (metric: string, label: string) => `${metric}\0${label}`

  const learn = Effect.fnUntraced(function* (values: ReadonlyArray<HistoryValue>) {
    const fresh = new Map(
      values
        .filter(({ label, metric }) => !known.has(keyOf(metric, label)))
        .map((one) => [keyOf(one.metric, one.label), one])
    )
    if (fresh.size === 0) return
    const rows = [...fresh.values()].map(({ label, metric }) => ({ metric, label }))
    yield* sql`
      INSERT INTO history_series (metric, label)
      SELECT metric, label FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) AS t(metric text, label text)
      ON CONFLICT DO NOTHING`
    const found = yield* sql<{ readonly id: number; readonly metric: string; readonly label: string }>`
      SELECT id, metric, label FROM history_series`
    for (const { id, label, metric } of found) known.set(keyOf(metric, label), id)
  })

  const add = Effect.fn("HistoryStore.add")(function* (samples: ReadonlyArray<HistorySample>) {
    yield* database.run(
      Effect.gen(function* () {
        yield* learn(samples.flatMap(({ values }) => values))
        const rows = samples.flatMap(({ at, values }) =>
          values.map(({ label, metric, value }) => ({ series: known.get(keyOf(metric, label)), at, value }))
        )
        if (rows.length === 0) return
        // One parameter, so that the statement is the same however many rows there are.
        yield* sql`
          INSERT INTO ${sql(tiers[0].table)} (series, at, total, lowest, highest, samples)
          SELECT series, at, value, value, value, 1
          FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) AS t(series int, at bigint, value float8)
          ON CONFLICT DO NOTHING`
      })
    )
  })

  /** Up to when each tier is filled; the finest always is. */
  const progress = Effect.gen(function* () {
    const rows = yield* sql<{ readonly tier: string; readonly done: number }>`
      SELECT tier, done::float8 AS done FROM history_progress`
    const found = new Map(rows.map(({ done, tier }) => [tier, done]))
    return tiers.map(({ table }, index) => (index === 0 ? Number.POSITIVE_INFINITY : (found.get(table) ?? 0)))
  })

  const rollUpChunkOf = (source: Tier, target: Tier, { from, to }: Span) =>
    database.transaction(
      Effect.gen(function* () {
        yield* sql`
          INSERT INTO ${sql(target.table)} (series, at, total, lowest, highest, samples)
          SELECT series, at - at % ${target.step}::bigint, sum(total), min(lowest), max(highest), sum(samples)::int
          FROM ${sql(source.table)} WHERE at >= ${from}::bigint AND at < ${to}::bigint GROUP BY 1, 2
          ON CONFLICT (series, at) DO UPDATE SET total = excluded.total, lowest = excluded.lowest,
            highest = excluded.highest, samples = excluded.samples`
        yield* sql`
          INSERT INTO history_progress (tier, done) VALUES (${target.table}, ${to}::bigint)
          ON CONFLICT (tier) DO UPDATE SET done = excluded.done`
      })
    )

  const rollUp = Effect.fn("HistoryStore.rollUp")(function* (now: number) {
    const done = yield* database.run(progress)
    for (let index = 1; index < tiers.length; index++) {
      const [source, target] = [tiers[index - 1]!, tiers[index]!]
      const end = down(Math.min(now, done[index - 1]!), target.step)
      const oldest = down(now - source.keep, 3600)
      let from = Math.max(oldest, done[index]! - redone * target.step)
      while (from < end) {
        const to = Math.min(end, from + rollUpChunk * target.step)
        yield* rollUpChunkOf(source, target, { from, to })
        from = to
      }
      done[index] = Math.max(done[index]!, end)
    }
  })

  const deleteBefore = Effect.fnUntraced(function* (tier: Tier, before: number) {
    for (;;) {
      const gone = yield* database.run(sql<{ readonly count: number }>`
        WITH gone AS (
          DELETE FROM ${sql(tier.table)} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM ${sql(tier.table)} WHERE at < ${before}::bigint LIMIT ${deleteChunk}::int
          )) RETURNING 1
        ) SELECT count(*)::int AS count FROM gone`)
      if ((gone[0]?.count ?? 0) < deleteChunk) return
    }
  })

  /** The time before which rows of a tier are never needed for a roll-up again. */
  const spent = (index: number, done: ReadonlyArray<number>) => {
    const next = tiers[index + 1]
    return next === undefined ? Number.POSITIVE_INFINITY : done[index + 1]! - redone * next.step
  }

  const shrink = Effect.fnUntraced(function* (now: number, maxBytes: number, done: ReadonlyArray<number>) {
    const size = yield* database.run(sql<{ readonly bytes: number }>`
      SELECT sum(pg_total_relation_size(name::regclass))::float8 AS bytes
      FROM jsonb_array_elements_text(${JSON.stringify(tiers.map(({ table }) => table))}::text::jsonb) AS t(name)`)
    // Deleted rows free no pages, so being above says nothing yet; being below is enough.
    if ((size[0]?.bytes ?? 0) <= maxBytes) return
    const counts = yield* Effect.forEach(tiers, (tier) =>
      Effect.map(
        database.run(sql<{ readonly count: number; readonly oldest: number }>`
          SELECT count(*)::float8 AS count, coalesce(min(at), 0)::float8 AS oldest FROM ${sql(tier.table)}`),
        (rows) => rows[0]!
      )
    )
    let excess = counts.reduce((all, { count }) => all + count, 0) - maxBytes / bytesPerRow
    for (const [index, { count, oldest }] of counts.entries()) {
      if (excess <= 0) return
      const share = Math.min(1, excess / count)
      const wanted = oldest + (now - oldest) * share
      const least = index === 0 ? now - leastFine : now
      const before = Math.ceil(Math.min(wanted, least, spent(index, done)))
      if (before <= oldest) continue
      yield* deleteBefore(tiers[index]!, before)
      excess -= count * ((before - oldest) / (now - oldest))
    }
  })

  const forget = Effect.fn("HistoryStore.forget")(function* (now: number, maxBytes: number) {
    const done = yield* database.run(progress)
    for (const [index, tier] of tiers.entries()) {
      yield* deleteBefore(tier, Math.min(down(now - tier.keep, 3600), spent(index, done)))
    }
    yield* shrink(now, maxBytes, done)
  })

  const read: HistoryStore["Service"]["read"] = Effect.fn("HistoryStore.read")(function* (options) {
    const { label = null, metric, step } = options
    return yield* database.run(
      Effect.gen(function* () {
        const done = yield* progress
        const steps = new Map<string, HistoryRow>()
        let { from } = options
        for (let index = options.tier; index >= 0 && from < options.to; index--) {
          const to = Math.min(options.to, done[index]!)
          if (to <= from) continue
          const rows = yield* sql<HistoryRow>`
            SELECT s.label, (t.at - t.at % ${step}::bigint)::float8 AS at, sum(t.total) AS total,
              min(t.lowest) AS lowest, max(t.highest) AS highest, sum(t.samples)::float8 AS samples
            FROM ${sql(tiers[index]!.table)} t JOIN history_series s ON s.id = t.series
            WHERE s.metric = ${metric} AND (${label}::text IS NULL OR s.label = ${label}::text)
              AND t.at >= ${from}::bigint AND t.at < ${to}::bigint
            GROUP BY 1, 2`
          for (const row of rows) {
            const key = `${row.at} ${row.label}`
            const before = steps.get(key)
            steps.set(key, before === undefined ? row : join(before, row))
          }
          from = to
        }
        return [...steps.values()]
      })
    )
  })

  return HistoryStore.of({ add, rollUp, forget, read })
})

const join = (one: HistoryRow, other: HistoryRow): HistoryRow => ({
  label: one.label,
  at: one.at,
  total: one.total + other.total,
  lowest: Math.min(one.lowest, other.lowest),
  highest: Math.max(one.highest, other.highest),
  samples: one.samples + other.samples
})
