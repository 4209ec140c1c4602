/** What a proposal shows of a crash, from logs that are sometimes not there. */
import { describe, expect, test } from "bun:test"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { EvidenceCollector } from "#scheduler/health/EvidenceCollector.ts"
import { Kubernetes, KubernetesFailed, type LogOptions } from "#shared/kubernetes/Kubernetes.ts"
import { makeIncident } from "./cluster.ts"

const refused = new KubernetesFailed({
  reason: "invalid",
  status: 400,
  detail: "previous terminated container not found",
  causes: [],
  retryAfterSeconds: null,
  sent: true
})
const removed = "unable to retrieve container logs for containerd://2f1c"

/** The log of the evidence, where each look at a log answers by `answer`; the clock is moved as far as it asks. */
const previousLog = (answer: (options: LogOptions, look: number) => ReadonlyArray<string> | KubernetesFailed) => {
  let looks = 0
  const logs = (options: LogOptions) => {
    const given = answer(options, looks++)
    return given instanceof KubernetesFailed ? Stream.fail(given) : Stream.fromIterable(given)
  }
  const kubernetes = Layer.mock(Kubernetes)({
    logs,
    list: () => Effect.succeed({ items: [], resourceVersion: "1" }),
    description: "a stub"
  })
  return Effect.runPromise(
    Effect.gen(function* () {
      const collecting = yield* Effect.forkChild((yield* EvidenceCollector).collect(makeIncident(), undefined, null))
      yield* TestClock.adjust("1 minute")
      return (yield* Fiber.join(collecting)).previousLog
    }).pipe(Effect.provide(EvidenceCollector.layer.pipe(Layer.provide(kubernetes))), Effect.provide(TestClock.layer()))
  )
}

describe("the log of a crash", () => {
  test("is the crashed instance's", async () => {
    expect(await previousLog(({ previous }) => (previous === true ? ["fatal"] : ["starting"]))).toEqual(["fatal"])
  })

  test("is the running instance's where there is no other", async () => {
    expect(await previousLog(({ previous }) => (previous === true ? refused : ["starting"]))).toEqual(["starting"])
  })

  test("is asked for again when the kubelet has just removed it", async () => {
    expect(await previousLog((_, look) => (look < 2 ? [removed] : ["fatal"]))).toEqual(["fatal"])
  })

  test("is asked for again when the next instance has said nothing yet", async () => {
    expect(
      await previousLog(({ previous }, look) => (previous === true && look < 2 ? refused : look < 2 ? [] : ["fatal"]))
    ).toEqual(["fatal"])
  })

  test("is empty, and the rest is told, where it never comes", async () => {
    expect(await previousLog(() => [removed])).toEqual([])
    expect(await previousLog(() => refused)).toEqual([])
  })
})
