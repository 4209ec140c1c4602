/** Restart, undo, pause, resume and scale as writes: what each is prepared from and how recovery recognises it; must know no route. */
import { Clock, Context, Effect, Layer } from "effect"
import type { Action, Actor } from "#shared/api/admin.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { KubernetesFailed, type Written } from "#shared/kubernetes/Kubernetes.ts"
import type { SqlError } from "#shared/sql.ts"
import type { Expectation } from "./actionEvents.ts"
import { digestOf, liveDigest } from "./digests.ts"
import { at, fieldsOf, without } from "#shared/kubernetes/fields.ts"
import type { WorkloadRef } from "./kinds.ts"
import type {
  HpaOwned,
  NoHistory,
  NoKnownGood,
  Paused,
  RestartTooSoon,
  RevisionNotFound,
  Stale,
  Unsupported,
  WorkloadNotFound
} from "./refusals.ts"
import { type Prepared, Rollouts } from "./Rollouts.ts"
import type { Upstream } from "./upstream.ts"
import type { UpstreamRefused } from "./writeRefusals.ts"
import type { IdempotencyKey } from "./idempotency.ts"
import { type Caller, type Ready, refusedBy, type WriteRefusal, Writes } from "./Writes.ts"
import { writtenObject } from "./writtenObject.ts"

/** What is to be done to one workload. */
export type Operation =
  | { readonly action: "restart" | "pause" | "resume" }
  | { readonly action: "undo"; readonly toRevision: number | "last-known-good" }
  | { readonly action: "scale"; readonly replicas: number }

export type OperationRefusal =
  | WorkloadNotFound
  | Upstream
  | Paused
  | NoHistory
  | RevisionNotFound
  | NoKnownGood
  | RestartTooSoon
  | Unsupported
  | HpaOwned
  | Stale
  | Unavailable
  | UpstreamRefused

export interface OperationOrder<E extends Error> {
  readonly target: WorkloadRef
  readonly operation: Operation
  readonly caller: Caller
  readonly approver: Actor | null
  readonly proposalId: string | null
  readonly reason: string
  readonly scope: string
  readonly key?: IdempotencyKey | undefined
  /** What must hold of the live object beside what the operation itself needs; asked under the lock. */
  readonly check?: (prepared: Prepared) => Effect.Effect<void, E>
  readonly commit?: (actionId: string) => Effect.Effect<void, E | SqlError.SqlError>
}

export class Operations extends Context.Service<
  Operations,
  {
    /** Reads and validates; writes nothing. */
    readonly prepare: (target: WorkloadRef, operation: Operation) => Effect.Effect<Prepared, OperationRefusal>
    readonly perform: <E extends Error = never>(
      order: OperationOrder<E>
    ) => Effect.Effect<Action, E | OperationRefusal | WriteRefusal>
  }
>()("gatehouse/admin/Operations") {
  static readonly layer = Layer.effect(
    Operations,
    Effect.suspend(() => makeOperations)
  )
}

const makeOperations = Effect.gen(function* () {
  const rollouts = yield* Rollouts
  const writes = yield* Writes

  const prepare = Effect.fn("Operations.prepare")(function* (target: WorkloadRef, operation: Operation) {
    switch (operation.action) {
      case "restart":
        return yield* rollouts.restart(target)
      case "pause":
        return yield* rollouts.pause(target)
      case "resume":
        return yield* rollouts.resume(target)
      case "scale":
        return yield* rollouts.scale(target, operation.replicas)
      case "undo":
        return yield* rollouts
          .undo(target, operation.toRevision)
          .pipe(Effect.mapError((error) => (error instanceof KubernetesFailed ? refusedBy(error, null) : error)))
    }
  })

  /** How the object looks once the operation was made: enough to tell it from before and from anybody else's change. */
  const afterOf = Effect.fnUntraced(function* (target: WorkloadRef, operation: Operation, prepared: Prepared) {
    switch (operation.action) {
      case "pause":
        return [{ pointer: "/spec/paused", digest: digestOf(true) }]
      case "resume":
        return [{ pointer: "/spec/paused", digest: digestOf(undefined) }]
      case "scale":
        return [{ pointer: "/spec/replicas", digest: digestOf(operation.replicas) }]
      case "restart":
        return []
      case "undo": {
        const { revisions } = yield* rollouts.load(target)
        const found = revisions.find(({ revision }) => revision === prepared.undo?.toRevision)
        if (found === undefined) return []
        const metadata = fieldsOf(at(found.template, "metadata"))
        const labels = without(fieldsOf(metadata["labels"]), "pod-template-hash")
        return [
          { pointer: "/spec/template/spec", digest: digestOf(at(found.template, "spec")) },
          { pointer: "/spec/template/metadata/labels", digest: digestOf(labels) }
        ]
      }
    }
  })

  const ready = Effect.fnUntraced(function* (
    target: WorkloadRef,
    operation: Operation,
    prepared: Prepared,
    now: number
  ) {
    const { before, idle, message, undo, warnings, write } = prepared
    const expected: Expectation = {
      kind: target.kind,
      name: target.name,
      before: liveDigest(before),
      after: write === undefined ? [] : yield* afterOf(target, operation, prepared),
      restartedSince: operation.action === "restart" ? Math.floor(now / 1000) * 1000 : null
    }
    const made: Ready<Stale> = {
      uid: before.metadata.uid ?? null,
      message: [message, ...warnings].join("; "),
      undo,
      planDigest: null,
      before: [before],
      expected: [expected],
      idle,
      write: write?.pipe(
        Effect.map(({ object, warnings: more }: Written) => ({
          state: "succeeded" as const,
          message: [message, ...warnings, ...more].join("; "),
          objects: [],
          written: [writtenObject(object)]
        }))
      )
    }
    return made
  })

  return Operations.of({
    prepare,
    perform: Effect.fn("Operations.perform")(function* <E extends Error>(order: OperationOrder<E>) {
      const { check, commit, operation, target, ...rest } = order
      return yield* writes.perform<E | OperationRefusal>({
        ...rest,
        ...(commit === undefined ? {} : { commit }),
        action: operation.action,
        namespace: target.namespace,
        kind: target.kind,
        name: target.name,
        targets: [{ kind: target.kind, name: target.name }],
        prepare: Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const prepared = yield* prepare(target, operation)
          if (check !== undefined) yield* check(prepared)
          return yield* ready(target, operation, prepared, now)
        })
      })
    })
  })
})
