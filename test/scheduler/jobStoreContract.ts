/** What every job store must do, whatever its engine: one suite for the real one, the fake and any that may come. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Effect, type Layer, ManagedRuntime } from "effect"
import { uuidv7 } from "#shared/domain/ids.ts"
import { type End, type JobsAsked, JobStore, type NewJob } from "#scheduler/JobStore.ts"

export interface Engine {
  readonly layer: Layer.Layer<JobStore>
  /** Lets so many seconds pass for every job that is there. */
  readonly elapse: (seconds: number) => Promise<void> | void
  readonly dispose: () => Promise<void>
}

/** Ids rise with each, as they do with time. */
let clock = Date.now()
let kinds = 0

export const jobStoreContract = (name: string, start: () => Promise<Engine>) =>
  describe(`the contract of a job store: ${name}`, () => {
    let engine: Engine
    let runtime: ManagedRuntime.ManagedRuntime<JobStore, never>
    beforeAll(async () => {
      engine = await start()
      runtime = ManagedRuntime.make(engine.layer)
      await runtime.context()
    }, 60_000)
    afterAll(async () => {
      await runtime.dispose()
      await engine.dispose()
    }, 60_000)

    const store = <A, E>(use: (one: JobStore["Service"]) => Effect.Effect<A, E>) =>
      runtime.runPromise(JobStore.use(use))
    /** Each test has a kind of its own: nobody else's jobs are in its way. */
    const newKind = () => `contract.${kinds++}`
    const enqueue = async (kind: string, fields: Partial<NewJob> = {}) => {
      const job = { id: uuidv7(++clock), kind, version: 1, payload: {}, priority: 0, maxAttempts: 3, createdBy: "test" }
      return store((one) => one.enqueue({ ...job, ...fields }))
    }
    const made = async (kind: string, fields: Partial<NewJob> = {}) => (await enqueue(kind, fields)).job.id
    const claim = async (kind: string, limit = 10, worker = "one", leaseSeconds = 20, version = 1) =>
      (await store((one) => one.claim({ runnable: [{ kind, version }], limit, worker, leaseSeconds }))).claimed
    const get = async (id: string) => (await store((one) => one.get(id)))!
    const finish = (id: string, fence: number, end: End) => store((one) => one.finish([{ id, fence, end }]))
    const succeeded: End = { _tag: "Succeeded", result: { a: 1 } }
    const failing: End = { _tag: "Failed", error: "broken", retryable: true, retryAfterSeconds: 0 }

    test("a job is claimed once, with its attempt and fence raised, and ends with its result", async () => {
      const kind = newKind()
      const id = await made(kind, { payload: { text: "ä\u{1f680}" } })
      const [job, ...others] = await claim(kind)
      expect(others).toEqual([])
      expect(job).toMatchObject({ id, kind, attempt: 1, maxAttempts: 3, fence: 1, payload: { text: "ä\u{1f680}" } })
      expect(await claim(kind)).toEqual([])
      expect(await get(id)).toMatchObject({
        job: { state: "running" },
        attempts: [{ state: "running", worker: "one" }]
      })
      expect(await finish(id, 1, succeeded)).toEqual(new Set([id]))
      expect(await get(id)).toMatchObject({
        job: { state: "succeeded", attempt: 1, reason: "" },
        result: { a: 1 },
        attempts: [{ attempt: 1, state: "succeeded", error: "" }]
      })
    })

    test("many claimers at once share the jobs without a double", async () => {
      const kind = newKind()
      const ids = await Promise.all(Array.from({ length: 60 }, () => made(kind)))
      const claims = await Promise.all(Array.from({ length: 12 }, (_, index) => claim(kind, 7, `worker ${index}`)))
      const rest = await claim(kind, 100)
      const claimed = [...claims.flat(), ...rest].map(({ id }) => id)
      expect(claimed.toSorted()).toEqual(ids.toSorted())
    })

    test("the highest priority goes first, then what has been due longest", async () => {
      const kind = newKind()
      const low = await made(kind, { priority: -1 })
      const late = await made(kind, { runAt: "2026-01-02T00:00:00Z" })
      const early = await made(kind, { runAt: "2026-01-01T00:00:00Z" })
      const high = await made(kind, { priority: 5 })
      const order = []
      for (let index = 0; index < 4; index++) order.push((await claim(kind, 1))[0]!.id)
      expect(order).toEqual([high, early, late, low])
    })

    test("a job of the future waits, and the store says for how long", async () => {
      const kind = newKind()
      const id = await made(kind, { runAt: new Date(Date.now() + 5_000_000_000).toISOString() })
      expect((await get(id)).job.state).toBe("scheduled")
      const options = { runnable: [{ kind, version: 1 }], limit: 1, worker: "one", leaseSeconds: 20 }
      const { claimed, nextSeconds } = await store((one) => one.claim(options))
      expect(claimed).toEqual([])
      expect(nextSeconds).toBeGreaterThan(0)
      expect(nextSeconds).toBeLessThanOrEqual(5_000_000)
      await engine.elapse(5_000_001)
      expect(await claim(kind)).toHaveLength(1)
    })

    test("a failed attempt is tried again, and the last one parks the job", async () => {
      const kind = newKind()
      const id = await made(kind, { maxAttempts: 2 })
      await finish(id, (await claim(kind))[0]!.fence, failing)
      expect(await get(id)).toMatchObject({ job: { state: "retryable", reason: "broken", finishedAt: null } })
      const [second] = await claim(kind)
      expect(second).toMatchObject({ attempt: 2, fence: 2 })
      await finish(id, 2, failing)
      expect(await get(id)).toMatchObject({
        job: { state: "failed", reason: "max_attempts", attempt: 2 },
        attempts: [
          { attempt: 1, state: "failed", error: "broken" },
          { attempt: 2, state: "failed", error: "broken" }
        ]
      })
      await engine.elapse(10_000)
      expect(await claim(kind)).toEqual([])
    })

    test("a failure without a time of its own waits, and the wait is over at last", async () => {
      const kind = newKind()
      const id = await made(kind)
      await finish(id, (await claim(kind))[0]!.fence, { _tag: "Failed", error: "broken", retryable: true })
      expect(await claim(kind)).toEqual([])
      await engine.elapse(3)
      expect(await claim(kind)).toHaveLength(1)
    })

    test("a failure for good ends the job at once with what was wrong", async () => {
      const kind = newKind()
      const id = await made(kind)
      await finish(id, (await claim(kind))[0]!.fence, { _tag: "Failed", error: "never", retryable: false })
      expect((await get(id)).job).toMatchObject({ state: "failed", reason: "never", attempt: 1 })
    })

    test("a snooze uses up no attempt and raises the fence", async () => {
      const kind = newKind()
      const id = await made(kind, { maxAttempts: 1 })
      for (const fence of [1, 2, 3]) {
        const [job] = await claim(kind)
        expect(job).toMatchObject({ attempt: 1, fence })
        await finish(id, fence, { _tag: "Again", runAt: "2026-01-01T00:00:00Z", note: "waits" })
        expect((await get(id)).job).toMatchObject({ state: "available", reason: "waits", attempt: 0 })
      }
      expect((await get(id)).attempts).toEqual([])
    })

    test("a released job is there again at once, and that start does not count", async () => {
      const kind = newKind()
      const id = await made(kind, { maxAttempts: 1 })
      await finish(id, (await claim(kind))[0]!.fence, { _tag: "Released" })
      expect(await get(id)).toMatchObject({ attempts: [{ attempt: 1, state: "released" }] })
      expect((await claim(kind))[0]).toMatchObject({ attempt: 1, fence: 2 })
    })

    test("a lease that has ended closes the attempt as crashed, and exactly maxAttempts starts are made", async () => {
      const kind = newKind()
      const id = await made(kind, { maxAttempts: 2 })
      for (const attempt of [1, 2]) {
        expect((await claim(kind))[0]).toMatchObject({ attempt })
        expect(await store((one) => one.recover)).not.toContain(id)
        await engine.elapse(21)
        expect(await store((one) => one.recover)).toContain(id)
        await engine.elapse(60)
      }
      expect(await get(id)).toMatchObject({
        job: { state: "failed", reason: "max_attempts", attempt: 2 },
        attempts: [{ state: "crashed" }, { state: "crashed" }]
      })
      expect(await claim(kind)).toEqual([])
    })

    test("heartbeats keep a lease, and are answered only to its holder", async () => {
      const kind = newKind()
      const id = await made(kind)
      const [job] = await claim(kind)
      for (let round = 0; round < 3; round++) {
        await engine.elapse(15)
        expect((await store((one) => one.heartbeat([{ id, fence: job!.fence }], 20))).has(id)).toBe(true)
      }
      expect(await store((one) => one.recover)).not.toContain(id)
      expect((await store((one) => one.heartbeat([{ id, fence: 99 }], 20))).size).toBe(0)
      expect((await store((one) => one.heartbeat([{ id: uuidv7(1), fence: 1 }], 20))).size).toBe(0)
    })

    test("fencing: a worker that was thought dead changes nothing when it comes back", async () => {
      const kind = newKind()
      const id = await made(kind)
      const [first] = await claim(kind, 1, "frozen")
      await engine.elapse(21)
      await store((one) => one.recover)
      expect(await finish(id, first!.fence, succeeded)).toEqual(new Set())
      await engine.elapse(60)
      const [second] = await claim(kind, 1, "other")
      expect(second!.fence).toBeGreaterThan(first!.fence)
      for (const end of [succeeded, failing, { _tag: "Released" }, { _tag: "Cancelled" }] as const) {
        expect(await finish(id, first!.fence, end)).toEqual(new Set())
      }
      expect((await get(id)).job.state).toBe("running")
      expect(await finish(id, second!.fence, succeeded)).toEqual(new Set([id]))
      expect(await finish(id, second!.fence, failing)).toEqual(new Set())
      expect((await get(id)).job.state).toBe("succeeded")
    })

    test("ends come together: each is judged by itself", async () => {
      const kind = newKind()
      const ids = [await made(kind), await made(kind), await made(kind, { maxAttempts: 1 })]
      await claim(kind)
      const kept = await store((one) =>
        one.finish([
          { id: ids[0]!, fence: 1, end: succeeded },
          { id: ids[1]!, fence: 7, end: succeeded },
          { id: ids[2]!, fence: 1, end: failing }
        ])
      )
      expect(kept).toEqual(new Set([ids[0]!, ids[2]!]))
      const states = await Promise.all(ids.map(async (id) => (await get(id)).job.state))
      expect(states).toEqual(["succeeded", "running", "failed"])
    })

    test("a waiting job is cancelled at once, a running one is asked, an ended one stays", async () => {
      const kind = newKind()
      const waits = await made(kind, { runAt: "2999-01-01T00:00:00Z" })
      expect(await store((one) => one.cancel(waits, "not needed"))).toBe("cancelled")
      expect((await get(waits)).job).toMatchObject({ state: "cancelled", reason: "not needed" })
      expect(await store((one) => one.cancel(waits, "again"))).toBe("ended")
      const runs = await made(kind)
      await claim(kind)
      expect(await store((one) => one.cancel(runs, "too slow"))).toBe("asked")
      const held = await store((one) => one.heartbeat([{ id: runs, fence: 1 }], 20))
      expect(held.get(runs)).toEqual({ cancel: "too slow" })
      await finish(runs, 1, { _tag: "Cancelled" })
      expect(await get(runs)).toMatchObject({
        job: { state: "cancelled", reason: "too slow" },
        attempts: [{ state: "cancelled" }]
      })
      expect(await store((one) => one.cancel(uuidv7(1), "x"))).toBe("unknown")
      expect(await store((one) => one.cancel("no id", "x"))).toBe("unknown")
    })

    test("a wish to cancel holds against a failure, a snooze, a release and a crash, and not against a success", async () => {
      for (const end of [
        failing,
        { _tag: "Released" },
        { _tag: "Again", runAt: "2026-01-01T00:00:00Z", note: "" }
      ] as const) {
        const kind = newKind()
        const id = await made(kind)
        await claim(kind)
        await store((one) => one.cancel(id, "stop"))
        await finish(id, 1, end)
        expect((await get(id)).job).toMatchObject({ state: "cancelled", reason: "stop" })
      }
      const kind = newKind()
      const [done, dead] = [await made(kind), await made(kind)]
      await claim(kind)
      for (const id of [done, dead]) await store((one) => one.cancel(id, "stop"))
      await finish(done, 1, succeeded)
      expect((await get(done)).job.state).toBe("succeeded")
      await engine.elapse(21)
      await store((one) => one.recover)
      expect((await get(dead)).job).toMatchObject({ state: "cancelled", reason: "stop" })
    })

    test("a unique key is one unfinished job; after its end it is free", async () => {
      const kind = newKind()
      const uniqueKey = `${kind} key`
      const first = await enqueue(kind, { uniqueKey })
      const second = await enqueue(kind, { uniqueKey })
      expect([second.created, second.job.id]).toEqual([false, first.job.id])
      await claim(kind)
      expect((await enqueue(kind, { uniqueKey })).created).toBe(false)
      await finish(first.job.id, 1, succeeded)
      expect((await enqueue(kind, { uniqueKey })).created).toBe(true)
    })

    test("an idempotency key gives the same job for the same request, for ever, and refuses another request", async () => {
      const kind = newKind()
      const idempotency = { key: `user ${kind}`, requestHash: "a" }
      const first = await enqueue(kind, { idempotency })
      await claim(kind)
      await finish(first.job.id, 1, succeeded)
      const again = await enqueue(kind, { idempotency })
      expect([again.created, again.job.id, again.job.state]).toEqual([false, first.job.id, "succeeded"])
      const other = await runtime.runPromise(
        Effect.flip(
          JobStore.use((one) =>
            one.enqueue({
              id: uuidv7(++clock),
              kind,
              version: 1,
              payload: {},
              priority: 0,
              maxAttempts: 1,
              createdBy: "test",
              idempotency: { ...idempotency, requestHash: "b" }
            })
          )
        )
      )
      expect(other._tag).toBe("IdempotencyConflict")
    })

    test("many enqueues at once with one key make one job", async () => {
      const kind = newKind()
      const all = await Promise.all(Array.from({ length: 20 }, () => enqueue(kind, { uniqueKey: kind })))
      expect(new Set(all.map(({ job }) => job.id)).size).toBe(1)
      expect(all.filter(({ created }) => created)).toHaveLength(1)
    })

    test("a job that waits for another is not claimed before that has ended", async () => {
      const kind = newKind()
      const first = await made(kind, { schedule: "s" })
      const second = await made(kind, { schedule: "s", after: first })
      expect((await claim(kind)).map(({ id }) => id)).toEqual([first])
      expect(await claim(kind)).toEqual([])
      await finish(first, 1, succeeded)
      expect((await claim(kind)).map(({ id }) => id)).toEqual([second])
      const third = await made(kind, { after: uuidv7(1) })
      await store((one) => one.release)
      expect((await claim(kind)).map(({ id }) => id)).toEqual([third])
    })

    test("a kind or version that nobody here can run is left where it is, and reported", async () => {
      const kind = newKind()
      const newer = await made(kind, { version: 3 })
      const older = await made(kind, { version: 1 })
      expect((await claim(kind, 10, "one", 20, 2)).map(({ id }) => id)).toEqual([older])
      expect((await get(newer)).job).toMatchObject({ state: "available", attempt: 0 })
      expect(await store((one) => one.depth([{ kind, version: 2 }]))).toEqual({ due: 0, oldestSeconds: null })
      expect(await store((one) => one.stranded([{ kind, version: 2 }]))).toContainEqual({ kind: `${kind}@3`, jobs: 1 })
      expect((await claim(kind, 10, "one", 20, 4)).map(({ id }) => id)).toEqual([newer])
    })

    test("the depth is what is due and the age of the oldest", async () => {
      const kind = newKind()
      await made(kind)
      await made(kind)
      await made(kind, { runAt: "2999-01-01T00:00:00Z" })
      await engine.elapse(30)
      const { due, oldestSeconds } = await store((one) => one.depth([{ kind, version: 1 }]))
      expect(due).toBe(2)
      expect(oldestSeconds).toBeGreaterThanOrEqual(30)
      expect(oldestSeconds).toBeLessThan(1000)
    })

    test("lists go from the newest, page by page, without gap or double", async () => {
      const kind = newKind()
      const ids = []
      for (let index = 0; index < 7; index++) ids.push(await made(kind))
      const filter = { limit: 3, kind, state: undefined, schedule: undefined, since: undefined, until: undefined }
      const seen = []
      for (let cursor: string | undefined; ;) {
        const page = await store((one) => one.list({ ...filter, cursor }))
        seen.push(...page.items.map(({ id }) => id))
        if (page.nextCursor === null) break
        cursor = page.nextCursor
      }
      expect(seen).toEqual(ids.toReversed())
      await claim(kind, 2)
      const running = await store((one) => one.list({ ...filter, cursor: undefined, state: "running" }))
      expect(running.items).toHaveLength(2)
      const future = await store((one) => one.list({ ...filter, cursor: undefined, since: "2999-01-01T00:00:00Z" }))
      expect(future).toEqual({ items: [], nextCursor: null })
      const bad = await runtime.runPromise(Effect.flip(JobStore.use((one) => one.list({ ...filter, cursor: "x" }))))
      expect(bad._tag).toBe("MalformedRequest")
    })

    const idsOf = async (asked: Omit<JobsAsked, "limit">, limit = 2) => {
      const seen = []
      for (let cursor: string | undefined; ;) {
        const page = await store((one) => one.list({ ...asked, limit, cursor }))
        seen.push(...page.items.map(({ id }) => id))
        if (page.nextCursor === null) return seen
        cursor = page.nextCursor
      }
    }

    test("lists are of a queue, a target, a schedule or a time", async () => {
      const queue = `queue${kinds++}`
      const [one, two] = [await made(`${queue}.a`, { target: "a/b" }), await made(`${queue}.b`, { schedule: "one" })]
      const alone = await made(queue, { target: "a" })
      await made(`${queue}x.a`)
      expect(await idsOf({ queue })).toEqual([alone, two, one])
      expect(await idsOf({ queue, target: "a/b" })).toEqual([one])
      expect(await idsOf({ queue, target: "a/b%" })).toEqual([])
      expect(await idsOf({ queue, schedule: "one" })).toEqual([two])
      expect(await idsOf({ queue, kind: `${queue}.b` })).toEqual([two])
      expect(await idsOf({ queue: "other", kind: `${queue}.b` })).toEqual([])
      expect(await idsOf({ queue, until: "2001-01-01T00:00:00Z" })).toEqual([])
      expect(await idsOf({ queue, since: "2001-01-01T00:00:00Z", until: "2999-01-01T00:00:00Z" })).toHaveLength(3)
      expect((await get(one)).job.target).toBe("a/b")
    })

    test("lists go from the oldest, or from the last that has ended, without those that have not", async () => {
      const kind = newKind()
      const ids = []
      for (let index = 0; index < 5; index++) ids.push(await made(kind))
      expect(await idsOf({ kind, sort: "oldest" })).toEqual(ids)
      const runs = await claim(kind, 4)
      const ended = [ids[2]!, ids[0]!, ids[3]!, ids[1]!]
      for (const id of ended) await finish(id, runs.find((run) => run.id === id)!.fence, succeeded)
      expect(new Set(await idsOf({ kind, sort: "finished" }))).toEqual(new Set(ended))
      const page = await store((one) => one.list({ kind, sort: "finished", limit: 50 }))
      const times = page.items.map(({ finishedAt }) => finishedAt!)
      expect(times).toEqual(times.toSorted().toReversed())
    })

    test("a text is found in the id, kind, schedule, reason and error, in either case, and in no payload", async () => {
      const kind = newKind()
      const mark = `x${crypto.randomUUID().slice(0, 8)}`
      const ofKind = await made(`${mark}.kind`)
      const ofSchedule = await made(kind, { schedule: `s-${mark}`, runAt: "2999-01-01T00:00:00Z" })
      const ofReason = await made(kind, { runAt: "2999-01-01T00:00:00Z" })
      await store((one) => one.cancel(ofReason, `100% of ${mark.toUpperCase()}_`))
      const ofError = await made(kind, { maxAttempts: 1 })
      await claim(kind)
      await finish(ofError, 1, { _tag: "Failed", error: `answered ${mark}`, retryable: true })
      await made(kind, { payload: { secret: mark }, runAt: "2999-01-01T00:00:00Z" })
      const all = [ofError, ofReason, ofSchedule, ofKind]
      for (const q of [mark, mark.toUpperCase()]) {
        expect(await idsOf({ q })).toEqual(all)
        expect(await idsOf({ q, sort: "oldest" })).toEqual(all.toReversed())
        expect(new Set(await idsOf({ q, sort: "finished" }))).toEqual(new Set([ofError, ofReason]))
      }
      expect(await idsOf({ q: mark, kind })).toEqual([ofError, ofReason, ofSchedule])
      expect(await idsOf({ q: mark, state: "failed" })).toEqual([ofError])
      expect(await idsOf({ q: `100% OF ${mark}_` })).toEqual([ofReason])
      expect(await idsOf({ q: `1%${mark}` })).toEqual([])
      for (const q of [
        ofError,
        ofError.toUpperCase(),
        ofError.slice(9),
        ofError.slice(-12),
        `${ofError.slice(0, 35)}`
      ]) {
        expect(await idsOf({ q, kind, state: "failed" })).toEqual([ofError])
      }
      expect(await idsOf({ q: `${ofError}0` })).toEqual([])
    })

    test("a cursor of another sort, filter or search is malformed", async () => {
      const kind = newKind()
      for (let index = 0; index < 3; index++) await made(kind)
      const { nextCursor } = await store((one) => one.list({ kind, limit: 1 }))
      const cursor = nextCursor!
      expect((await store((one) => one.list({ kind, limit: 2, cursor }))).items).toHaveLength(2)
      const others: ReadonlyArray<Omit<JobsAsked, "limit">> = [
        { kind, sort: "oldest" },
        { kind, sort: "finished" },
        { kind, q: "a" },
        { kind, state: "available" },
        { kind, target: "a" },
        { queue: "contract" },
        {}
      ]
      for (const asked of [...others.map((one) => ({ ...one, cursor })), { kind, cursor: `${cursor}A` }]) {
        const bad = await runtime.runPromise(Effect.flip(JobStore.use((one) => one.list({ ...asked, limit: 2 }))))
        expect(bad._tag).toBe("MalformedRequest")
      }
    })

    test("many are cancelled at once: those told of that have not ended and are still in the state", async () => {
      const kind = newKind()
      const [waits, runs, ended] = [
        await made(kind),
        await made(kind, { priority: 1 }),
        await made(kind, { priority: 2 })
      ]
      const later = await made(kind, { runAt: "2999-01-01T00:00:00Z" })
      await claim(kind, 2)
      await finish(ended, 1, succeeded)
      expect(await store((one) => one.countOpen({ kind }))).toBe(3)
      expect(await store((one) => one.openIds({ kind }, 2))).toEqual([later, runs])
      expect(await store((one) => one.countOpen({ kind, state: "scheduled" }))).toBe(1)
      const ids = [waits, runs, ended, uuidv7(1)]
      expect(await store((one) => one.cancelMany(ids, "available", "no"))).toEqual([
        { id: waits, kind, outcome: "cancelled" }
      ])
      expect(await store((one) => one.cancelMany(ids, undefined, "no"))).toEqual([{ id: runs, kind, outcome: "asked" }])
      expect((await get(waits)).job).toMatchObject({ state: "cancelled", reason: "no" })
      const held = await store((one) => one.heartbeat([{ id: runs, fence: 1 }], 20))
      expect(held.get(runs)).toEqual({ cancel: "no" })
      expect((await get(ended)).job.state).toBe("succeeded")
      expect((await get(later)).job.state).toBe("scheduled")
    })

    test("what is not there is not there, whatever its id looks like", async () => {
      for (const id of [uuidv7(1), "", "x", "'; DROP TABLE jobs", "\u0000"]) {
        expect(await store((one) => one.get(id))).toBeUndefined()
      }
    })

    test("a result that holds what JSON allows and databases do not is kept all the same", async () => {
      const kind = newKind()
      const id = await made(kind, { payload: { half: "\ud800" } })
      const [job] = await claim(kind)
      await finish(id, job!.fence, { _tag: "Succeeded", result: { nul: "a\u0000b", half: "\udc00" } })
      expect((await get(id)).job.state).toBe("succeeded")
    })
  })
