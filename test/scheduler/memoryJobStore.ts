/** The job store in memory, held to the same contract suite as the real one; for tests that need a queue and no database. */
import { Effect, Layer } from "effect"
import type { Attempt, Job, JobSort } from "#shared/api/scheduler.ts"
import { MalformedRequest } from "#shared/domain/errors.ts"
import { cursorOf, placeOf, sortOf } from "#scheduler/jobCursor.ts"
import {
  type End,
  IdempotencyConflict,
  isTerminal,
  type JobFilter,
  JobStore,
  type NewJob,
  queueOf,
  type Runnable
} from "#scheduler/JobStore.ts"

interface Row {
  readonly made: NewJob
  readonly createdAt: number
  state: Job["state"]
  runAt: number
  attempt: number
  fence: number
  leaseUntil: number
  worker: string
  attemptAt: number
  after: string | undefined
  startedAt: number | null
  finishedAt: number | null
  result: Readonly<Record<string, unknown>> | null
  reason: string
  cancel: string | null
  readonly attempts: Array<Attempt>
}

const iso = (millis: number) => new Date(millis).toISOString()
const waiting = new Set<Job["state"]>(["available", "retryable"])
const backoff = (attempt: number) => Math.min(900, 2 ** Math.min(attempt, 10)) * 1000

/** A store whose clock the test moves. */
export const makeMemoryJobStore = () => {
  let shift = 0
  const now = () => Date.now() + shift
  const rows = new Map<string, Row>()
  const find = (id: string) => rows.get(id)
  const all = () => [...rows.values()].toSorted((one, other) => (one.made.id < other.made.id ? -1 : 1))

  const jobOf = (row: Row): Job => ({
    id: row.made.id,
    kind: row.made.kind,
    state: row.state === "available" && row.runAt > now() ? "scheduled" : row.state,
    priority: row.made.priority,
    attempt: row.attempt,
    maxAttempts: row.made.maxAttempts,
    runAt: iso(row.runAt),
    createdAt: iso(row.createdAt),
    startedAt: row.startedAt === null ? null : iso(row.startedAt),
    finishedAt: row.finishedAt === null ? null : iso(row.finishedAt),
    schedule: row.made.schedule ?? null,
    retryOf: row.made.retryOf ?? null,
    target: row.made.target ?? null,
    reason: row.reason
  })

  const canRun = (runnable: ReadonlyArray<Runnable>, { made }: Row) =>
    runnable.some(
      ({ kind, version }) => kind === made.kind && (made.version === version || made.version === version - 1)
    )
  const isDue = (row: Row) => waiting.has(row.state) && row.after === undefined && row.runAt <= now()

  const close = (row: Row, state: Attempt["state"], error: string) => {
    row.attempts.push({
      attempt: row.attempt,
      state,
      worker: row.worker,
      startedAt: iso(row.attemptAt),
      finishedAt: iso(now()),
      error
    })
  }
  const conclude = (row: Row, state: Job["state"], reason: string) => {
    row.state = state
    row.reason = reason
    row.finishedAt = isTerminal(state) ? now() : null
  }

  const end = (row: Row, how: End) => {
    row.result = how._tag === "Succeeded" ? how.result : null
    if (how._tag === "Succeeded") {
      close(row, "succeeded", "")
      return conclude(row, "succeeded", "")
    }
    const error = how._tag === "Failed" ? how.error : ""
    if (how._tag === "Cancelled" || row.cancel !== null) {
      close(row, "cancelled", error)
      return conclude(row, "cancelled", row.cancel ?? "cancelled")
    }
    if (how._tag === "Again" || how._tag === "Released") {
      if (how._tag === "Released") close(row, "released", "")
      else row.runAt = Date.parse(how.runAt)
      row.attempt -= 1
      return conclude(row, "available", how._tag === "Again" ? how.note : "")
    }
    close(row, "failed", error)
    if (how.retryable && row.attempt < row.made.maxAttempts) {
      row.runAt = now() + (how.retryAfterSeconds === undefined ? backoff(row.attempt) : how.retryAfterSeconds * 1000)
      return conclude(row, "retryable", error)
    }
    return conclude(row, "failed", how.retryable ? "max_attempts" : error)
  }

  const release = () => {
    const free = all().filter((row) => {
      const before = row.after === undefined ? undefined : find(row.after)
      return row.after !== undefined && (before === undefined || isTerminal(before.state))
    })
    for (const row of free) row.after = undefined
    return free.length
  }

  const enqueue = (job: NewJob) => {
    const key = job.idempotency?.key
    const repeated = key === undefined ? undefined : all().find(({ made }) => made.idempotency?.key === key)
    if (repeated !== undefined && repeated.made.idempotency?.requestHash !== job.idempotency?.requestHash) {
      return Effect.fail(new IdempotencyConflict())
    }
    const same =
      repeated ??
      all().find((row) => !isTerminal(row.state) && job.uniqueKey !== undefined && row.made.uniqueKey === job.uniqueKey)
    if (same !== undefined) return Effect.succeed({ job: jobOf(same), created: false })
    const row: Row = {
      made: job,
      createdAt: now(),
      state: "available",
      runAt: job.runAt === undefined ? now() : Date.parse(job.runAt),
      attempt: 0,
      fence: 0,
      leaseUntil: 0,
      worker: "",
      attemptAt: 0,
      after: job.after,
      startedAt: null,
      finishedAt: null,
      result: null,
      reason: "",
      cancel: null,
      attempts: []
    }
    rows.set(job.id, row)
    return Effect.succeed({ job: jobOf(row), created: true })
  }

  const fits = (job: Job, { kind, queue, schedule, since, state, target, until }: JobFilter) =>
    (state === undefined || job.state === state) &&
    (kind === undefined || job.kind === kind) &&
    (queue === undefined || queueOf(job.kind) === queue) &&
    (target === undefined || job.target === target) &&
    (schedule === undefined || job.schedule === schedule) &&
    (since === undefined || Date.parse(job.createdAt) >= Date.parse(since)) &&
    (until === undefined || Date.parse(job.createdAt) < Date.parse(until))
  const says = (job: Job, q: string) =>
    [job.id, job.kind, job.schedule ?? "", job.reason, ...find(job.id)!.attempts.map(({ error }) => error)].some(
      (text) => text.toLowerCase().includes(q.toLowerCase())
    )
  const open = (filter: JobFilter) =>
    all()
      .map(jobOf)
      .toReversed()
      .filter((job) => !isTerminal(job.state) && fits(job, filter))
  /** In the order of the list: whatever is asked, the last is the least. */
  const rank = (job: Job, sort: JobSort) => (sort === "finished" ? `${job.finishedAt} ${job.id}` : job.id)

  const cancel = (id: string, reason: string) => {
    const row = find(id)
    if (row === undefined) return "unknown"
    if (isTerminal(row.state)) return "ended"
    row.cancel = reason
    if (row.state === "running") return "asked"
    conclude(row, "cancelled", reason)
    return "cancelled"
  }

  const store = JobStore.of({
    enqueue: (job) => Effect.suspend(() => enqueue(job)),
    claim: ({ leaseSeconds, limit, runnable, worker }) =>
      Effect.sync(() => {
        const due = all()
          .filter((row) => isDue(row) && canRun(runnable, row))
          .toSorted((one, other) => other.made.priority - one.made.priority || one.runAt - other.runAt)
          .slice(0, limit)
        for (const row of due) {
          Object.assign(row, {
            state: "running",
            attempt: row.attempt + 1,
            fence: row.fence + 1,
            worker,
            attemptAt: now(),
            startedAt: row.startedAt ?? now(),
            leaseUntil: now() + leaseSeconds * 1000,
            cancel: null
          })
        }
        const future = all().filter((row) => waiting.has(row.state) && row.after === undefined && row.runAt > now())
        return {
          claimed: due.map((row) => ({
            id: row.made.id,
            kind: row.made.kind,
            payload: row.made.payload,
            attempt: row.attempt,
            maxAttempts: row.made.maxAttempts,
            fence: row.fence,
            dueFor: (now() - row.runAt) / 1000
          })),
          nextSeconds: future.length === 0 ? null : (Math.min(...future.map(({ runAt }) => runAt)) - now()) / 1000
        }
      }),
    heartbeat: (held, leaseSeconds) =>
      Effect.sync(() => {
        const own = held.map(({ fence, id }) => [find(id), fence] as const)
        const found = own.flatMap(([row, fence]) => (row?.state === "running" && row.fence === fence ? [row] : []))
        for (const row of found) row.leaseUntil = now() + leaseSeconds * 1000
        return new Map(found.map((row) => [row.made.id, { cancel: row.cancel }]))
      }),
    finish: (ended) =>
      Effect.sync(() => {
        const kept = new Set<string>()
        for (const { end: how, fence, id } of ended) {
          const row = find(id)
          if (row === undefined || row.state !== "running" || row.fence !== fence) continue
          end(row, how)
          kept.add(id)
        }
        release()
        return kept
      }),
    recover: Effect.sync(() => {
      const lost = all().filter((row) => row.state === "running" && row.leaseUntil < now())
      for (const row of lost) {
        close(row, "crashed", "the worker stopped answering")
        row.runAt = now() + backoff(row.attempt)
        if (row.cancel !== null) conclude(row, "cancelled", row.cancel)
        else if (row.attempt < row.made.maxAttempts) conclude(row, "retryable", "the worker stopped answering")
        else conclude(row, "failed", "max_attempts")
      }
      return lost.map(({ made }) => made.id)
    }),
    release: Effect.sync(release),
    cancel: (id, reason) => Effect.sync(() => cancel(id, reason)),
    cancelMany: (ids, state, reason) =>
      Effect.sync(() =>
        ids.flatMap((id) => {
          const job = find(id)
          if (job === undefined || (state !== undefined && jobOf(job).state !== state)) return []
          const outcome = cancel(id, reason)
          return outcome === "asked" || outcome === "cancelled" ? [{ id, kind: job.made.kind, outcome }] : []
        })
      ),
    countOpen: (filter) => Effect.sync(() => open(filter).length),
    openIds: (filter, limit) =>
      Effect.sync(() =>
        open(filter)
          .slice(0, limit)
          .map(({ id }) => id)
      ),
    depth: (runnable) =>
      Effect.sync(() => {
        const due = all().filter((row) => isDue(row) && canRun(runnable, row))
        const oldest = Math.min(...due.map(({ runAt }) => runAt))
        return { due: due.length, oldestSeconds: due.length === 0 ? null : (now() - oldest) / 1000 }
      }),
    stranded: (runnable) =>
      Effect.sync(() => {
        const counts = new Map<string, number>()
        for (const row of all().filter((one) => isDue(one) && !canRun(runnable, one))) {
          const kind = `${row.made.kind}@${row.made.version}`
          counts.set(kind, (counts.get(kind) ?? 0) + 1)
        }
        return [...counts].map(([kind, jobs]) => ({ kind, jobs }))
      }),
    get: (id) =>
      Effect.sync(() => {
        const row = find(id)
        if (row === undefined) return undefined
        const { attempt, attemptAt, worker } = row
        const current: ReadonlyArray<Attempt> =
          row.state === "running"
            ? [{ attempt, state: "running", worker, startedAt: iso(attemptAt), finishedAt: null, error: "" }]
            : []
        const { payload, version } = row.made
        return { job: jobOf(row), version, payload, result: row.result, attempts: [...row.attempts, ...current] }
      }),
    some: (ids) =>
      Effect.sync(() =>
        all()
          .filter(({ made }) => ids.includes(made.id))
          .map(jobOf)
      ),
    list: (asked) =>
      Effect.suspend(() => {
        const { cursor, limit, q } = asked
        const sort = sortOf(asked)
        const place = cursor === undefined ? undefined : placeOf(asked, cursor)
        if (cursor !== undefined && place === undefined) {
          return Effect.fail(new MalformedRequest({ detail: "the cursor is not one of ours" }))
        }
        const least = place === undefined ? undefined : sort === "finished" ? `${place.at} ${place.id}` : place.id
        const up = sort === "oldest" ? 1 : -1
        const found = all()
          .map(jobOf)
          .filter((job) => fits(job, asked) && (q === undefined || says(job, q)))
          .filter((job) => sort !== "finished" || job.finishedAt !== null)
          .toSorted((one, other) => (rank(one, sort) < rank(other, sort) ? -up : up))
          .filter((job) => least === undefined || (up === 1 ? rank(job, sort) > least : rank(job, sort) < least))
        const items = found.slice(0, limit)
        const last = items.at(-1)
        const at = sort === "finished" ? (last?.finishedAt ?? "") : ""
        const more = found.length > limit && last !== undefined
        return Effect.succeed({ items, nextCursor: more ? cursorOf(asked, { id: last.id, at }) : null })
      })
  })

  return {
    layer: Layer.succeed(JobStore, store),
    /** Lets so many seconds pass for every job. */
    elapse: (seconds: number) => {
      shift += seconds * 1000
    }
  }
}
