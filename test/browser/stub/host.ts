/** `/monitor/*` from memory: one host whose time moves when the test says so. */
import type { HistoryMetric, HostSnapshot } from "#shared/api/monitor.ts"
import { problemOf, problemResponse } from "#shared/problem.ts"
import { historyOf, snapshotAt } from "../demoHost.ts"
import { notFound } from "./answers.ts"
import { makeStreams, makeWaiting } from "./streams.ts"

export const makeHost = () => {
  /** Every request that asks for history, by its query. */
  const histories: Array<URLSearchParams> = []
  const { changed, until } = makeWaiting()
  const state = {
    /** What the stream and the snapshot answer instead: 503 as when the monitor is away. */
    monitorStatus: 200,
    hole: undefined as readonly [number, number] | undefined,
    at: Math.floor(Date.now() / 1000)
  }
  const streams = makeStreams(() => [{ event: "host", data: snapshotAt(state.at) }])

  const answer = (request: Request, url: URL): Response => {
    if (state.monitorStatus !== 200) return problemResponse(problemOf(state.monitorStatus, "upstream_unready"))
    const query = url.searchParams
    switch (url.pathname) {
      case "/monitor/stream":
        // The monitor knows no resuming: each connection begins with the present.
        return streams.answer(new Request(request.url))
      case "/monitor/host":
        return Response.json(snapshotAt(state.at))
      case "/monitor/history":
        histories.push(query)
        changed()
        return Response.json(
          historyOf(
            {
              metric: query.get("metric") as HistoryMetric,
              from: Math.floor(Date.parse(query.get("from")!) / 1000),
              to: state.at,
              step: Number(query.get("step") ?? 10),
              agg: query.get("agg") === "max" ? "max" : "avg"
            },
            state.hole
          )
        )
      default:
        return notFound()
    }
  }

  return {
    state,
    streams,
    histories,
    answer,
    /** Resolves when history was asked that often, by questions that match. */
    untilHistory: (count: number, matches: (query: URLSearchParams) => boolean = () => true) =>
      until(() => histories.filter(matches).length >= count),
    /** Sends the next snapshot, `seconds` after the last one. */
    tick: (seconds = 2, change: (snapshot: HostSnapshot) => HostSnapshot = (snapshot) => snapshot) => {
      state.at += seconds
      streams.tell("host", change(snapshotAt(state.at)))
    }
  }
}
