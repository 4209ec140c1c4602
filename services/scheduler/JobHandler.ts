/** What a job's handler is and what it may ask for while it runs; must know no storage, no queue and no HTTP. */
import { Context, Data, Effect, Layer, Result, Schema } from "effect"
import type { JobLogLine } from "#shared/api/scheduler.ts"
import { InvalidInput } from "#shared/domain/errors.ts"
import { invalidInput } from "#shared/problem.ts"

/**
 * A run that did not succeed. `detail` is for people and is kept: it must hold no payload and no secret. Where `retryable`
 * is false, asking again gives the same answer and the job fails at once; otherwise it is tried again after
 * `retryAfterSeconds`, or the usual back-off, until its attempts are used up.
 */
export class JobFailed extends Schema.TaggedError<JobFailed>()("JobFailed", {
  detail: Schema.String,
  retryable: Schema.Boolean,
  retryAfterSeconds: Schema.optionalKey(Schema.Finite)
}) {
  override get message() {
    return this.detail
  }
}

/** JSON that is kept as the job's result. */
export type JobResult = Readonly<Record<string, unknown>>

/** How a run ended well: `Done`, or `Again`: run once more at `runAt`, without using up an attempt. */
export type Outcome = Data.TaggedEnum<{
  readonly Done: { readonly result: JobResult | null }
  readonly Again: { readonly runAt: Date; readonly note: string }
}>
const { Again, Done } = Data.taggedEnum<Outcome>()

/** The job is finished; `result` is shown with it. */
export const done = (result: JobResult | null = null): Outcome => Done({ result })

/** The job waits until `runAt`; `note` says to people what for. */
export const again = (runAt: Date, note: string): Outcome => Again({ runAt, note })

/**
 * The run that a handler works for. The run is interrupted when the job is cancelled, when its lease is lost and when the
 * process ends; whatever it does outside must therefore bear being done twice, or be guarded by `jobId` and `fence`.
 */
export interface JobContext {
  readonly jobId: string
  /** From 1; the same again after a run that ended with `Again`. */
  readonly attempt: number
  readonly maxAttempts: number
  /** Grows with every start of this job: whoever has seen a higher one may refuse a lower one. */
  readonly fence: number
  /** A line of the job's log; written within a second, never fails. */
  readonly log: (level: JobLogLine["level"], message: string) => Effect.Effect<void>
}

export interface JobHandler<P> {
  /** E.g. `http.call`; lower-case letters, digits, dots, dashes. */
  readonly kind: string
  /** Of the payload's meaning. A handler also runs jobs of the version before its own, so its schema must accept both. */
  readonly version: number
  /** One sentence for people. */
  readonly description: string
  /** Unknown fields are refused. */
  readonly payload: Schema.ConstraintDecoder<P>
  /** What a job is about, for people to find it by; shown and searched for, so it must hold no secret. */
  readonly target?: (payload: P) => string
  /** A defect is a failed attempt like any other; what it says is logged, not shown. */
  readonly run: (payload: P, context: JobContext) => Effect.Effect<Outcome, JobFailed>
  /** Ends what the job has begun elsewhere, after it was cancelled; tried once, the job's state does not wait for it. */
  readonly cancelled?: (jobId: string) => Effect.Effect<void, JobFailed>
  /** Why it cannot be run at present, for people; undefined while it can. */
  readonly unavailable?: Effect.Effect<string | undefined>
  /** Its jobs are accepted here and left to other processes. */
  readonly elsewhere?: boolean
}

/** A handler whose payload's type is no longer known: what the queue works with. */
export interface RegisteredHandler {
  readonly kind: string
  readonly version: number
  readonly description: string
  /** Fails with every fault of a payload, as pointers below `under`. */
  readonly check: (payload: unknown, under: string) => Effect.Effect<void, InvalidInput>
  /** Of a payload that fits; undefined where the kind tells nothing. One line of 500 characters at most. */
  readonly target: (payload: unknown) => string | undefined
  readonly run: (payload: unknown, context: JobContext) => Effect.Effect<Outcome, JobFailed>
  readonly cancelled: (jobId: string) => Effect.Effect<void, JobFailed>
  readonly unavailable: Effect.Effect<string | undefined>
  readonly elsewhere: boolean
}

/** Numbers beyond a double's range are read as infinite and would be kept as null. */
const infinite = (value: unknown, pointer: string): ReadonlyArray<string> => {
  if (typeof value === "number") return Number.isFinite(value) ? [] : [pointer]
  if (typeof value !== "object" || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    infinite(inner, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`)
  )
}

/** Characters of a target: what an index can hold. */
const targetLength = 500

/** Without what a database or a line refuses. */
const oneLine = (text: string) =>
  Array.from(text.toWellFormed().replaceAll(/\p{Cc}/gu, " "))
    .slice(0, targetLength)
    .join("")

const erased = <P>(handler: JobHandler<P>): RegisteredHandler => {
  const decode = Schema.decodeUnknownResult(handler.payload, { errors: "all", onExcessProperty: "error" })
  return {
    kind: handler.kind,
    version: handler.version,
    description: handler.description,
    cancelled: handler.cancelled ?? (() => Effect.void),
    unavailable: handler.unavailable ?? Effect.succeed(undefined),
    elsewhere: handler.elsewhere ?? false,
    target: (payload) => {
      if (handler.target === undefined) return undefined
      const result = decode(payload)
      return Result.isSuccess(result) ? oneLine(handler.target(result.success)) : undefined
    },
    check: (payload, under) =>
      Effect.suspend(() => {
        const huge = infinite(payload, under)
        if (huge.length > 0) {
          const errors = huge.map((pointer) => ({ pointer, detail: "a number that is too large" }))
          return Effect.fail(new InvalidInput({ errors }))
        }
        const result = decode(payload)
        return Result.isSuccess(result) ? Effect.void : Effect.fail(invalidInput(result.failure.issue, under))
      }),
    run: (payload, context) =>
      Effect.suspend(() => {
        const result = decode(payload)
        if (Result.isSuccess(result)) return handler.run(result.success, context)
        const faults = invalidInput(result.failure.issue, "/payload").message
        return Effect.fail(new JobFailed({ detail: `the payload does not fit: ${faults}`, retryable: false }))
      })
  }
}

/**
 * The kinds this process can run. Layers register theirs while they are built; a job of a kind that nobody has registered
 * stays where it is, so the order does not matter.
 */
export class JobHandlers extends Context.Service<
  JobHandlers,
  {
    /** Dies if the kind is taken. */
    readonly register: <P>(handler: JobHandler<P>) => Effect.Effect<void>
    readonly find: (kind: string) => RegisteredHandler | undefined
    readonly all: () => ReadonlyArray<RegisteredHandler>
    /** Those whose jobs this process takes. */
    readonly runnable: () => ReadonlyArray<RegisteredHandler>
  }
>()("gatehouse/scheduler/JobHandlers") {
  static readonly layer = Layer.sync(JobHandlers, () => {
    const known = new Map<string, RegisteredHandler>()
    const all = () => [...known.values()].toSorted((one, other) => one.kind.localeCompare(other.kind))
    return JobHandlers.of({
      register: (handler) =>
        known.has(handler.kind)
          ? Effect.die(new Error(`the job kind ${handler.kind} is registered twice`))
          : Effect.sync(() => void known.set(handler.kind, erased(handler))),
      find: (kind) => known.get(kind),
      all,
      runnable: () => all().filter(({ elsewhere }) => !elsewhere)
    })
  })
}
