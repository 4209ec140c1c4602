/** Carries one incident from finding to verification, a step at a time: decide, propose, wait for the decision and the action, verify. Each step may be killed and done again. Must change nothing in the cluster. */
import { Clock, Context, Effect, Layer } from "effect"
import type { Action, Actor, Proposal } from "#shared/api/admin.ts"
import type { RemedyState } from "#shared/api/scheduler.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { AdminApi, type AdminAway, type AdminRefused } from "./AdminApi.ts"
import { EvidenceCollector } from "./EvidenceCollector.ts"
import { type IncidentRow, IncidentStore } from "./IncidentStore.ts"
import { exemption } from "./judge.ts"
import { decide } from "./remedy.ts"
import { restartsOf } from "./symptoms.ts"
import type { Thresholds } from "./thresholds.ts"
import type { WorkloadView } from "./view.ts"
import { Watch } from "./Watch.ts"

/** What follows a step: nothing more, or another look after so many milliseconds. */
export type Next =
  | { readonly _tag: "Over" }
  | { readonly _tag: "Again"; readonly afterMs: number; readonly note: string }

const over: Next = { _tag: "Over" }
const again = (afterMs: number, note: string): Next => ({ _tag: "Again", afterMs, note })

/** Milliseconds: how soon a person's decision and an action's end are noticed, and how often what holds back is asked again. */
const soon = 1000
const waiting = 2000
const heldBack = 15_000

export class Remedies extends Context.Service<
  Remedies,
  {
    /** One step of the incident's remedy; whoever takes the same step at the same time does it once. */
    readonly step: (incidentId: string) => Effect.Effect<Next, Unavailable>
  }
>()("gatehouse/scheduler/Remedies") {
  static readonly layer = (thresholds: Thresholds) => Layer.effect(Remedies, makeRemedies(thresholds))
}

const makeRemedies = (thresholds: Thresholds) =>
  Effect.gen(function* () {
    const store = yield* IncidentStore
    const watch = yield* Watch
    const admin = yield* AdminApi
    const collector = yield* EvidenceCollector

    /** The step that decides, or decides anew, what is to be done. */
    const deciding = Effect.fnUntraced(function* (incident: IncidentRow) {
      if (incident.state === "resolved") return over
      if (watch.view() === undefined) return again(heldBack, "the cluster is not seen now")
      const view = watch.workload(incident.uid)
      const decision = decide({
        incident,
        view,
        exemption: view === undefined ? undefined : exemption(view),
        health: yield* store.healthOf(incident.uid),
        recent: yield* store.recent(incident),
        now: yield* Clock.currentTimeMillis,
        cooldown: thresholds.cooldown
      })
      const { id, remedy } = incident
      if (decision._tag === "Propose") {
        const { lastGoodRevision, wish } = decision
        const evidence = yield* collector.collect(incident, view, lastGoodRevision)
        yield* store.move(
          id,
          remedy,
          "proposal_pending",
          { wish, evidence },
          { event: "evidence", detail: wish.summary }
        )
        return again(0, "to be proposed")
      }
      const [to, advice] =
        decision._tag === "Advise" ? (["advice", decision.advice] as const) : (["suppressed", decision.reason] as const)
      if (to !== remedy || advice !== incident.advice) {
        const evidence = incident.evidence === null ? { evidence: yield* collector.collect(incident, view, null) } : {}
        yield* store.move(id, remedy, to, { advice, ...evidence }, { event: to, detail: advice })
      }
      return again(heldBack, advice)
    })

    const proposing = Effect.fnUntraced(function* (incident: IncidentRow) {
      const { evidence, id, wish } = incident
      if (incident.state === "resolved" || wish === null || evidence === null) {
        yield* store.move(id, "proposal_pending", "none", { nextRound: true }, { event: "withdrawn" })
        return incident.state === "resolved" ? over : again(0, "to be decided anew")
      }
      const { generation, kind, name, namespace, uid } = incident
      if (kind !== "Deployment" && kind !== "StatefulSet" && kind !== "DaemonSet") return over
      return yield* admin
        .propose(
          {
            action: wish.action,
            target: { namespace, kind, name, uid, generation },
            ...(wish.toRevision === null ? {} : { toRevision: wish.toRevision }),
            summary: wish.summary,
            incidentId: id,
            evidence
          },
          // The same key however often it is asked: a lost answer makes no second proposal.
          `incident-${id}-${incident.round}`
        )
        .pipe(
          Effect.flatMap((proposal) =>
            Effect.as(
              store.move(
                id,
                "proposal_pending",
                "proposed",
                { proposal },
                { event: "proposed", detail: proposal.id, actor: proposal.proposer }
              ),
              again(waiting, "waits for a decision")
            )
          ),
          Effect.catchTags({
            AdminAway: ({ detail }: AdminAway) =>
              Effect.as(
                store.move(
                  id,
                  "proposal_pending",
                  "proposal_pending",
                  { advice: detail },
                  { event: "proposal_pending" }
                ),
                again(5000, detail)
              ),
            AdminRefused: (refused: AdminRefused) =>
              Effect.as(
                store.move(
                  id,
                  "proposal_pending",
                  "suppressed",
                  { advice: refused.message, nextRound: true },
                  { event: "refused", detail: refused.message }
                ),
                again(heldBack, refused.message)
              )
          })
        )
    })

    /** The line of the timeline for what people decided. */
    const decisionOf = ({ decision }: Proposal): { readonly detail: string; readonly actor?: Actor } =>
      decision === null ? { detail: "" } : { detail: decision.reason, actor: decision.actor }

    const following = Effect.fnUntraced(function* (incident: IncidentRow) {
      const { id, remedy } = incident
      if (incident.proposal === null) return over
      const proposal = yield* admin.proposal(incident.proposal.id)
      const to = (state: RemedyState, next: Next, more: { readonly action?: Action; readonly advice?: string } = {}) =>
        Effect.as(store.move(id, remedy, state, { proposal, ...more }, { event: state, ...decisionOf(proposal) }), next)
      switch (proposal.state) {
        case "pending":
          return again(waiting, "waits for a decision")
        case "approved":
          return yield* to("approved", again(soon, "approved, to be carried out"))
        case "executing":
          return yield* to("acting", again(soon, "admin carries it out"))
        case "rejected":
          return yield* to("rejected", over, { advice: proposal.decision?.reason ?? "" })
        case "expired":
          return yield* to("expired", over, { advice: "nobody decided in time" })
        case "stale":
        case "superseded":
          return yield* to("stale", again(soon, "the workload has changed"), { advice: proposal.message })
        default:
          break
      }
      if (proposal.actionId === null) return again(waiting, "waits for the action's record")
      const action = yield* admin.action(proposal.actionId)
      if (proposal.state === "succeeded") {
        return yield* to("verifying", again(soon, "to be verified"), { action })
      }
      if (proposal.state === "failed") return yield* to("failed", over, { action, advice: action.message })
      // Final with admin, which never sends it again; waiting for more would hold back every other action.
      if (proposal.state === "unknown") {
        return yield* to("failed", over, { action, advice: "what became of the action is not known: see the workload" })
      }
      return again(waiting, "what became of the action is not known yet")
    })

    /** Complete, every pod of the workload Ready for the time asked, and no container restarted meanwhile. */
    const steadySince = (view: WorkloadView): number | undefined => {
      const { revisions, workload } = view
      const pods = revisions.flatMap((one) => one.pods).filter((pod) => !pod.deleting)
      const whole =
        workload.observed &&
        workload.updated >= workload.desired &&
        workload.ready >= workload.desired &&
        pods.length === workload.desired &&
        pods.every(({ readySince }) => readySince !== undefined)
      return whole ? Math.max(0, ...pods.map(({ readySince = 0 }) => readySince)) : undefined
    }

    const verifying = Effect.fnUntraced(function* (incident: IncidentRow) {
      const { id, wish } = incident
      if (watch.view() === undefined) return again(waiting, "the cluster is not seen now")
      const now = yield* Clock.currentTimeMillis
      const startedAt = incident.remedyAt
      const end = (result: "verified" | "ineffective", message: string) =>
        Effect.as(
          store.move(
            id,
            "verifying",
            result,
            {
              verification: {
                result,
                message,
                startedAt: new Date(startedAt).toISOString(),
                at: new Date(now).toISOString()
              },
              advice: result === "verified" ? "" : message
            },
            { event: result, detail: message }
          ),
          over
        )
      const view = watch.workload(incident.uid)
      if (view === undefined) return yield* end("ineffective", "the workload is gone")
      const since = steadySince(view)
      const restarts = view.revisions.flatMap(({ pods }) => pods).reduce((sum, pod) => sum + restartsOf(pod), 0)
      if (since !== undefined && now - Math.max(since, startedAt) >= thresholds.verify) {
        const revision = view.revisions.find(({ current }) => current)?.revision.revision
        return yield* end(
          "verified",
          `complete and Ready for ${Math.round((now - Math.max(since, startedAt)) / 1000)} s at revision ${revision ?? "?"}, ${restarts} restarts`
        )
      }
      if (now - startedAt < thresholds.verifyLimit) return again(soon, "is watched after the action")
      const current = view.revisions.find((one) => one.current)
      if (wish?.action === "undo" && current !== undefined) {
        yield* store.markBad(current.revision.uid, incident.uid, current.revision.revision)
      }
      return yield* end(
        "ineffective",
        "the workload did not come to rest after the action; undoing that is another proposal"
      )
    })

    const step = Effect.fn("Remedies.step")(function* (incidentId: string) {
      const incident = yield* store.get(incidentId)
      if (incident === undefined) return over
      switch (incident.remedy) {
        case "none":
        case "advice":
        case "suppressed":
          return yield* deciding(incident)
        case "proposal_pending":
          return yield* proposing(incident)
        case "proposed":
        case "approved":
        case "acting":
          return yield* following(incident).pipe(
            Effect.catchTags({
              AdminAway: ({ detail }: AdminAway) => Effect.succeed(again(5000, detail)),
              AdminRefused: (refused: AdminRefused) => Effect.succeed(again(heldBack, refused.message))
            })
          )
        case "stale":
          if (incident.state === "resolved") return over
          yield* store.move(incidentId, "stale", "none", { nextRound: true }, { event: "judged anew" })
          return again(heldBack, "is judged anew")
        case "verifying":
          return yield* verifying(incident)
        default:
          return over
      }
    })

    return Remedies.of({ step })
  })
