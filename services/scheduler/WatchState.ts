/** What the health watch says of itself to `GET /jobs/health`; off until a watch takes it over. */
import { Context, Effect, Layer } from "effect"
import type { WatchHealth } from "#shared/api/scheduler.ts"

/** The part of the answer that is the watch's. */
export type WatchPart = Omit<WatchHealth, "queue">

const off: WatchPart = { watch: { state: "off", since: null }, workloads: 0, pods: 0, openIncidents: 0 }

export class WatchState extends Context.Service<
  WatchState,
  {
    readonly current: Effect.Effect<WatchPart>
  }
>()("gatehouse/scheduler/WatchState") {
  /** Nobody watches. */
  static readonly off = Layer.succeed(WatchState, { current: Effect.succeed(off) })
}
