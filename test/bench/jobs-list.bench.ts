/** How long one page of a list of a million jobs takes, by filter, sort and search, through the store the routes use (scheduler spec 27). */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Logger, ManagedRuntime, Redacted } from "effect"
import { Database, SqlClient } from "#shared/sql.ts"
import { startPostgres } from "#dev/postgres.ts"
import { type JobsAsked, JobStore } from "#scheduler/JobStore.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import { postgresJobStore } from "#scheduler/PostgresJobStore.ts"

const jobs = Number(process.env["BENCH_JOBS"] ?? 1_000_000)
const rounds = 20
const aimMs = 200

/**
 * A month of jobs, one each 2.6 s: 94 % have succeeded and say nothing, 4 % have failed, 1 % were cancelled, the rest waits
 * or runs. Every twelfth kind is rare; every tenth job is of one of 40 schedules.
 */
const fill = `
  INSERT INTO jobs (id, kind, version, payload, state, priority, run_at, attempt, max_attempts, created_by, created_at,
    started_at, finished_at, reason, schedule, target, lease_until, lease_owner, attempt_at)
  SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' ||
      substr(md5(n::text), 4, 15))::uuid,
    kind, 1, jsonb_build_object('n', n), state, 0,
    CASE WHEN state = 'available' THEN now() + interval '1 day' ELSE at END, 1, 5, 'bench', at,
    CASE WHEN state <> 'available' THEN at END,
    CASE WHEN state NOT IN ('available', 'running') THEN at + (n % 100) * interval '1 second' END,
    CASE state WHEN 'failed' THEN 'answered ' || 500 + n % 7 || ' by peer ' || n % 1000
      WHEN 'cancelled' THEN 'not needed, ticket ' || n ELSE '' END,
    CASE WHEN n % 10 = 0 THEN 'schedule-' || n / 10 % 40 END,
    CASE WHEN kind = 'incident.follow' THEN 'incident:' || n / 1000 WHEN kind = 'http.call' THEN '/orders/' || n % 5000
      WHEN kind = 'health.check' THEN 'service/shop-' || n % 200 END,
    CASE WHEN state = 'running' THEN now() END, CASE WHEN state = 'running' THEN 'bench' END,
    CASE WHEN state = 'running' THEN now() END
  FROM (
    SELECT n, now() - interval '30 days' + n * (interval '30 days' / $jobs) AS at,
      CASE WHEN n % 20011 = 0 THEN 'backup.database' WHEN n % 3001 = 0 THEN 'incident.follow' WHEN n % 3 = 0 THEN 'http.call'
        WHEN n % 50 = 1 THEN 'kubernetes.job' ELSE 'health.check' END AS kind,
      CASE WHEN n % 100 < 4 THEN 'failed' WHEN n % 100 = 4 THEN 'cancelled' WHEN n % 1009 = 5 THEN 'available'
        WHEN n % 10007 = 5 THEN 'running' ELSE 'succeeded' END AS state
    FROM generate_series(1, $jobs) AS n
  ) AS made`

const attempts = `
  INSERT INTO job_attempts (job_id, fence, attempt, state, worker, started_at, finished_at, error)
  SELECT id, 1, 1, CASE WHEN state = 'failed' THEN 'failed' ELSE 'succeeded' END, 'bench', started_at, finished_at,
    CASE WHEN state = 'failed' THEN reason ELSE '' END
  FROM jobs WHERE finished_at IS NOT NULL`

const ago = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString()

const asks: Readonly<Record<string, Omit<JobsAsked, "limit">>> = {
  "no filter": {},
  oldest: { sort: "oldest" },
  finished: { sort: "finished" },
  "state failed": { state: "failed" },
  "state scheduled": { state: "scheduled" },
  "state running": { state: "running" },
  "common kind": { kind: "http.call" },
  "rare kind, finished": { kind: "backup.database", sort: "finished" },
  "rare kind, failed": { kind: "backup.database", state: "failed" },
  "common kind, failed, finished": { kind: "http.call", state: "failed", sort: "finished" },
  queue: { queue: "health", sort: "oldest" },
  "unknown queue": { queue: "nothing" },
  target: { target: "service/shop-17" },
  schedule: { schedule: "schedule-7", state: "cancelled" },
  "a day two weeks ago": { since: ago(14), until: ago(13) },
  "a day two weeks ago, finished": { since: ago(14), until: ago(13), sort: "finished" },
  "q of a kind": { q: "HEALTH" },
  "q of a kind, failed": { q: "http", state: "failed" },
  "q of a schedule": { q: "schedule-39" },
  "q of a reason": { q: "ticket 123404" },
  "q of an error": { q: "peer 703" },
  "q of an error, finished": { q: "peer 703", sort: "finished" },
  "q of most errors": { q: "answered" },
  "q of most errors, finished": { q: "answered", sort: "finished" },
  "q of nothing": { q: "no such text" },
  "q of nothing, oldest": { q: "no such text", sort: "oldest" },
  "q of nothing, finished": { q: "no such text", sort: "finished" },
  "q of a part of ids": { q: "abcd" },
  "q like an id, of nothing": { q: "00000000-0000" },
  "q like a part of an id, of nothing": { q: "0123456789ab" }
}

const quantile = (values: ReadonlyArray<number>, q: number) =>
  values.toSorted((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * q))]!
const rounded = (value: number) => Math.round(value * 10) / 10

const main = Effect.gen(function* () {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  const postgres = yield* startPostgres({ dataDir: folder })
  const layer = postgresJobStore.pipe(
    Layer.provideMerge(
      Database.layer({
        name: "bench",
        url: Redacted.make(postgres.url("logging", "scheduler")),
        applicationName: "gatehouse-bench",
        migrations,
        maxConnections: 4
      })
    ),
    Layer.provideMerge(Logger.layer([]))
  )
  const runtime = ManagedRuntime.make(layer)
  const results = yield* Effect.promise(async () => {
    await runtime.runPromise(
      Effect.retry(
        Database.use((one) => one.ready),
        { times: 50 }
      )
    )
    const fillAll = Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe(fill.replaceAll("$jobs", String(jobs)))
      yield* sql.unsafe(attempts)
      yield* sql.unsafe("VACUUM ANALYZE jobs")
      yield* sql.unsafe("VACUUM ANALYZE job_attempts")
    })
    await runtime.runPromise(fillAll)
    console.log(`${jobs} jobs are there`)
    const figures = new Map<string, { items: number; p50Ms: number; p95Ms: number }>()
    for (const [name, ask] of Object.entries(asks)) {
      const times: Array<number> = []
      let cursor: string | undefined
      let items = 0
      for (let round = 0; round < rounds; round++) {
        const before = performance.now()
        const page = await runtime.runPromise(JobStore.use((store) => store.list({ ...ask, limit: 50, cursor })))
        times.push(performance.now() - before)
        items = Math.max(items, page.items.length)
        // Every other round the next page, from where the last one ended.
        cursor = round % 2 === 0 ? (page.nextCursor ?? undefined) : undefined
      }
      console.log(name, rounded(quantile(times, 0.95)))
      figures.set(name, { items, p50Ms: rounded(quantile(times, 0.5)), p95Ms: rounded(quantile(times, 0.95)) })
    }
    await runtime.dispose()
    return Object.fromEntries(figures)
  })
  console.table(results)
  const worstP95Ms = Math.max(...Object.values(results).map(({ p95Ms }) => p95Ms))
  console.log(JSON.stringify({ benchmark: "jobs-list", jobs, rounds, results, worstP95Ms, met: worstP95Ms <= aimMs }))
})

await Effect.runPromise(Effect.scoped(main))
process.exit(0)
