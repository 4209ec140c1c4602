/** The watchman's rounds: judges what is seen, keeps the incidents, and hands each to its remedy. Must not act on the cluster and conclude nothing from an old picture. */
import { Clock, Context, Duration, Effect, Layer, Schedule } from "effect"
import type { Unavailable } from "#shared/domain/errors.ts"
import type { WatchPart } from "#scheduler/WatchState.ts"
import { clusterWide } from "./clusterWide.ts"
import type { Boot } from "./facts.ts"
import { type IncidentRow, IncidentStore } from "./IncidentStore.ts"
import { type Finding, makeJudge, type Verdict } from "./judge.ts"
import type { Thresholds } from "./thresholds.ts"
import { Watch } from "./Watch.ts"

/** What follows from an incident, told in the order of the rounds. */
export interface Follower {
  /** The incident needs a remedy: asked again and again until it has ended, so it must bear repetition. */
  readonly pursue: (incidentId: string) => Effect.Effect<void, Unavailable>
  readonly changed: (incident: IncidentRow) => Effect.Effect<void>
}

export class Watchman extends Context.Service<
  Watchman,
  {
    /** One round, now. Rounds also happen by themselves. */
    readonly round: Effect.Effect<void, Unavailable>
    readonly state: Effect.Effect<WatchPart>
  }
>()("gatehouse/scheduler/Watchman") {
  static readonly layer = (thresholds: Thresholds, follower: Effect.Effect<Follower>) =>
    Layer.effect(Watchman, makeWatchman(thresholds, follower))
}

/** A new revision that fails by itself, not by what surrounds it, is never gone back to. */
const ownFault: ReadonlySet<Finding["class"]> = new Set(["crash_loop", "oom_loop", "config_error", "image_pull"])

/** Rounds after which every open incident is handed on again. */
const pursuedEvery = 12

/** Remedies in which nothing more happens by itself. */
const ended: ReadonlySet<IncidentRow["remedy"]> = new Set(["rejected", "expired", "verified", "ineffective", "failed"])

const makeWatchman = (thresholds: Thresholds, makeFollower: Effect.Effect<Follower>) =>
  Effect.gen(function* () {
    const watch = yield* Watch
    const store = yield* IncidentStore
    const follower = yield* makeFollower
    const boots = new Map<string, Boot>()
    const keptBoots = new Map<string, Boot>()
    let bootsRead = false
    const judge = makeJudge(thresholds, boots)
    /** Revisions written down as good already. */
    const known = new Map<string, number>()
    let openIncidents = 0
    let rounds = 0

    const whyOver = (incident: IncidentRow, { calm, exempt }: Verdict, now: number) => {
      if (incident.kind === "Cluster") return "most workloads are well again"
      if (incident.kind === "Node") return "the node is well again"
      if (watch.workload(incident.uid) === undefined) return "the workload is gone"
      // The pods that failed may have gone, and those that are left have been well all the time.
      const quiet = now - incident.lastSeenAt >= thresholds.resolve
      if (quiet && calm.has(incident.uid)) return "all pods are Ready and none restarted"
      const reason = exempt.get(incident.uid)
      return reason === "it is scaled to zero" || reason === "it is being deleted" ? reason : undefined
    }

    const round = Effect.gen(function* () {
      const view = watch.view()
      if (view === undefined) return
      const now = yield* Clock.currentTimeMillis
      if (!bootsRead) {
        for (const [node, boot] of yield* store.boots) {
          boots.set(node, boot)
          keptBoots.set(node, boot)
        }
        bootsRead = true
      }
      const verdict = judge(view, now)
      for (const [node, boot] of boots) {
        if (keptBoots.get(node)?.bootId === boot.bootId) continue
        yield* store.noteBoot(node, boot)
        keptBoots.set(node, boot)
      }
      const proven = new Map(verdict.good.entries().filter(([uid, { revision }]) => known.get(uid) !== revision))
      yield* store.markGood(proven)
      for (const [uid, { revision }] of proven) known.set(uid, revision)

      const seen = new Set<string>()
      const take = Effect.fnUntraced(function* (finding: Finding) {
        const { incident, news } = yield* store.observe(finding, thresholds.reopen)
        seen.add(incident.id)
        if (news === "seen") return undefined
        if (ownFault.has(finding.class) && finding.revisionUid !== null && finding.revision !== null) {
          const proved = (yield* store.healthOf(finding.uid)).some(
            ({ good, revisionUid }) => good && revisionUid === finding.revisionUid
          )
          if (!proved) yield* store.markBad(finding.revisionUid, finding.uid, finding.revision)
        }
        return incident
      })
      const news = yield* Effect.forEach(verdict.findings, take)
      const before = yield* store.open
      const standing = before.some((incident) => incident.class === "cluster_wide")
      const common = clusterWide(view, yield* store.spread, standing, now)
      if (common !== undefined) news.push(yield* take(common))
      // Only now: whoever follows one of many must see that they are many.
      for (const incident of news) {
        if (incident === undefined) continue
        yield* follower.changed(incident)
        yield* follower.pursue(incident.id)
      }
      const open = common === undefined ? before : yield* store.open
      openIncidents = open.length
      for (const incident of open) {
        const reason = seen.has(incident.id) ? undefined : whyOver(incident, verdict, now)
        if (reason !== undefined && (yield* store.resolve(incident.id, reason))) {
          openIncidents -= 1
          const resolved = yield* store.get(incident.id)
          if (resolved !== undefined) yield* follower.changed(resolved)
        }
        // Whoever was to follow it may have been killed before it was told, or have ended just as it opened again.
        if (rounds % pursuedEvery === 0 && !ended.has(incident.remedy)) yield* follower.pursue(incident.id)
      }
      rounds += 1
    })

    yield* round.pipe(
      Effect.catch((error) => Effect.logWarning(`incidents cannot be kept now: ${error.message}`)),
      // A bug in one round must not blind the next.
      Effect.catchDefect((defect) => Effect.logError("a round of the watchman failed", defect)),
      Effect.repeat(Schedule.spaced(Duration.millis(thresholds.interval))),
      Effect.forkScoped
    )

    return Watchman.of({
      round,
      state: Effect.sync(() => {
        const since = watch.staleSince()
        return {
          watch:
            since === undefined
              ? { state: "live" as const, since: null }
              : { state: "stale" as const, since: new Date(since).toISOString() },
          ...watch.counts(),
          openIncidents
        }
      })
    })
  })
