/** The loop that takes due jobs and runs them: concurrency, leases, cancelling, an orderly end; must know no kind of job. */
import {
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Queue,
  Schedule,
  type Scope,
  Stream
} from "effect"
import { again, type JobContext, JobFailed, JobHandlers, type Outcome } from "./JobHandler.ts"
import { JobLogs } from "./JobLogs.ts"
import { JobSignals } from "./JobSignals.ts"
import { type Claimed, type End, type Ended, type Held, JobStore } from "./JobStore.ts"

export interface WorkerOptions {
  /** This process among others, e.g. its pod's name. */
  readonly name: string
  /** Runs at a time. */
  readonly concurrency: number
  /** How long a job is this worker's without a word from it. */
  readonly leaseSeconds: number
  /** Between two looks for due jobs, however many hints are lost. */
  readonly sweepSeconds: number
  /** How long runs may go on after the end was asked for. */
  readonly graceSeconds: number
}

/** Seconds after which a run that does not heed its interruption is given up. */
const forcedAfter = 15

const retrySoon = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")])

/** Milliseconds in which what happens together is gathered into one statement. */
const gatherFor = 1

const claimLatency = Metric.histogram("gatehouse_scheduler_claim_latency_seconds", {
  description: "How long jobs had been due when they were claimed.",
  boundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300]
})
const attempts = Metric.counter("gatehouse_scheduler_attempts_total", {
  description: "Runs that have ended, by how.",
  incremental: true
})
const leaseLosses = Metric.counter("gatehouse_scheduler_lease_losses_total", {
  description: "Runs that lost their lease while they ran.",
  incremental: true
})
const busy = Metric.gauge("gatehouse_scheduler_running", { description: "Runs under way in this process." })

interface Run extends Held {
  readonly job: Claimed
  readonly fiber: Fiber.Fiber<unknown>
  /** Why it was interrupted, if it was. */
  stop: "cancel" | "lost" | "release" | undefined
  /** Its end is known and being written. */
  ending: boolean
}

export class Workers extends Context.Service<
  Workers,
  {
    /** No more claims from now on; runs get their grace, then their jobs are given back. Ends when all is written. */
    readonly drain: Effect.Effect<void>
    /** When something was last claimed and whether more could be, for readiness. */
    readonly state: Effect.Effect<{ readonly idleFor: number; readonly free: number }>
  }
>()("gatehouse/scheduler/Workers") {
  static readonly layer = (options: WorkerOptions) => Layer.effect(Workers, makeWorkers(options))
}

const endOf = (exit: Exit.Exit<Outcome, JobFailed>): End => {
  if (Exit.isSuccess(exit)) {
    const outcome = exit.value
    return outcome._tag === "Done"
      ? { _tag: "Succeeded", result: outcome.result }
      : { _tag: "Again", runAt: outcome.runAt.toISOString(), note: outcome.note }
  }
  for (const reason of exit.cause.reasons) {
    if (reason._tag !== "Fail") continue
    const { detail, retryAfterSeconds, retryable } = reason.error
    return { _tag: "Failed", error: detail.slice(0, 2000), retryable, retryAfterSeconds }
  }
  return { _tag: "Failed", error: "internal error", retryable: true }
}

const makeWorkers = (
  options: WorkerOptions
): Effect.Effect<Workers["Service"], never, JobHandlers | JobLogs | JobSignals | JobStore | Scope.Scope> =>
  Effect.gen(function* () {
    const { concurrency, graceSeconds, leaseSeconds, sweepSeconds } = options
    const handlers = yield* JobHandlers
    const logs = yield* JobLogs
    const signals = yield* JobSignals
    const store = yield* JobStore
    const worker = `${options.name}/${crypto.randomUUID().slice(0, 8)}`
    const running = new Map<string, Run>()
    const wake = yield* Queue.sliding<void>(1)
    const beat = yield* Queue.sliding<void>(1)
    const ends = yield* Queue.unbounded<Ended>()
    const drained = yield* Deferred.make<void>()
    let draining = false
    /** Runs that have ended and whose end is not written yet. */
    let unwritten = 0
    /** The last claim took all it could: there may be more. */
    let backlog = true
    let claimedAt = yield* Clock.currentTimeMillis

    const runnable = () => handlers.runnable().map(({ kind, version }) => ({ kind, version }))

    const leave = Effect.fnUntraced(function* (run: Run) {
      if (running.get(run.id) === run) running.delete(run.id)
      yield* Metric.update(busy, running.size)
      if (backlog) yield* Queue.offer(wake, undefined)
      if (draining && running.size === 0) yield* Deferred.succeed(drained, undefined)
    })

    /** Hands the end to the writer; a run that was lost has nothing to write. */
    const conclude = Effect.fnUntraced(function* (run: Run, end: End) {
      if (run.ending) return
      run.ending = true
      if (run.stop === "lost") return yield* leave(run)
      unwritten += 1
      yield* Queue.offer(ends, { id: run.id, fence: run.fence, end })
      // Its hands are free: the next job need not wait for this one's end to be written.
      if (backlog) yield* Queue.offer(wake, undefined)
    })

    /** Hands that are free. Where ends cannot be written, no more jobs are begun than could be ended. */
    const free = () => (unwritten > concurrency ? 0 : concurrency - (running.size - unwritten))

    const interrupted: Record<NonNullable<Run["stop"]>, End> = {
      cancel: { _tag: "Cancelled" },
      lost: { _tag: "Released" },
      release: { _tag: "Released" }
    }

    const start = Effect.fnUntraced(function* (job: Claimed) {
      const { attempt, fence, id, kind, maxAttempts, payload } = job
      const context: JobContext = {
        jobId: id,
        attempt,
        maxAttempts,
        fence,
        log: logs.of({ jobId: id, fence, attempt })
      }
      const handler = handlers.find(kind)
      const work = handler === undefined ? Effect.succeed(again(new Date(0), "")) : handler.run(payload, context)
      const gate = yield* Deferred.make<Run>()
      const fiber = yield* Effect.exit(work).pipe(
        Effect.onExit(
          Effect.fnUntraced(function* (outer) {
            const run = yield* Deferred.await(gate)
            const exit = Exit.isSuccess(outer) ? outer.value : Exit.failCause(outer.cause)
            if (run.stop !== undefined && Exit.isFailure(exit)) return yield* conclude(run, interrupted[run.stop])
            if (Exit.isFailure(exit) && !exit.cause.reasons.some((reason) => reason._tag === "Fail")) {
              yield* Effect.logError(`a run of ${kind} died`, exit.cause)
            }
            const end = endOf(exit)
            if (end._tag === "Failed") yield* context.log("error", end.error)
            yield* conclude(run, end)
          })
        ),
        Effect.annotateLogs({ job: id, kind, attempt }),
        Effect.forkDetach({ startImmediately: false })
      )
      const run: Run = { id, fence, job, fiber, stop: undefined, ending: false }
      running.set(id, run)
      yield* Deferred.succeed(gate, run)
      yield* Metric.update(claimLatency, job.dueFor)
    })

    /** Lets the handler end what the cancelled job has begun elsewhere. */
    const cleanUp = ({ id, job }: Run) =>
      (handlers.find(job.kind)?.cancelled(id) ?? Effect.void).pipe(
        Effect.timeoutOption(`${forcedAfter} seconds`),
        Effect.catchCause((cause) => Effect.logWarning("a cancelled job left something behind", cause)),
        Effect.annotateLogs({ job: id, kind: job.kind })
      )

    /** Interrupts a run; one that does not heed it is given up after a while, whatever it still does. */
    const stop = Effect.fnUntraced(function* (run: Run, why: NonNullable<Run["stop"]>) {
      if (run.stop !== undefined || run.ending) return
      run.stop = why
      run.fiber.interruptUnsafe()
      yield* Fiber.await(run.fiber).pipe(
        Effect.timeoutOrElse({
          duration: `${why === "release" ? 1 : forcedAfter} seconds`,
          orElse: () =>
            Effect.andThen(
              Effect.logWarning("a run does not heed its interruption").pipe(Effect.annotateLogs({ job: run.id })),
              conclude(run, interrupted[why])
            )
        }),
        Effect.andThen(why === "cancel" ? cleanUp(run) : Effect.void),
        Effect.forkDetach
      )
    })

    const claimOnce = Effect.gen(function* () {
      const limit = free()
      if (limit <= 0) backlog = true
      if (draining || limit <= 0) return sweepSeconds
      const { claimed, nextSeconds } = yield* store.claim({ runnable: runnable(), limit, worker, leaseSeconds })
      backlog = claimed.length === limit
      if (claimed.length > 0) {
        claimedAt = yield* Clock.currentTimeMillis
        yield* Effect.forEach(claimed, start, { discard: true })
        yield* Metric.update(busy, running.size)
        yield* signals.tell({ jobs: claimed.map(({ id }) => id) })
      }
      return Math.min(sweepSeconds, nextSeconds ?? sweepSeconds)
    }).pipe(Effect.catchTag("Unavailable", () => Effect.succeed(1)))

    const claiming = Effect.gen(function* () {
      // With more to come, hands that get free together are filled together.
      if (backlog) yield* Effect.sleep(gatherFor)
      const pause = yield* Effect.uninterruptible(claimOnce)
      yield* Effect.race(Queue.take(wake), Effect.sleep(Math.max(1, Math.ceil(pause * 1000))))
    })

    let heardAt = yield* Clock.currentTimeMillis
    const beating = Effect.gen(function* () {
      yield* Effect.race(Queue.take(beat), Effect.sleep((leaseSeconds * 1000) / 4))
      const runs = [...running.values()].filter((run) => run.stop !== "lost")
      const askedAt = yield* Clock.currentTimeMillis
      if (runs.length === 0) return void (heardAt = askedAt)
      const held = yield* store
        .heartbeat(
          runs.map(({ fence, id }) => ({ id, fence })),
          leaseSeconds
        )
        .pipe(Effect.catchTag("Unavailable", () => Effect.succeed(undefined)))
      if (held !== undefined) heardAt = askedAt
      // Without a word for so long every lease has ended, and others may have the jobs.
      const allLost = held === undefined && (yield* Clock.currentTimeMillis) - heardAt > leaseSeconds * 1000
      for (const run of runs) {
        const answer = held?.get(run.id)
        if (allLost || (held !== undefined && answer === undefined && !run.ending)) {
          yield* Metric.update(leaseLosses, 1)
          yield* Effect.logWarning("a run has lost its lease").pipe(Effect.annotateLogs({ job: run.id }))
          yield* stop(run, "lost")
        } else if (answer?.cancel != null) yield* stop(run, "cancel")
      }
    })

    /** Tries until the store takes it; an end that it never will is replaced, so that the job does not stay open. */
    const keep = (batch: ReadonlyArray<Ended>): Effect.Effect<ReadonlySet<string>> =>
      store.finish(batch).pipe(
        Effect.retry({ schedule: retrySoon }),
        Effect.orDie,
        Effect.catchDefect((defect) => {
          if (batch.length > 1) {
            return Effect.map(
              Effect.forEach(batch, (one) => keep([one])),
              (sets) => new Set(sets.flatMap((one) => [...one]))
            )
          }
          const error = "the end of this run could not be kept"
          const replaced = batch.map((one) => ({ ...one, end: { _tag: "Failed" as const, error, retryable: false } }))
          return Effect.logError(error, defect).pipe(
            Effect.andThen(store.finish(replaced)),
            Effect.retry({ schedule: retrySoon }),
            Effect.orDie
          )
        })
      )

    const ending = Effect.gen(function* () {
      // Those that end together are written together.
      const first = yield* Queue.take(ends)
      yield* Effect.sleep(gatherFor)
      const batch = [first, ...(yield* Queue.clear(ends))]
      yield* logs.flush
      const kept = yield* keep(batch)
      yield* signals.tell({ due: batch.some(({ end }) => end._tag !== "Succeeded"), jobs: [...kept] })
      for (const { end, fence, id } of batch) {
        yield* Metric.update(
          Metric.withAttributes(attempts, { outcome: kept.has(id) ? end._tag.toLowerCase() : "lost" }),
          1
        )
        unwritten -= 1
        const run = running.get(id)
        if (run?.fence === fence) yield* leave(run)
      }
    })

    const forEver = (
      what: string,
      effect: Effect.Effect<void>
    ): Effect.Effect<Fiber.Fiber<never>, never, Scope.Scope> =>
      effect.pipe(
        Effect.catchCause((cause) =>
          Effect.andThen(Effect.logError(`${what} failed`, cause), Effect.sleep("1 second"))
        ),
        Effect.forever,
        Effect.forkScoped
      )
    yield* signals.signals.pipe(
      Stream.runForEach(
        Effect.fnUntraced(function* ({ cancel, due }) {
          if (due) yield* Queue.offer(wake, undefined)
          if (cancel) yield* Queue.offer(beat, undefined)
        })
      ),
      Effect.forkScoped
    )
    yield* forEver("claiming jobs", claiming)
    yield* forEver("prolonging leases", beating)
    yield* forEver("writing ends of jobs", ending)

    const drain = Effect.gen(function* () {
      if (!draining) {
        draining = true
        if (running.size === 0) yield* Deferred.succeed(drained, undefined)
        yield* Effect.forkDetach(
          Effect.gen(function* () {
            yield* Effect.sleep(`${graceSeconds} seconds`)
            for (const run of running.values()) yield* stop(run, "release")
          })
        )
      }
      yield* Deferred.await(drained)
    })
    yield* Effect.addFinalizer(() => drain.pipe(Effect.timeoutOption(`${graceSeconds + 3} seconds`)))

    return Workers.of({
      drain,
      state: Effect.map(Clock.currentTimeMillis, (now) => ({
        idleFor: (now - claimedAt) / 1000,
        free: free()
      }))
    })
  })
