/** The endless watch: list, follow, resume by bookmark, relist on 410 and now and then; must not end, fail or interpret objects. */
import { Clock, Effect, Option, Queue, Random, Schema, Stream } from "effect"
import { failureOfEvent, formatFailed, parsed, unreachable } from "./failures.ts"
import type { KubernetesFailed, Selection, WatchEvent } from "./Kubernetes.ts"
import type { KubernetesList, KubernetesObject } from "./objects.ts"
import { collectionPath } from "./paths.ts"
import { type Connection, lines, open } from "./transport.ts"

export interface WatchTiming {
  /** A relist replaces everything at least this often. */
  readonly resyncSeconds: number
  /** Silence after which the connection counts as lost; beyond the server's own end of a watch. */
  readonly idleSeconds: number
  /** The first pause after a failed attempt, doubled up to `maxBackoffSeconds`. */
  readonly backoffSeconds: number
  readonly maxBackoffSeconds: number
}

export const watchTiming: WatchTiming = {
  resyncSeconds: 1800,
  idleSeconds: 330,
  backoffSeconds: 1,
  maxBackoffSeconds: 30
}

/** A connection that ended sooner counts as an attempt, and attempts in a row wait for each other. */
const briefMillis = 10_000
const maxEventCharacters = 16 * 1024 * 1024

const isObject = Schema.is(
  Schema.Struct({
    apiVersion: Schema.String,
    kind: Schema.String,
    metadata: Schema.Struct({ resourceVersion: Schema.String })
  })
)
const decodeEvent = Schema.decodeUnknownOption(
  Schema.Struct({
    type: Schema.Literals(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
    object: Schema.Unknown
  })
)

/** Whether a decoded value is an object with a place in the history. */
const isVersioned = (value: unknown): value is KubernetesObject & { metadata: { resourceVersion: string } } =>
  isObject(value)

interface Position {
  version: string | undefined
  listedAt: number
  /** Attempts since the server was last heard that have failed. */
  lost: number
  /** When the first of them failed. */
  lostAt: number
}

/** Follows one connection until it ends; `position` is kept so that the next one goes on from there. */
const follow = (
  connection: Connection,
  selection: Selection,
  position: Position,
  timing: WatchTiming,
  emit: (event: WatchEvent) => Effect.Effect<unknown>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const path = yield* collectionPath(selection)
      const seconds = yield* Random.nextIntBetween(240, 301)
      const bytes = yield* open(connection, {
        method: "GET",
        path,
        query: {
          watch: "true",
          allowWatchBookmarks: "true",
          timeoutSeconds: String(seconds),
          resourceVersion: position.version,
          labelSelector: selection.labelSelector,
          fieldSelector: selection.fieldSelector
        }
      })
      const one = Effect.fnUntraced(function* (line: string) {
        if (line === "") return
        const event = Option.getOrUndefined(decodeEvent(parsed(line)))
        if (event === undefined) return yield* formatFailed("a line of a watch is no event")
        if (event.type === "ERROR") return yield* failureOfEvent(event.object)
        if (!isVersioned(event.object)) return yield* formatFailed("a watch event without an object")
        position.version = event.object.metadata.resourceVersion
        position.lost = 0
        if (event.type !== "BOOKMARK") yield* emit({ _tag: "Changed", type: event.type, object: event.object })
      })
      yield* bytes.pipe(
        Stream.timeoutOrElse({
          duration: `${timing.idleSeconds} seconds`,
          orElse: () => Stream.fail(unreachable(`nothing heard for ${timing.idleSeconds} s`, true))
        }),
        lines(maxEventCharacters),
        Stream.runForEach(one)
      )
    })
  )

/** `list` gives the whole selection. */
export const watch = (
  connection: Connection,
  selection: Selection,
  list: Effect.Effect<KubernetesList, KubernetesFailed>,
  timing: WatchTiming = watchTiming
): Stream.Stream<WatchEvent> =>
  Stream.callback<WatchEvent>(
    (queue) =>
      Effect.gen(function* () {
        const emit = (event: WatchEvent) => Queue.offer(queue, event)
        const position: Position = { version: undefined, listedAt: 0, lost: 0, lostAt: 0 }
        /** Connections in a row that lived for a moment only, however they ended. */
        let brief = 0
        const round = Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          if (now - position.listedAt > timing.resyncSeconds * 1000) position.version = undefined
          if (position.version === undefined) {
            const found = yield* list
            position.version = found.resourceVersion
            position.listedAt = now
            position.lost = 0
            yield* emit({ _tag: "Synced", list: found })
          }
          yield* follow(connection, selection, position, timing, emit)
        })
        while (true) {
          const started = yield* Clock.currentTimeMillis
          const result = yield* Effect.result(round)
          const ended = yield* Clock.currentTimeMillis
          brief = ended - started >= briefMillis ? 1 : brief + 1
          if (result._tag === "Success") {
            position.lost = 0
          } else if (result.failure.reason === "gone") {
            position.version = undefined
          } else {
            if (position.lost === 0) position.lostAt = ended
            position.lost += 1
            if (position.lost > 1) {
              yield* emit({ _tag: "Stale", since: position.lostAt, failure: result.failure })
              // Whoever was told must hear when it is over, even if nothing has changed.
              position.version = undefined
            }
          }
          // A connection that has lived is followed by another at once.
          if (brief > 1) {
            const longest = Math.min(timing.maxBackoffSeconds, timing.backoffSeconds * 2 ** Math.min(brief - 2, 16))
            yield* Effect.sleep(`${Math.ceil(longest * 1000 * (0.5 + (yield* Random.next) / 2))} millis`)
          }
        }
      }),
    { bufferSize: 1024, strategy: "suspend" }
  )
