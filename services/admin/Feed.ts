/** The live feed behind GET /admin/stream: one numbered journal of changes, replayed and followed by any number of clients; must hold back for no client. */
import { Context, type Effect, type Stream } from "effect"
import type { Action, AdminEvent, Proposal } from "#shared/api/admin.ts"

/** What others say on the feed. */
export type Published =
  | { readonly event: "proposal"; readonly data: Proposal }
  | { readonly event: "action"; readonly data: Action }

/** Also `heartbeat`, at least every five seconds, and `overflow`, after which a client that is too slow is dropped. */
export type FeedEvent =
  | AdminEvent
  | { readonly event: "heartbeat"; readonly data: { readonly at: string } }
  | { readonly event: "overflow"; readonly data: { readonly reason: string } }

/** Fits `eventStream` of #shared/http.ts. */
export type Numbered = FeedEvent & { readonly id: string }

/** What a snapshot shows beside the workloads: newest first, bounded; the actions' and proposals' store provides it. */
export class Recent extends Context.Service<
  Recent,
  {
    /** Never fails: empty while the database is away. */
    readonly of: (
      namespaces: ReadonlyArray<string>
    ) => Effect.Effect<{ readonly proposals: ReadonlyArray<Proposal>; readonly actions: ReadonlyArray<Action> }>
  }
>()("gatehouse/admin/Recent") {}

export interface FeedRequest {
  /** Those the caller may read: nothing of another is sent. */
  readonly namespaces: ReadonlyArray<string>
  /** The client's `Last-Event-ID`, null at a first connection. */
  readonly lastEventId: string | null
  /** Milliseconds since the epoch when the caller's proof of identity ends, and with it the stream. */
  readonly until?: number
}

export class Feed extends Context.Service<
  Feed,
  {
    /** Puts an event on the feed; of an action, the workload it was about is told again. */
    readonly publish: (event: Published) => Effect.Effect<void>
    readonly open: (request: FeedRequest) => Stream.Stream<Numbered>
  }
>()("gatehouse/admin/Feed") {}
