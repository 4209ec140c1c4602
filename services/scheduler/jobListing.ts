/** How the jobs are listed, searched and counted in Postgres; must change no row. */
import { Effect } from "effect"
import type { JobState } from "#shared/api/scheduler.ts"
import { MalformedRequest } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { cursorOf, placeOf, sortOf } from "./jobCursor.ts"
import { jobColumns, type JobRow, toJob } from "./jobRow.ts"
import { type JobFilter, type JobStore, queueOf } from "./JobStore.ts"

interface ListedRow extends JobRow {
  readonly at: string
}

const day = 86_400_000

/**
 * The least UUIDv7 of a time. Ids carry their maker's clock, `created_at` the database's: a day's slack lets the index of the
 * ids confine a search by time, whatever the clocks.
 */
const idAt = (millis: number) => {
  const hex = Math.min(Math.max(Math.floor(millis), 0), 2 ** 48 - 1)
    .toString(16)
    .padStart(12, "0")
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

const padded = (prefix: string, digit: string) =>
  prefix + "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".slice(prefix.length).replaceAll("x", digit)

/** A beginning of an id: its first dash can be nowhere else. */
const idStart = /^[0-9a-f]{8}-[0-9a-f-]{0,27}$/u
/** A part of an id that begins later. */
const idPart = /^[0-9a-f-]{1,36}$/u

export const jobListing = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const columns = sql.unsafe(jobColumns)

  /** The names in an indexed column: few among a million rows, each found by one step through the index. */
  const names = (column: "kind" | "schedule") => {
    const name = sql(column)
    return Effect.map(
      sql<{ readonly name: string }>`
        WITH RECURSIVE known AS (
          SELECT min(${name}) AS name FROM jobs
          UNION ALL SELECT (SELECT min(j.${name}) FROM jobs j WHERE j.${name} > k.name) FROM known k WHERE k.name IS NOT NULL
        ) SELECT name FROM known WHERE name IS NOT NULL`,
      (rows) => rows.map((row) => row.name)
    )
  }

  const ofState = (state: JobState) => {
    if (state === "scheduled") return sql`j.state = 'available' AND j.run_at > now()`
    if (state === "available") return sql`j.state = 'available' AND j.run_at <= now()`
    return sql.unsafe(`j.state = '${state}'`)
  }

  const conditionsOf = ({ schedule, since, state, target, until }: JobFilter) => [
    ...(schedule === undefined ? [] : [sql`j.schedule = ${schedule}`]),
    ...(target === undefined ? [] : [sql`j.target = ${target}`]),
    ...(since === undefined
      ? []
      : [sql`j.created_at >= ${since}::text::timestamptz AND j.id >= ${idAt(Date.parse(since) - day)}::text::uuid`]),
    ...(until === undefined
      ? []
      : [sql`j.created_at < ${until}::text::timestamptz AND j.id < ${idAt(Date.parse(until) + day)}::text::uuid`]),
    ...(state === undefined ? [] : [ofState(state)])
  ]

  /** The kinds that a filter leaves; undefined: all. */
  const kindsOf = Effect.fnUntraced(function* ({ kind, queue }: JobFilter) {
    if (kind !== undefined) return queue === undefined || queueOf(kind) === queue ? [kind] : []
    if (queue === undefined) return undefined
    return (yield* names("kind")).filter((one) => queueOf(one) === queue)
  })

  const list: JobStore["Service"]["list"] = Effect.fn("JobStore.list")(function* (asked) {
    const { cursor, limit } = asked
    const sort = sortOf(asked)
    const place = cursor === undefined ? undefined : placeOf(asked, cursor)
    if (cursor !== undefined && place === undefined) {
      return yield* new MalformedRequest({
        detail: "the cursor is not one of ours, or not one of this filter and sort"
      })
    }
    const order = { newest: sql`j.id DESC`, oldest: sql`j.id`, finished: sql`j.finished_at DESC, j.id DESC` }[sort]
    const beyond = () => {
      if (place === undefined) return []
      const { at, id } = place
      if (sort === "newest") return [sql`j.id < ${id}::text::uuid`]
      if (sort === "oldest") return [sql`j.id > ${id}::text::uuid`]
      return [sql`(j.finished_at, j.id) < (${at}::text::timestamptz, ${id}::text::uuid)`]
    }
    const wanted = [
      ...conditionsOf(asked),
      ...beyond(),
      ...(sort === "finished" ? [sql`j.finished_at IS NOT NULL`] : []),
      // What was made later has ended later.
      ...(sort === "finished" && asked.since !== undefined
        ? [sql`j.finished_at >= ${asked.since}::text::timestamptz`]
        : [])
    ]
    const first = sql`ORDER BY ${order} LIMIT ${limit + 1}::int`
    const some = sql`SELECT j.id FROM jobs j WHERE ${sql.and(wanted)}`
    const ofKinds = (kinds: ReadonlyArray<string>) =>
      kinds.length === 1
        ? sql`
      (SELECT j.id FROM jobs j WHERE ${sql.and([sql`j.kind = ${kinds[0]!}`, ...wanted])} ${first})`
        : sql`
      SELECT found.id FROM unnest(${[...kinds]}::text[]) AS one(kind)
        CROSS JOIN LATERAL (SELECT j.id FROM jobs j WHERE ${sql.and([sql`j.kind = one.kind`, ...wanted])} ${first}) AS found`

    const rows = yield* database.run(
      Effect.gen(function* () {
        const kinds = yield* kindsOf(asked)
        const ids = asked.q === undefined ? yield* ofAll(kinds) : yield* searched(asked.q.toLowerCase(), kinds)
        return yield* sql<ListedRow>`
          SELECT ${columns}, coalesce(to_char(j.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '') AS at
          FROM jobs j WHERE j.id IN (${ids}) ${first}`
      })
    )
    const items = rows.slice(0, limit)
    const last = items.at(-1)
    const more = rows.length > limit && last !== undefined
    const at = sort === "finished" ? (last?.at ?? "") : ""
    return { items: items.map(toJob), nextCursor: more ? cursorOf(asked, { id: last.id, at }) : null }

    function ofAll(kinds: ReadonlyArray<string> | undefined) {
      // The end of jobs is indexed by kind: the lists of the few kinds are merged.
      if (kinds === undefined && sort === "finished") return Effect.map(names("kind"), ofKinds)
      return Effect.succeed(kinds === undefined ? sql`(${some} ${first})` : ofKinds(kinds))
    }

    /** Each place that a text can stand in is asked in the list's order for a page: common texts end soon, rare ones read little. */
    function searched(q: string, kinds: ReadonlyArray<string> | undefined) {
      return Effect.gen(function* () {
        const within = [...wanted, ...(kinds === undefined ? [] : [sql`j.kind = ANY(${[...kinds]}::text[])`])]
        // Text that is common ends a page soon in the order of ids; OFFSET 0 keeps the search before all else.
        const inOrder =
          sort === "finished"
            ? sql`OFFSET 0`
            : sql`ORDER BY 1 ${sql.unsafe(sort === "oldest" ? "ASC" : "DESC")} OFFSET 0`
        const told = [
          sql`SELECT s.id FROM jobs s WHERE s.said <> '' AND strpos(s.said, lower(${q})) > 0 ${inOrder}`,
          sql`SELECT DISTINCT a.job_id FROM job_attempts a WHERE a.said <> '' AND strpos(a.said, lower(${q})) > 0 ${inOrder}`
        ]
        const named = (kinds ?? (yield* names("kind"))).filter((one) => one.includes(q))
        const schedules = (yield* names("schedule")).filter((one) => one.includes(q))
        const branches = [
          ofKinds(named),
          sql`
            SELECT found.id FROM unnest(${schedules}::text[]) AS one(schedule)
              CROSS JOIN LATERAL (
                SELECT j.id FROM jobs j WHERE ${sql.and([sql`j.schedule = one.schedule`, ...within])} ${first}
              ) AS found`,
          // One look by id for each that is found: nothing is known beforehand of how many those are.
          ...told.map(
            (ids) => sql`(SELECT j.id FROM (${ids}) AS told(id) CROSS JOIN LATERAL (
              SELECT j.id, j.finished_at FROM jobs j WHERE ${sql.and([sql`j.id = told.id`, ...within])} OFFSET 0
            ) AS j ${sort === "finished" ? first : sql`ORDER BY ${sort === "oldest" ? sql`told.id` : sql`told.id DESC`} LIMIT ${limit + 1}::int`})`
          ),
          ...(idStart.test(q)
            ? [
                sql`(SELECT j.id FROM jobs j WHERE ${sql.and([
                  sql`j.id BETWEEN ${padded(q, "0")}::text::uuid AND ${padded(q, "f")}::text::uuid`,
                  sql`strpos(j.id::text, ${q}) > 0`,
                  ...within
                ])} ${first})`
              ]
            : idPart.test(q)
              ? [
                  sql`(SELECT j.id FROM jobs j WHERE ${sql.and([sql`strpos(j.id::text, ${q}) > 0`, ...within])} ${first})`
                ]
              : [])
        ]
        return sql.join(" UNION ", false)(branches)
      })
    }
  })

  const open = sql`j.state IN ('available', 'retryable', 'running')`
  const openOf = Effect.fnUntraced(function* (filter: JobFilter) {
    const kinds = yield* kindsOf(filter)
    return sql.and([
      open,
      ...conditionsOf(filter),
      ...(kinds === undefined ? [] : [sql`j.kind = ANY(${[...kinds]}::text[])`])
    ])
  })

  const countOpen: JobStore["Service"]["countOpen"] = Effect.fn("JobStore.countOpen")(function* (filter) {
    return yield* database.run(
      Effect.gen(function* () {
        const rows = yield* sql<{
          readonly n: number
        }>`SELECT count(*)::int AS n FROM jobs j WHERE ${yield* openOf(filter)}`
        return rows[0]?.n ?? 0
      })
    )
  })

  const openIds: JobStore["Service"]["openIds"] = Effect.fn("JobStore.openIds")(function* (filter, limit) {
    return yield* database.run(
      Effect.gen(function* () {
        const rows = yield* sql<{ readonly id: string }>`
          SELECT j.id FROM jobs j WHERE ${yield* openOf(filter)} ORDER BY j.id DESC LIMIT ${limit}::int`
        return rows.map(({ id }) => id)
      })
    )
  })

  return { list, countOpen, openIds, ofState }
})
