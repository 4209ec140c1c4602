/** Watch answers of the simulated API server: initial state, changes, bookmarks, their end in time; must change nothing. */
import { apiVersionOf } from "../objects.ts"
import type { Kind } from "./kinds.ts"
import { expired, Refusal, statusOf } from "./refusal.ts"
import type { Matches } from "./selectors.ts"
import type { Change, Store } from "./store.ts"
import type { Timeline } from "./timeline.ts"
import type { Fields } from "./values.ts"

const bookmarkSeconds = 60
const longestSeconds = 1800

export interface WatchRequest {
  readonly kind: Kind
  readonly namespace: string | undefined
  readonly matches: Matches
  readonly resourceVersion: string
  readonly timeoutSeconds: number | undefined
  readonly bookmarks: boolean
  /** `sendInitialEvents`: the state first, then a bookmark that says so. */
  readonly initialEvents: boolean
  /** How objects are shown: as they are, or as rows of a Table. */
  readonly shown: (object: Fields) => Fields
}

export interface Watches {
  readonly open: (request: WatchRequest) => Response
  /** Ends all of them, as a restart of the server does; `abruptly` in the middle of a line. */
  readonly cut: (abruptly: boolean) => void
  readonly count: () => number
}

/** What a change is to a watch whose selector the object may have entered or left. */
const seen = (change: Change, matches: Matches): Change["type"] | undefined => {
  const now = change.type !== "DELETED" && matches(change.object)
  const before = change.before !== undefined && matches(change.before)
  if (now) return before ? "MODIFIED" : "ADDED"
  return before ? "DELETED" : undefined
}

export const makeWatches = (store: Store, timeline: Timeline): Watches => {
  const encoder = new TextEncoder()
  const running = new Set<(abruptly: boolean) => void>()
  let order = 0

  const open = (request: WatchRequest): Response => {
    const { kind, matches, namespace } = request
    const id = `watch/${++order}`
    const concerns = (object: Fields) =>
      namespace === undefined || (object["metadata"] as Fields)["namespace"] === namespace
    let unsubscribe = () => {}
    const end = () => {
      unsubscribe()
      running.delete(cut)
      timeline.cancel(`${id}/end`)
      timeline.cancel(`${id}/bookmark`)
    }
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    const cut = (abruptly: boolean) => {
      end()
      try {
        if (abruptly) controller?.error(new Error("the connection was cut"))
        else controller?.close()
      } catch {
        // The reader has gone already.
      }
    }
    const send = (type: string, object: Fields) => {
      try {
        controller?.enqueue(encoder.encode(`${JSON.stringify({ type, object })}\n`))
      } catch {
        end()
      }
    }
    const bookmark = (annotations?: Fields) =>
      send("BOOKMARK", {
        apiVersion: apiVersionOf(kind),
        kind: kind.kind,
        metadata: { resourceVersion: String(store.version()), ...(annotations === undefined ? {} : { annotations }) }
      })
    const tell = (change: Change) => {
      if (change.kind !== kind || !concerns(change.object)) return
      const type = seen(change, matches)
      if (type !== undefined) send(type, request.shown(change.object))
    }
    const start = () => {
      const from = request.resourceVersion
      const version = Number(from)
      if (from === "" || from === "0" || request.initialEvents) {
        for (const object of store.all(kind, namespace)) if (matches(object)) send("ADDED", request.shown(object))
        if (request.initialEvents) bookmark({ "k8s.io/initial-events-end": "true" })
      } else {
        const missed = Number.isInteger(version) ? store.since(version) : undefined
        if (missed === undefined) {
          send("ERROR", statusOf(expired(`too old resource version: ${from} (${store.version()})`)))
          cut(false)
          return
        }
        missed.forEach(tell)
      }
      unsubscribe = store.subscribe(tell)
      running.add(cut)
      timeline.afterReal(`${id}/end`, Math.min(request.timeoutSeconds ?? longestSeconds, longestSeconds), () =>
        cut(false)
      )
      if (!request.bookmarks) return
      const next = () =>
        timeline.afterReal(`${id}/bookmark`, bookmarkSeconds, () => {
          bookmark()
          next()
        })
      next()
    }
    const body = new ReadableStream<Uint8Array>({
      start: (made) => {
        controller = made
        // White space between JSON values; without a first byte, a listener may hold the head of the answer back.
        made.enqueue(encoder.encode("\n"))
        start()
      },
      cancel: end
    })
    return new Response(body, { headers: { "content-type": "application/json" } })
  }
  return {
    open,
    cut: (abruptly) => {
      for (const one of running) one(abruptly)
    },
    count: () => running.size
  }
}

/** Whether a thrown value is a Refusal; anything else is a defect of the simulation. */
export const isRefusal = (error: unknown): error is Refusal => error instanceof Refusal
