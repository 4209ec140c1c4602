/** What the data path counts: requests by route and outcome, and how long they took; must cost next to nothing per request. */
import { Context, Metric } from "effect"

const requests = (route: string, method: string, status: string) =>
  Metric.counter("gateway_requests_total", {
    description: "Requests by route, method and status class",
    incremental: true,
    attributes: { route, method, status }
  })
const durations = (route: string) =>
  Metric.histogram("gateway_request_seconds", {
    description: "Seconds from the request's head to the answer's head, by route",
    boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    attributes: { route }
  })

/** Records one answer; `started` as of performance.now(). */
export type Measure = (route: string, method: string, status: number, started: number) => void

const known = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

/** The counters of each label set are looked up once. Route ids come from configuration, so the set is bounded. */
export const makeMeasure = (context: Context.Context<never>): Measure => {
  const counters = new Map<string, Metric.Counter<number>>()
  const histograms = new Map<string, Metric.Histogram<number>>()
  return (route, method, status, started) => {
    const verb = known.has(method) ? method : "other"
    const outcome = `${Math.floor(status / 100)}xx`
    const key = `${route} ${verb} ${outcome}`
    let counter = counters.get(key)
    if (counter === undefined) {
      counter = requests(route, verb, outcome)
      counters.set(key, counter)
    }
    let histogram = histograms.get(route)
    if (histogram === undefined) {
      histogram = durations(route)
      histograms.set(route, histogram)
    }
    counter.updateUnsafe(1, context)
    histogram.updateUnsafe((performance.now() - started) / 1000, context)
  }
}
