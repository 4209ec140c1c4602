/** Prepares undo, restart, pause, resume and scale as kubectl would do them; must write nothing before the caller runs `write`. */
import { Clock, Context, Effect, Layer } from "effect"
import type { UndoPreview } from "#shared/api/admin.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { Kubernetes, type KubernetesFailed, type Patch, type Written } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { Chronicle } from "./Chronicle.ts"
import { fieldManager } from "./fieldManager.ts"
import type { WorkloadRef } from "./kinds.ts"
import {
  type HpaOwned,
  type NoHistory,
  type NoKnownGood,
  type Paused,
  type RestartTooSoon,
  type RevisionNotFound,
  Stale,
  type Unsupported,
  WorkloadNotFound
} from "./refusals.ts"
import { type PausePlan, planPause } from "./rollout/pause.ts"
import { planRestart } from "./rollout/restart.ts"
import { type RevisionRecord, revisionsOf, selectorOf } from "./rollout/revisions.ts"
import { planScale } from "./rollout/scale.ts"
import { semanticallyEqual } from "#shared/kubernetes/templates.ts"
import { planUndo } from "./rollout/undoDeployment.ts"
import type { ToRevision } from "./rollout/undoDecision.ts"
import { planUndoRevisioned } from "./rollout/undoRevisioned.ts"
import { type Upstream, upstreamOf } from "./upstream.ts"

/** A workload as it is now, with its revisions in the order of the API server's list. */
export interface Loaded {
  readonly object: KubernetesObject
  readonly revisions: ReadonlyArray<RevisionRecord>
}

/** A change that is known to be right for the object as it was read, and not yet made. */
export interface Prepared {
  /** The live object: what a backup holds. */
  readonly before: KubernetesObject
  /** kubectl's line for it, e.g. "deployment.apps/web restarted". */
  readonly message: string
  readonly undo: UndoPreview | null
  readonly warnings: ReadonlyArray<string>
  /** Makes the change; absent where there is nothing to write. Run it once. */
  readonly write: Effect.Effect<Written, KubernetesFailed | Stale> | undefined
  /** How it is recorded when there is nothing to write. */
  readonly idle: "skipped" | "unchanged"
}

/** Why a change cannot be prepared. */
export type Refusal = WorkloadNotFound | Upstream

export class Rollouts extends Context.Service<
  Rollouts,
  {
    readonly load: (target: WorkloadRef) => Effect.Effect<Loaded, Refusal>
    /** `toRevision` 0 is the previous one. With `dryRun` the API server is asked to validate it, and nothing is left to write. */
    readonly undo: (
      target: WorkloadRef,
      toRevision: ToRevision,
      dryRun?: boolean
    ) => Effect.Effect<
      Prepared,
      Refusal | Paused | NoHistory | RevisionNotFound | NoKnownGood | Stale | KubernetesFailed | Unavailable
    >
    readonly restart: (target: WorkloadRef) => Effect.Effect<Prepared, Refusal | Paused | RestartTooSoon>
    readonly pause: (target: WorkloadRef) => Effect.Effect<Prepared, Refusal | Unsupported>
    readonly resume: (target: WorkloadRef) => Effect.Effect<Prepared, Refusal | Unsupported>
    readonly scale: (target: WorkloadRef, replicas: number) => Effect.Effect<Prepared, Refusal | Unsupported | HpaOwned>
  }
>()("gatehouse/admin/Rollouts") {
  static readonly layer = Layer.effect(
    Rollouts,
    Effect.suspend(() => makeRollouts())
  )
}

const placeOf = ({ kind, name, namespace }: WorkloadRef) => ({ resource: resources[kind], namespace, name })

/** The object was replaced or changed in what the plan was made of; its status does not count. */
const changed = (before: KubernetesObject, now: KubernetesObject) =>
  before.metadata.uid !== now.metadata.uid ||
  before.metadata.generation !== now.metadata.generation ||
  !semanticallyEqual(before.metadata.annotations, now.metadata.annotations)

const makeRollouts = Effect.fnUntraced(function* () {
  const kubernetes = yield* Kubernetes
  const chronicle = yield* Chronicle

  const get = (target: WorkloadRef) =>
    kubernetes
      .get(placeOf(target))
      .pipe(
        Effect.mapError((failed) =>
          failed.reason === "not_found"
            ? new WorkloadNotFound({ kind: target.kind, name: target.name })
            : upstreamOf(failed)
        )
      )

  const sources = (target: WorkloadRef, object: KubernetesObject) =>
    kubernetes
      .list({
        resource: target.kind === "Deployment" ? resources.ReplicaSet : resources.ControllerRevision,
        namespace: target.namespace,
        labelSelector: selectorOf(object)
      })
      .pipe(
        Effect.map(({ items }) => items),
        Effect.mapError(upstreamOf)
      )

  /** Whether the object is another one by now, as far as can be seen. */
  const isStale = (target: WorkloadRef, before: KubernetesObject) =>
    kubernetes.get(placeOf(target)).pipe(
      Effect.map((now) => changed(before, now)),
      Effect.catch((failed) => (failed.reason === "not_found" ? Effect.succeed(true) : Effect.fail(failed)))
    )

  /** A refusal that a change in between explains is `Stale`; every other one is the API server's own. */
  const send = (
    target: WorkloadRef & { readonly subresource?: string },
    before: KubernetesObject,
    patch: Patch,
    dryRun = false
  ): Effect.Effect<Written, KubernetesFailed | Stale> => {
    const stale = new Stale({ kind: target.kind, name: target.name })
    const place = target.subresource === undefined ? {} : { subresource: target.subresource }
    return kubernetes
      .patch({ ...placeOf(target), ...place }, patch, { fieldManager, ...(dryRun ? { dryRun } : {}) })
      .pipe(
        Effect.catch((failed): Effect.Effect<never, KubernetesFailed | Stale> => {
          if (failed.reason === "conflict" || failed.reason === "not_found") return Effect.fail(stale)
          if (patch.type !== "json" || failed.reason !== "invalid") return Effect.fail(failed)
          return isStale(target, before).pipe(
            Effect.orElseSucceed(() => false),
            Effect.flatMap((yes) => Effect.fail(yes ? stale : failed))
          )
        })
      )
  }

  /** A strategic patch has no preconditions, so the object is looked at once more right before it. */
  const guarded = (
    target: WorkloadRef,
    before: KubernetesObject,
    patch: Patch,
    dryRun: boolean
  ): Effect.Effect<Written, KubernetesFailed | Stale> =>
    patch.type === "json"
      ? send(target, before, patch, dryRun)
      : Effect.flatMap(isStale(target, before), (yes) =>
          yes ? Effect.fail(new Stale({ kind: target.kind, name: target.name })) : send(target, before, patch, dryRun)
        )

  const load = Effect.fn("Rollouts.load")(function* (target: WorkloadRef) {
    const object = yield* get(target)
    return { object, revisions: revisionsOf(object, yield* sources(target, object)) }
  })

  const decide = (
    target: WorkloadRef,
    object: KubernetesObject,
    found: ReadonlyArray<KubernetesObject>,
    to: ToRevision,
    good: ReadonlySet<string>
  ) =>
    target.kind === "Deployment"
      ? planUndo(object, found, to, good)
      : planUndoRevisioned(target.kind, object, found, to, good)

  const undo = Effect.fn("Rollouts.undo")(function* (target: WorkloadRef, toRevision: ToRevision, dryRun = false) {
    const before = yield* get(target)
    const found = yield* sources(target, before)
    const good =
      toRevision === "last-known-good" ? yield* chronicle.goodRevisions(before.metadata.uid ?? "") : new Set<string>()
    const { patch, preview } = yield* Effect.fromResult(decide(target, before, found, toRevision, good))
    const idle: Prepared["idle"] = preview.skipped ? "skipped" : "unchanged"
    const prepared = { before, message: preview.message, undo: preview, warnings: preview.warnings, idle }
    if (patch === undefined) return { ...prepared, write: undefined }
    if (!dryRun) return { ...prepared, write: guarded(target, before, patch, false) }
    const { warnings } = yield* guarded(target, before, patch, true)
    const all = [...preview.warnings, ...warnings]
    return { ...prepared, undo: { ...preview, warnings: all }, warnings: all, write: undefined }
  })

  const restart = Effect.fn("Rollouts.restart")(function* (target: WorkloadRef) {
    const before = yield* get(target)
    const { message, patch, warnings } = yield* Effect.fromResult(
      planRestart(target.kind, before, yield* Clock.currentTimeMillis)
    )
    return { before, message, undo: null, warnings, write: send(target, before, patch), idle: "unchanged" as const }
  })

  const prepared = (
    target: WorkloadRef & { readonly subresource?: string },
    before: KubernetesObject,
    { message, patch, warnings }: PausePlan
  ): Prepared => ({
    before,
    message,
    undo: null,
    warnings,
    write: patch === undefined ? undefined : send(target, before, patch),
    idle: "unchanged"
  })

  const pausing = (paused: boolean) =>
    Effect.fnUntraced(function* (target: WorkloadRef) {
      const before = yield* get(target)
      return prepared(target, before, yield* Effect.fromResult(planPause(target.kind, before, paused)))
    })

  const scale = Effect.fn("Rollouts.scale")(function* (target: WorkloadRef, replicas: number) {
    const before = yield* get(target)
    const autoscalers = yield* kubernetes
      .list({ resource: resources.HorizontalPodAutoscaler, namespace: target.namespace })
      .pipe(Effect.mapError(upstreamOf))
    const plan = yield* Effect.fromResult(planScale(target.kind, before, autoscalers.items, replicas))
    return prepared({ ...target, subresource: "scale" }, before, plan)
  })

  return Rollouts.of({ load, undo, restart, pause: pausing(true), resume: pausing(false), scale })
})
