/** Logs of containers as server-sent events, bounded per user; must keep no line. */
import { Clock, Context, Effect, Layer, Metric, Schema, Stream } from "effect"
import { InvalidInput } from "#shared/domain/errors.ts"
import { NamespaceName, ObjectName } from "#shared/domain/workload.ts"
import { Kubernetes, type KubernetesFailed, type LogOptions } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { maskText } from "#shared/kubernetes/mask.ts"
import { containersOf } from "./rollout/pods.ts"
import { type Upstream, upstreamOf } from "./upstream.ts"

/** Query of GET /admin/ns/:ns/pods/:pod/logs. */
export const LogQuery = Schema.Struct({
  container: Schema.optionalKey(Schema.String),
  /** "true": the container's previous instance. */
  previous: Schema.optionalKey(Schema.Literals(["true", "false"])),
  follow: Schema.optionalKey(Schema.Literals(["true", "false"])),
  sinceSeconds: Schema.optionalKey(Schema.String),
  /** Lines from the end, 500 if absent; 0 gives none. */
  tailLines: Schema.optionalKey(Schema.String)
})
export type LogQuery = typeof LogQuery.Type

/** There is no such pod, or no such container in it. */
export class PodNotFound extends Schema.TaggedError<PodNotFound>()(
  "PodNotFound",
  { pod: Schema.String, container: Schema.NullOr(Schema.String) },
  { httpApiStatus: 404 }
) {
  override get message() {
    return this.container === null
      ? `pods "${this.pod}" not found`
      : `container ${this.container} is not valid for pod ${this.pod}`
  }
}

/** The container has not been restarted: it has no previous instance. */
export class NoPrevious extends Schema.TaggedError<NoPrevious>()(
  "NoPrevious",
  { pod: Schema.String, container: Schema.String },
  { httpApiStatus: 404 }
) {
  override get message() {
    return `previous terminated container "${this.container}" in pod "${this.pod}" not found`
  }
}

/** The user has as many log streams open as they may. */
export class TooManyStreams extends Schema.TaggedError<TooManyStreams>()(
  "TooManyStreams",
  { limit: Schema.Int },
  { httpApiStatus: 429 }
) {
  override get message() {
    return `no more than ${this.limit} log streams at a time`
  }
}

/** `line`: one line; `end`: no more will come, and why. Fits `eventStream` of #shared/http.ts. */
export type LogEvent =
  | {
      readonly event: "line"
      readonly id: string
      /** `at`: when it was written (RFC 3339), null where the runtime does not tell. */
      readonly data: { readonly at: string | null; readonly text: string }
    }
  | {
      readonly event: "end"
      readonly id: string
      readonly data: { readonly reason: "complete" | "expired" | "failed"; readonly detail: string }
    }

export interface LogRequest {
  readonly namespace: string
  readonly pod: string
  readonly query: LogQuery
  /** Whose streams are counted. */
  readonly userId: string
  /** Milliseconds since the epoch when the caller's proof of identity ends, and with it the stream. */
  readonly until?: number
}

export interface LogsOptions {
  /** Streams one user may have open, 10 unless told. */
  readonly maxStreams?: number
}

export class Logs extends Context.Service<
  Logs,
  {
    /** The stream is counted from its first pull to its end. Every refusal comes before its first event, as a status. */
    readonly open: (
      request: LogRequest
    ) => Effect.Effect<Stream.Stream<LogEvent>, InvalidInput | PodNotFound | NoPrevious | TooManyStreams | Upstream>
  }
>()("gatehouse/admin/Logs") {
  static readonly layer = (options: LogsOptions = {}) =>
    Layer.effect(
      Logs,
      Effect.suspend(() => makeLogs(options))
    )
}

/** Lines from the end unless the caller says otherwise, and at most. */
const defaultTail = 500
const maxTail = 10_000
const maxSeconds = 604_800
/** Characters of a line; what is longer is cut. */
const maxLine = 65_536

const open = Metric.gauge("gatehouse_admin_log_streams", { description: "Log streams that are open now." })

const isName = Schema.is(ObjectName)
/** A container's name is an RFC 1123 label, as a namespace's is. */
const isLabel = Schema.is(NamespaceName)

/** The digits of a whole number within bounds, or undefined. */
const wholeNumber = (text: string, minimum: number, maximum: number): number | undefined => {
  const number = Number(text)
  return /^\d{1,7}$/u.test(text) && number >= minimum && number <= maximum ? number : undefined
}

type Wanted = Omit<LogOptions, "container"> & { readonly container: string | undefined }

/** All faults of the request at once, or what to ask for. Nothing of it goes into a path before it is known to be a name. */
const wantedOf = ({ namespace, pod, query }: LogRequest): Wanted | InvalidInput => {
  const { container, follow, previous, sinceSeconds, tailLines } = query
  const tail = tailLines === undefined ? defaultTail : wholeNumber(tailLines, 0, maxTail)
  const since = sinceSeconds === undefined ? undefined : wholeNumber(sinceSeconds, 1, maxSeconds)
  const faults = [
    ...(isLabel(namespace) ? [] : [{ pointer: "/namespace", detail: "expected an RFC 1123 label" }]),
    ...(isName(pod) ? [] : [{ pointer: "/pod", detail: "expected an RFC 1123 subdomain" }]),
    ...(container === undefined || isLabel(container)
      ? []
      : [{ pointer: "/query/container", detail: "expected an RFC 1123 label" }]),
    ...(tail === undefined
      ? [{ pointer: "/query/tailLines", detail: `expected a whole number from 0 to ${maxTail}` }]
      : []),
    ...(sinceSeconds !== undefined && since === undefined
      ? [{ pointer: "/query/sinceSeconds", detail: `expected a whole number from 1 to ${maxSeconds}` }]
      : [])
  ]
  if (faults.length > 0 || tail === undefined) return new InvalidInput({ errors: faults })
  return {
    namespace,
    pod,
    container,
    timestamps: true,
    tailLines: tail,
    ...(since === undefined ? {} : { sinceSeconds: since }),
    // What has ended cannot be followed.
    ...(previous === "true" ? { previous: true } : follow === "true" ? { follow: true } : {})
  }
}

/** kubectl's choice where none is named. */
const defaultContainer = (pod: KubernetesObject): string | undefined =>
  pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"] ??
  containersOf(pod).find(({ init }) => !init)?.name

const stamped = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) ?(.*)$/su

const lineOf = (line: string): { readonly at: string | null; readonly text: string } => {
  const [, at, text] = stamped.exec(line) ?? []
  const shown = maskText(text ?? line)
  return { at: at ?? null, text: shown.length > maxLine ? `${shown.slice(0, maxLine)}…` : shown }
}

const makeLogs = Effect.fnUntraced(function* ({ maxStreams = 10 }: LogsOptions) {
  const kubernetes = yield* Kubernetes
  const streams = new Map<string, number>()
  const countOf = (userId: string) => streams.get(userId) ?? 0
  const total = () => [...streams.values()].reduce((sum, count) => sum + count, 0)
  const tooMany = new TooManyStreams({ limit: maxStreams })

  const add = (userId: string, by: 1 | -1) =>
    Effect.suspend(() => {
      const count = countOf(userId) + by
      if (count === 0) streams.delete(userId)
      else streams.set(userId, count)
      return Metric.update(open, total())
    })

  /** A place among the user's streams, or a failure where others have come first since `open` looked. */
  const place = (userId: string) =>
    Effect.acquireRelease(
      Effect.suspend(() => (countOf(userId) >= maxStreams ? Effect.fail(tooMany) : add(userId, 1))),
      () => add(userId, -1)
    )

  const podOf = (wanted: Wanted) =>
    kubernetes
      .get({ resource: resources.Pod, namespace: wanted.namespace, name: wanted.pod })
      .pipe(
        Effect.mapError((failed) =>
          failed.reason === "not_found" ? new PodNotFound({ pod: wanted.pod, container: null }) : upstreamOf(failed)
        )
      )

  /** Numbered lines, and at the end why it is one. */
  const eventsOf = (options: LogOptions, userId: string, until: number | undefined): Stream.Stream<LogEvent> => {
    let number = 0
    let end: (LogEvent & { event: "end" })["data"] = { reason: "complete", detail: "" }
    const failed = (failure: KubernetesFailed | TooManyStreams) => {
      end = {
        reason: "failed",
        detail: failure._tag === "TooManyStreams" ? failure.message : maskText(failure.detail)
      }
      return Stream.empty
    }
    const expiry = Effect.gen(function* () {
      if (until === undefined) return yield* Effect.never
      yield* Effect.sleep(Math.max(0, until - (yield* Clock.currentTimeMillis)))
      end = { reason: "expired", detail: "the login has ended" }
    })
    const lines = Stream.unwrap(Effect.as(place(userId), kubernetes.logs(options))).pipe(
      Stream.map((line): LogEvent => ({ event: "line", id: String(++number), data: lineOf(line) })),
      Stream.interruptWhen(expiry),
      Stream.catch(failed)
    )
    return Stream.concat(
      lines,
      Stream.suspend(() => Stream.make<[LogEvent]>({ event: "end", id: String(++number), data: end }))
    )
  }

  return Logs.of({
    open: Effect.fn("Logs.open")(function* (request: LogRequest) {
      const wanted = wantedOf(request)
      if (wanted instanceof InvalidInput) return yield* wanted
      if (countOf(request.userId) >= maxStreams) return yield* tooMany
      const pod = yield* podOf(wanted)
      const name = wanted.container ?? defaultContainer(pod) ?? null
      const container = containersOf(pod).find((one) => one.name === name)
      if (container === undefined) return yield* new PodNotFound({ pod: wanted.pod, container: name })
      if (wanted.previous === true && container.lastExit === null) {
        return yield* new NoPrevious({ pod: wanted.pod, container: container.name })
      }
      return eventsOf({ ...wanted, container: container.name }, request.userId, request.until)
    })
  })
})
