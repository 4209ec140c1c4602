/** The workers: cancelling, lost leases, failures, snoozes, and an orderly end, over the real service. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Effect } from "effect"
import type { JobLogLine } from "#shared/api/scheduler.ts"
import { done } from "#scheduler/JobHandler.ts"
import { type Running, startScheduler } from "#test/scheduler/callers.ts"
import { testHandlers } from "#test/scheduler/handlers.ts"
import { until } from "#test/shared/until.ts"

let scheduler: Running
const held = testHandlers()
beforeAll(async () => {
  scheduler = await startScheduler(
    { handlers: held.layer },
    { SCHEDULER_LEASE: "2 seconds", SCHEDULER_SWEEP: "200 millis", SCHEDULER_CONCURRENCY: "4" }
  )
}, 60_000)
afterAll(() => scheduler.stop(), 60_000)

const runOf = (id: string, fence = 1) =>
  until(`job ${id} runs under fence ${fence}`, () =>
    held.runs.find(({ context }) => context.jobId === id && context.fence === fence)
  )

describe("a run", () => {
  test("that fails again and again is parked after its attempts", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.fails", maxAttempts: 3 })
    const { attempts, job } = await scheduler.reaches(id, "failed")
    expect([job.reason, job.attempt]).toEqual(["max_attempts", 3])
    expect(attempts.map(({ error, state }) => [state, error])).toEqual(Array(3).fill(["failed", "it never works"]))
  })

  test("that fails for good is not tried again", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.final" })
    expect((await scheduler.reaches(id, "failed")).job).toMatchObject({ attempt: 1, reason: "it cannot work" })
  })

  test("security: a defect is a failed attempt that tells nothing of its inside", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.dies", maxAttempts: 1 })
    const detail = await scheduler.reaches(id, "failed")
    expect(detail.attempts[0]!.error).toBe("internal error")
    expect(JSON.stringify(detail)).not.toContain("secret inside")
  })

  test("that snoozes uses up no attempt", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.again", maxAttempts: 1 })
    expect(await scheduler.reaches(id, "succeeded")).toMatchObject({ job: { attempt: 1 }, result: { runs: 2 } })
  })

  test("is interrupted when its job is cancelled, and the job says why", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.held" })
    const run = await runOf(id)
    const answer = await scheduler.ask(`/jobs/${id}/cancel`, { method: "POST", json: { reason: "too slow" } })
    expect(answer.status).toBe(200)
    const { attempts, job } = await scheduler.reaches(id, "cancelled")
    expect([run.interrupted(), job.reason, attempts[0]!.state]).toEqual([true, "too slow", "cancelled"])
  })

  test("is interrupted when its lease is another's, and what it would say counts no more", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.held" })
    const run = await runOf(id)
    // As if another worker had taken it over while this one stood still.
    await scheduler.database.query(
      `UPDATE jobs.jobs SET fence = fence + 5, lease_until = now() + interval '1 hour' WHERE id = '${id}'`
    )
    await until("the run is interrupted", () => run.interrupted())
    run.end(Effect.succeed(done()))
    expect((await scheduler.job(id)).job.state).toBe("running")
  })

  test("keeps its lease as long as it runs", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.held" })
    const run = await runOf(id)
    const leases = new Set<string>()
    await until("the lease is prolonged three times", async () => {
      const rows = await scheduler.database.query(`SELECT lease_until::text AS lease FROM jobs.jobs WHERE id = '${id}'`)
      leases.add(String(rows[0]!["lease"]))
      return leases.size > 3
    })
    run.end(Effect.succeed(done()))
    expect((await scheduler.reaches(id, "succeeded")).attempts).toHaveLength(1)
  })

  test("of a kind nobody knows here is left alone", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.ok", runAt: "2999-01-01T00:00:00Z" })
    await scheduler.database.query(`UPDATE jobs.jobs SET kind = 'of.tomorrow', run_at = now() WHERE id = '${id}'`)
    const { id: after } = await scheduler.enqueue({ kind: "test.ok" })
    await scheduler.reaches(after, "succeeded")
    expect((await scheduler.job(id)).job).toMatchObject({ state: "available", attempt: 0 })
  })
})

interface Event {
  readonly event: string
  readonly id: string
  readonly data: unknown
}

/** Reads events of a stream until one satisfies `last`, then leaves. */
const readEvents = async (path: string, last: (event: Event) => boolean, lastId?: string) => {
  const leave = new AbortController()
  const headers = { accept: "text/event-stream", ...(lastId === undefined ? {} : { "last-event-id": lastId }) }
  const answer = await scheduler.ask(path, { headers, signal: leave.signal })
  const events: Array<Event> = []
  let text = ""
  const decoder = new TextDecoder()
  for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true })
    const parts = text.split("\n\n")
    text = parts.pop()!
    for (const part of parts) {
      if (part.startsWith(":")) continue
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, "mu").exec(part)?.[1] ?? ""
      events.push({ event: field("event"), id: field("id"), data: JSON.parse(field("data")) })
      if (last(events.at(-1)!)) {
        leave.abort()
        return events
      }
    }
  }
  return events
}

describe("the log of a job", () => {
  const lines = Array.from({ length: 1200 }, (_, index) => `line ${index}`)
  const messages = (events: ReadonlyArray<Event>) =>
    events.filter(({ event }) => event === "line").map(({ data }) => (data as JobLogLine).message)

  test("is complete and in order, page by page", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.logs", payload: { lines } })
    await scheduler.reaches(id, "succeeded")
    const all: Array<JobLogLine> = []
    for (;;) {
      const answer = await scheduler.ask(`/jobs/${id}/logs?limit=500&after=${all.at(-1)?.id ?? 0}`)
      const { items } = (await answer.json()) as { items: Array<JobLogLine> }
      if (items.length === 0) break
      all.push(...items)
    }
    expect(all.map(({ message }) => message)).toEqual(lines)
    expect((await scheduler.ask(`/jobs/${id}/logs?level=warn`)).status).toBe(200)
    expect(await (await scheduler.ask(`/jobs/${id}/logs?level=warn`)).json()).toEqual({ items: [] })
  })

  test("as a stream ends with the job, and goes on after the last event seen without gap or double", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.logs", payload: { lines } })
    const first = await readEvents(`/jobs/${id}/logs`, ({ data }) => (data as JobLogLine).message === "line 700")
    const second = await readEvents(`/jobs/${id}/logs`, ({ event }) => event === "end", first.at(-1)!.id)
    expect([...messages(first), ...messages(second)]).toEqual(lines)
    expect(second.at(-1)).toMatchObject({ event: "end", data: { state: "succeeded" } })
  })

  test("is cut with a mark where a run writes too much, and the job goes on", async () => {
    const many = Array.from({ length: 10_050 }, (_, index) => String(index))
    const { id } = await scheduler.enqueue({ kind: "test.logs", payload: { lines: many } })
    await scheduler.reaches(id, "succeeded")
    const rows = await scheduler.database.query(
      `SELECT level, message FROM jobs.job_logs WHERE job_id = '${id}' ORDER BY id`
    )
    expect(rows).toHaveLength(10_001)
    expect(rows.at(-1)).toMatchObject({ level: "warn", message: expect.stringContaining("cut here") })
  })

  test("security: tokens in a line are redacted and NUL does not break the batch", async () => {
    const { id } = await scheduler.enqueue({
      kind: "test.logs",
      payload: { lines: ["Authorization: Bearer abcdefghijkl", "fine"] }
    })
    await scheduler.reaches(id, "succeeded")
    const { items } = (await (await scheduler.ask(`/jobs/${id}/logs`)).json()) as { items: Array<JobLogLine> }
    expect(items.map(({ message }) => message)).toEqual(["Authorization: Bearer <redacted>", "fine"])
  })
})

describe("the stream of events", () => {
  test("shows a job's states, resumes after the last one seen, and says when it cannot", async () => {
    const states: Array<string> = []
    const reading = readEvents("/jobs/stream", ({ data, event }) => {
      if (event !== "job") return false
      const { kind, state } = data as { kind: string; state: string }
      if (kind === "test.logs") states.push(state)
      return kind === "test.logs" && state === "succeeded"
    })
    // The reader has to be there first: asked until it has seen something.
    let seen = false
    void reading.then(() => (seen = true))
    await until("an event arrives", async () => {
      await scheduler.enqueue({ kind: "test.logs", payload: { lines: [] } })
      return seen
    })
    const first = await reading
    const next = await readEvents("/jobs/stream", () => true, first.at(-2)?.id ?? first.at(-1)!.id)
    expect(next).toHaveLength(1)
    expect((await readEvents("/jobs/stream", () => true, "other-1"))[0]).toMatchObject({ event: "reset" })
  })
})

test("the end of the process gives jobs back at once instead of letting their leases run out", async () => {
  const { runs, layer } = testHandlers()
  const leaving = await startScheduler(
    { handlers: layer },
    { SCHEDULER_GRACE: "0 seconds", SCHEDULER_LEASE: "5 minutes" }
  )
  const { id } = await leaving.enqueue({ kind: "test.held", maxAttempts: 1 })
  const run = await until("it runs", () => runs.find(({ context }) => context.jobId === id))
  leaving.service.drain()
  await leaving.service.dispose()
  expect(run.interrupted()).toBe(true)
  const rows = await leaving.database.query(`
    SELECT j.state, j.attempt, a.state AS ended FROM jobs.jobs j JOIN jobs.job_attempts a ON a.job_id = j.id WHERE j.id = '${id}'`)
  expect(rows).toEqual([{ state: "available", attempt: 0, ended: "released" }])
  await leaving.stop()
}, 60_000)
