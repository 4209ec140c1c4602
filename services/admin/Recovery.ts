/** Finds out what became of a write whose answer is not known, by reading the live object; must never write to the cluster. */
import { Clock, Context, Effect, Layer, Metric, Schedule } from "effect"
import type { Action } from "#shared/api/admin.ts"
import type { NotFound, Unavailable } from "#shared/domain/errors.ts"
import { Kubernetes, type KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { Database } from "#shared/sql.ts"
import type { Expectation, Intent, Outcome } from "./actionEvents.ts"
import { ActionLog } from "./ActionLog.ts"
import { digestOf, liveDigest, wished } from "./digests.ts"
import { fieldManager } from "./fieldManager.ts"
import { at, textAt } from "#shared/kubernetes/fields.ts"
import { Feed } from "./Feed.ts"
import { Locks } from "./Locks.ts"
import { resourceOfKind } from "./manifest/allowedKinds.ts"
import { ProposalStore } from "./ProposalStore.ts"
import { restartedAt } from "#shared/kubernetes/templates.ts"

export class Recovery extends Context.Service<
  Recovery,
  {
    /** Records an outcome together with what it means for the action's proposal, and tells the pages. False if there is one already. */
    readonly settle: (action: Action, outcome: Outcome) => Effect.Effect<boolean, Unavailable>
    /**
     * Settles an action without outcome as `succeeded`, `not_applied` or, where the live object does not tell, `unknown`.
     * Fails while the cluster cannot be read: then nothing is known yet.
     */
    readonly reconcile: (actionId: string) => Effect.Effect<void, KubernetesFailed | NotFound | Unavailable>
    /** Reconciles every action that a dead process has left; done at the start and every few seconds. */
    readonly sweep: Effect.Effect<void, Unavailable>
  }
>()("gatehouse/admin/Recovery") {
  static readonly layer = Layer.effect(
    Recovery,
    Effect.suspend(() => makeRecovery)
  )
}

const actionsTotal = Metric.counter("gatehouse_admin_actions_total", {
  description: "Actions by what came of them.",
  incremental: true
})
const actionSeconds = Metric.histogram("gatehouse_admin_action_seconds", {
  description: "From an action's intent to its outcome.",
  boundaries: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
})

type Finding = "applied" | "not_applied" | "unclear"

const pathOf = (pointer: string) =>
  pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))

const appliedByUs = ({ metadata }: KubernetesObject) =>
  (metadata.managedFields ?? []).some(({ manager, operation }) => manager === fieldManager && operation === "Apply")

/** What a live object tells; `undefined`: it does not exist. */
export const findingOf = (expected: Expectation, live: KubernetesObject | undefined): Finding => {
  if (live === undefined) return expected.before === null ? "not_applied" : "unclear"
  // What did not exist and now says that our apply has made it.
  if (expected.before === null) return appliedByUs(live) ? "applied" : "unclear"
  if (liveDigest(live) === expected.before) return "not_applied"
  if (expected.restartedSince !== null) {
    const stamp = Date.parse(textAt(live, "spec", "template", "metadata", "annotations", restartedAt) ?? "")
    return stamp >= expected.restartedSince ? "applied" : "unclear"
  }
  const body = wished(live)
  const met = expected.after.every(({ digest, pointer }) => digestOf(at(body, ...pathOf(pointer))) === digest)
  return met && expected.after.length > 0 ? "applied" : "unclear"
}

/** All of one mind, or nobody knows. */
const outcomeOf = (intent: Intent, findings: ReadonlyArray<Finding>): Outcome => {
  const all = (finding: Finding) => findings.length > 0 && findings.every((one) => one === finding)
  const state = all("applied") ? "succeeded" : all("not_applied") ? "not_applied" : "unknown"
  const words = {
    succeeded: `${intent.message} (found by recovery)`,
    not_applied: "the API server was not reached; the live object is as it was before",
    unknown: "the answer was lost, and the live object is neither as before nor as intended"
  }
  return {
    state,
    message: words[state],
    upstreamStatus: null,
    objects:
      intent.action === "apply"
        ? intent.expected.map(({ before, kind, name }, index) => ({
            kind,
            name,
            result: findings[index] !== "applied" ? "failed" : before === null ? "created" : "configured",
            message: findings[index] === "unclear" ? "unknown" : "found by recovery"
          }))
        : []
  }
}

const makeRecovery = Effect.gen(function* () {
  const database = yield* Database
  const log = yield* ActionLog
  const locks = yield* Locks
  const kubernetes = yield* Kubernetes
  const proposals = yield* ProposalStore
  const feed = yield* Feed

  const settle = Effect.fn("Recovery.settle")(function* (action: Action, outcome: Outcome) {
    const settled = yield* database.transaction(
      Effect.gen(function* () {
        if (!(yield* log.settle(action, outcome))) return false
        yield* locks.free(action.id)
        if (action.proposalId !== null) yield* proposals.conclude(action.proposalId, outcome)
        return true
      })
    )
    if (!settled) return false
    const seconds = ((yield* Clock.currentTimeMillis) - Date.parse(action.createdAt)) / 1000
    const measured = { action: action.action, result: outcome.state }
    yield* Metric.update(Metric.withAttributes(actionsTotal, measured), 1)
    yield* Metric.update(Metric.withAttributes(actionSeconds, { action: action.action }), seconds)
    yield* log.find(action.id).pipe(
      Effect.flatMap((recorded) => feed.publish({ event: "action", data: recorded.action })),
      Effect.ignore
    )
    if (action.proposalId !== null) {
      yield* proposals.find(action.proposalId).pipe(
        Effect.flatMap((proposal) => feed.publish({ event: "proposal", data: proposal })),
        Effect.ignore
      )
    }
    return true
  })

  const live = (namespace: string, { kind, name }: Expectation) =>
    kubernetes.get({ resource: resourceOfKind(kind), namespace, name }).pipe(
      Effect.catchIf(
        ({ reason }) => reason === "not_found",
        () => Effect.succeed(undefined)
      )
    )

  const reconcile = Effect.fn("Recovery.reconcile")(function* (actionId: string) {
    const { action, intent } = yield* log.find(actionId)
    if (action.finishedAt !== null) return
    const findings = yield* Effect.forEach(intent.expected, (expected) =>
      Effect.map(live(action.namespace, expected), (object) => findingOf(expected, object))
    )
    const outcome = outcomeOf(intent, findings)
    yield* settle(action, outcome)
    yield* Effect.logInfo("reconciled an action whose answer was lost").pipe(
      Effect.annotateLogs({ actionId, state: outcome.state })
    )
  })

  const sweep = Effect.gen(function* () {
    for (const id of yield* log.orphans) {
      const { action, intent } = yield* Effect.orDie(log.find(id))
      const targets = intent.expected.map(({ kind, name }) => ({ namespace: action.namespace, kind, name }))
      // Another process may be at it, or at a write to the same object: then it is not ours to judge now.
      if (!(yield* locks.adopt(targets, id))) continue
      yield* reconcile(id).pipe(
        Effect.catch((error) => Effect.logWarning("an action cannot be reconciled yet", error.message)),
        Effect.ensuring(locks.release(id))
      )
    }
  })

  yield* sweep.pipe(
    Effect.tapCause((cause) => Effect.logDebug("recovery waits", cause)),
    Effect.ignore,
    Effect.repeat(Schedule.spaced("5 seconds")),
    Effect.forkScoped
  )

  return Recovery.of({ settle, reconcile, sweep })
})
