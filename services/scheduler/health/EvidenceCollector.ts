/** Gathers what a person needs to decide: the previous container's last lines, events, what changed since the last good revision. Must change nothing. */
import { Context, Effect, Layer, Option, Schedule, Schema, Stream } from "effect"
import type { Evidence } from "#shared/api/admin.ts"
import { changesBetween } from "#shared/kubernetes/changes.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { resources } from "#shared/kubernetes/objects.ts"
import { asReleased } from "#shared/kubernetes/templates.ts"
import { redact } from "#shared/telemetry.ts"
import type { IncidentRow } from "./IncidentStore.ts"
import type { WorkloadView } from "./view.ts"

const lines = 50
const longestLine = 4000

/** Text as admin takes it: what crashes may write NUL, and a cut may halve a character; neither may keep a proposal back. */
const sendable = (text: string, longest: number): string =>
  text.replaceAll("\0", "\uFFFD").slice(0, longest).toWellFormed()

const EventShape = Schema.Struct({
  reason: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String),
  count: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  lastTimestamp: Schema.optionalKey(Schema.NullOr(Schema.String)),
  eventTime: Schema.optionalKey(Schema.NullOr(Schema.String)),
  metadata: Schema.Struct({ creationTimestamp: Schema.optionalKey(Schema.NullOr(Schema.String)) })
})
const decodeEvent = Schema.decodeUnknownOption(EventShape)

/** The kubelet's own line in place of a log it has no more, with status 200 (kuberuntime's GetContainerLogs). */
const removed = /^unable to retrieve container logs for \S+$/u

/** A log in which the container itself said something; fails with what was there instead. */
const said = <E>(log: Effect.Effect<ReadonlyArray<string>, E>) =>
  Effect.filterOrFail(
    Effect.map(log, (all) => all.filter((line) => !removed.test(line))),
    (all) => all.some((line) => line.trim() !== ""),
    () => "the log is empty"
  )

const soonAgain = { times: 3, schedule: Schedule.spaced("1 second") }

export class EvidenceCollector extends Context.Service<
  EvidenceCollector,
  {
    /** What can be had now: a log or an event that cannot be read is left out, and the rest still helps. */
    readonly collect: (
      incident: IncidentRow,
      view: WorkloadView | undefined,
      lastGoodRevision: number | null
    ) => Effect.Effect<Evidence>
  }
>()("gatehouse/scheduler/EvidenceCollector") {
  static readonly layer = Layer.effect(
    EvidenceCollector,
    Effect.suspend(() => makeCollector)
  )
}

const makeCollector = Effect.gen(function* () {
  const kubernetes = yield* Kubernetes

  const logOf = (namespace: string, pod: string, container: string, previous: boolean) =>
    kubernetes.logs({ namespace, pod, container, previous, tailLines: lines, limitBytes: 256 * 1024 }).pipe(
      Stream.take(lines),
      // A program's log may say what no reader of a proposal needs.
      Stream.map((line) => redact(sendable(line, longestLine))),
      Stream.runCollect,
      Effect.timeout("10 seconds")
    )

  /**
   * The crashed instance's own words; the running one's where there is no other. Asked again for a moment: a container
   * that was just replaced has no log yet, or one that the kubelet has removed already.
   */
  const log = ({ container, namespace, pod }: IncidentRow): Effect.Effect<ReadonlyArray<string>> =>
    pod === null || container === null
      ? Effect.succeed([])
      : said(logOf(namespace, pod, container, true)).pipe(
          Effect.catch(() => said(logOf(namespace, pod, container, false))),
          Effect.retry(soonAgain),
          Effect.catch((error) => Effect.as(Effect.logDebug("a log cannot be read", error), []))
        )

  const events = ({ name, namespace, pod }: IncidentRow) =>
    kubernetes
      .list({
        resource: resources.Event,
        namespace,
        fieldSelector: `involvedObject.name=${pod ?? name}`
      })
      .pipe(
        Effect.map(({ items }) =>
          items
            .flatMap((item) => Option.toArray(decodeEvent(item)))
            .map((event) => ({
              at: event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? null,
              reason: sendable(event.reason ?? "", 253),
              message: sendable(event.message ?? "", 2000),
              count: event.count ?? 1
            }))
            .toSorted((a, b) => (a.at ?? "").localeCompare(b.at ?? ""))
            .slice(-lines)
        ),
        Effect.catch((error) => Effect.as(Effect.logDebug("events cannot be read", error), []))
      )

  return EvidenceCollector.of({
    collect: Effect.fn("EvidenceCollector.collect")(function* (incident, view, lastGoodRevision) {
      const [previousLog, seen] = yield* Effect.all([log(incident), events(incident)], { concurrency: 2 })
      const templateOf = (revision: number | null) =>
        view?.revisions.find((one) => one.revision.revision === revision)?.revision.template
      const good = templateOf(lastGoodRevision)
      const bad = templateOf(incident.revision)
      const evidence: Evidence = {
        class: incident.class,
        container: incident.container,
        exitCode: incident.exitCode,
        reason: incident.reason,
        restarts: incident.restarts,
        podCount: incident.podCount,
        firstSeenAt: new Date(incident.firstSeenAt).toISOString(),
        previousLog,
        events: seen,
        revision: incident.revision,
        lastGoodRevision,
        changes:
          good === undefined || bad === undefined ? [] : changesBetween(asReleased(bad), asReleased(good)).slice(0, 200)
      }
      return evidence
    })
  })
})
