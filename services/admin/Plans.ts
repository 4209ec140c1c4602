/** Plans of manifests and their application: what was shown is what is sent, or nothing; a plan lives in memory only, as it may hold secrets. */
import { Clock, Context, Effect, Layer } from "effect"
import type { Action, ApplyInput, Plan } from "#shared/api/admin.ts"
import { InvalidInput, PayloadTooLarge } from "#shared/domain/errors.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import type { Expectation, Outcome } from "./actionEvents.ts"
import { scopeOf } from "./Authority.ts"
import { digestOf, liveDigest } from "./digests.ts"
import { fieldManager, onlyOurs } from "./fieldManager.ts"
import { maskText } from "#shared/kubernetes/mask.ts"
import { conflictsOf, dryRun, fieldConflict, masked, placeOf, readLive, type Step } from "./manifest/dryRun.ts"
import { admit } from "./manifest/objectRules.ts"
import { parseManifest } from "./manifest/parseManifest.ts"
import { podFaults, type PodPolicy } from "./manifest/podRules.ts"
import type { Upstream } from "./upstream.ts"
import {
  type FieldConflict,
  ManifestRefused,
  PlanGone,
  PlanRequired,
  PlanStale,
  type TooManyObjects
} from "./writeRefusals.ts"
import type { IdempotencyKey } from "./idempotency.ts"
import { type Caller, type Made, type Ready, type WriteRefusal, Writes } from "./Writes.ts"
import { type WrittenObject, writtenObject } from "./writtenObject.ts"

const maxBytes = 1024 * 1024
const lifetimeMillis = 600_000
/** Plans kept at a time; the oldest goes first. */
const maxPlans = 20
/** Objects asked about at a time. */
const concurrency = 4

export interface PlanOptions extends PodPolicy {
  readonly directApply: ReadonlyArray<string>
  readonly secrets: boolean
}

const nobody: PodPolicy = { serviceAccounts: [], pullSecrets: [] }

type PlanRefusal = PayloadTooLarge | ManifestRefused | TooManyObjects | Upstream

export class Plans extends Context.Service<
  Plans,
  {
    /** `known`: identities that the manifest's pods may have beside what live ones have, as those of a backup had. */
    readonly plan: (
      namespace: string,
      manifest: string,
      caller: Caller,
      known?: PodPolicy
    ) => Effect.Effect<Plan, PlanRefusal>
    readonly apply: (
      namespace: string,
      input: ApplyInput,
      caller: Caller,
      key?: IdempotencyKey
    ) => Effect.Effect<
      Action,
      PlanRefusal | WriteRefusal | InvalidInput | PlanGone | PlanRequired | PlanStale | FieldConflict
    >
  }
>()("gatehouse/admin/Plans") {
  static readonly layer = (options: PlanOptions) => Layer.effect(Plans, makePlans(options))
}

interface KeptPlan {
  readonly plan: Plan
  readonly steps: ReadonlyArray<Step>
  readonly expires: number
}

const makePlans = Effect.fnUntraced(function* (options: PlanOptions) {
  const kubernetes = yield* Kubernetes
  const writes = yield* Writes
  const kept = new Map<string, KeptPlan>()

  const keep = (made: KeptPlan, now: number) => {
    for (const [id, { expires }] of kept) if (expires <= now || kept.size >= maxPlans) kept.delete(id)
    kept.set(made.plan.planId, made)
  }

  /** Every object checked, read and asked about; nothing is written. */
  const stepsOf = Effect.fnUntraced(
    function* (namespace: string, manifest: string, known: PodPolicy) {
      const policy = {
        serviceAccounts: [...options.serviceAccounts, ...known.serviceAccounts],
        pullSecrets: [...options.pullSecrets, ...known.pullSecrets]
      }
      if (Buffer.byteLength(manifest) > maxBytes) return yield* new PayloadTooLarge({ limit: maxBytes })
      const parsed = yield* Effect.fromResult(parseManifest(manifest))
      const admitted = yield* Effect.fromResult(admit(parsed, { namespace, secrets: options.secrets }))
      const living = yield* Effect.forEach(admitted, (one) => Effect.map(readLive(one), (live) => ({ one, live })), {
        concurrency
      })
      const faults = living.flatMap(({ live, one }) =>
        podFaults(one.object.kind, one.object, live, policy).map((fault) => ({
          ...fault,
          pointer: `/objects/${one.index}${fault.pointer}`,
          line: one.line
        }))
      )
      if (faults[0] !== undefined)
        return yield* new ManifestRefused({ code: faults[0].code, errors: faults.slice(0, 50) })
      return yield* Effect.forEach(living, ({ live, one }) => dryRun(one, live), { concurrency })
    },
    Effect.provideService(Kubernetes, kubernetes)
  )

  const make = Effect.fnUntraced(function* (namespace: string, manifest: string, known = nobody) {
    const steps = yield* stepsOf(namespace, manifest, known)
    const now = yield* Clock.currentTimeMillis
    const made: KeptPlan = {
      steps,
      expires: now + lifetimeMillis,
      plan: {
        planId: uuidv7(now),
        namespace,
        digest: digestOf(steps.map(({ before, object }) => [object, before])),
        expiresAt: new Date(now + lifetimeMillis).toISOString(),
        objects: steps.map(({ shown }) => shown)
      }
    }
    return made
  })

  /** Read and asked about again, under the lock: whatever differs from the plan stops it before the first write. */
  const recheck = Effect.fnUntraced(
    function* (planned: ReadonlyArray<Step>) {
      const steps = yield* Effect.forEach(
        planned,
        Effect.fnUntraced(function* (step) {
          const live = yield* readLive(step)
          const { kind, metadata } = step.object
          if ((live === undefined ? null : liveDigest(live)) !== step.before) {
            return yield* new PlanStale({ kind, name: metadata.name })
          }
          return yield* dryRun(step, live)
        }),
        { concurrency }
      )
      const conflicting = steps.filter(({ shown }) => shown.conflicts.length > 0)
      if (conflicting.length > 0) {
        return yield* fieldConflict(conflicting.map((step) => ({ ...step, conflicts: step.shown.conflicts })))
      }
      return steps
    },
    Effect.provideService(Kubernetes, kubernetes)
  )

  const sendOne = (step: Step) =>
    kubernetes.apply(placeOf(step), step.object, { fieldManager, force: false }).pipe(
      // Our own undo is in the way: once with force, never where anybody else has a field, as they may have since the plan.
      Effect.catchIf(
        (failed) => failed.reason === "conflict" && onlyOurs(failed),
        () => kubernetes.apply(placeOf(step), step.object, { fieldManager, force: true })
      ),
      Effect.mapError((failed) => masked(step.object.kind, failed))
    )

  /** In the manifest's order, up to the first refusal: what comes after might rest on what failed. */
  const send = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
    const objects: Array<Outcome["objects"][number]> = []
    const written: Array<WrittenObject> = []
    for (const step of steps) {
      const { kind, metadata } = step.object
      const sent = yield* Effect.result(sendOne(step))
      if (sent._tag === "Success") {
        const { created, object, warnings } = sent.success
        const same = object.metadata.resourceVersion === step.live?.metadata.resourceVersion
        const result = created ? "created" : same ? "unchanged" : "configured"
        objects.push({ kind, name: metadata.name, result, message: warnings.map(maskText).join("; ") })
        if (result !== "unchanged") written.push(writtenObject(object))
        continue
      }
      // Nothing was written yet, or nobody knows: then the whole write says so.
      if (objects.length === 0 || (sent.failure.sent && sent.failure.reason === "unreachable")) {
        return yield* sent.failure.reason === "conflict"
          ? fieldConflict([{ ...step, conflicts: conflictsOf(sent.failure) }])
          : sent.failure
      }
      objects.push({ kind, name: metadata.name, result: "failed", message: sent.failure.detail })
      for (const left of steps.slice(objects.length)) {
        objects.push({
          kind: left.object.kind,
          name: left.object.metadata.name,
          result: "failed",
          message: "not attempted"
        })
      }
      const message = `${objects.filter(({ result }) => result !== "failed").length} of ${steps.length} objects applied`
      return { state: "failed", message, objects, written } satisfies Made
    }
    const message = objects.map(({ kind, name, result }) => `${kind.toLowerCase()}/${name} ${result}`).join(", ")
    return { state: "succeeded", message: message.slice(0, 500), objects, written } satisfies Made
  })

  const ready = Effect.fnUntraced(function* ({ plan, steps: planned }: KeptPlan) {
    const steps = yield* recheck(planned)
    const single = steps.length === 1 ? steps[0] : undefined
    const idle = steps.every((step) => step.idle)
    const made: Ready<FieldConflict> = {
      uid: single?.live?.metadata.uid ?? null,
      message: idle ? "nothing to apply: everything is as planned already" : `apply ${steps.length} objects`,
      undo: null,
      planDigest: plan.digest,
      before: steps.flatMap(({ live }) => (live === undefined ? [] : [live])),
      expected: steps.map(({ after, before, live, object }): Expectation => ({
        kind: object.kind,
        name: object.metadata.name,
        before,
        // A dry run makes up the uid of what does not exist yet.
        after: live === undefined ? [] : [{ pointer: "", digest: after }],
        restartedSince: null
      })),
      idle: "unchanged",
      write: idle ? undefined : send(steps)
    }
    return made
  })

  const planned = Effect.fnUntraced(function* (namespace: string, input: ApplyInput) {
    if ((input.planId === undefined) === (input.manifest === undefined)) {
      const detail = "expected either planId or manifest"
      return yield* new InvalidInput({ errors: [{ pointer: "", detail }] })
    }
    if (input.manifest !== undefined) {
      if (!options.directApply.includes(namespace)) return yield* new PlanRequired()
      return yield* make(namespace, input.manifest)
    }
    const found = kept.get(input.planId ?? "")
    const now = yield* Clock.currentTimeMillis
    if (found === undefined || found.plan.namespace !== namespace || found.expires <= now) return yield* new PlanGone()
    return found
  })

  return Plans.of({
    plan: Effect.fn("Plans.plan")(function* (namespace, manifest, _caller, known) {
      const made = yield* make(namespace, manifest, known)
      keep(made, yield* Clock.currentTimeMillis)
      return made.plan
    }),
    apply: Effect.fn("Plans.apply")(function* (namespace, input, caller, key) {
      // A plan is used up by its application: who asks again is told what came of it.
      const known = yield* writes.replay(caller.actor.id, key)
      if (known !== undefined) return known
      const chosen = yield* planned(namespace, input)
      const { plan, steps } = chosen
      const single = steps.length === 1 ? steps[0]?.object : undefined
      const action = yield* writes.perform<PlanRefusal | PlanStale | FieldConflict>({
        action: "apply",
        namespace,
        kind: single?.kind ?? "List",
        name: single?.metadata.name ?? plan.planId,
        targets: steps.map(({ object }) => ({ kind: object.kind, name: object.metadata.name })),
        caller,
        approver: null,
        proposalId: null,
        reason: input.reason,
        scope: scopeOf("apply", namespace),
        key,
        prepare: ready(chosen)
      })
      kept.delete(plan.planId)
      return action
    })
  })
})
