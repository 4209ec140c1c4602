/** Asks the API server what applying one object would do, and reads its refusals; must write nothing. */
import { Effect } from "effect"
import type { PlannedObject } from "#shared/api/admin.ts"
import { Kubernetes, KubernetesFailed, type Written } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { changesBetween } from "#shared/kubernetes/changes.ts"
import { digestOf, liveDigest, wished } from "../digests.ts"
import { fieldManager, onlyOurs } from "../fieldManager.ts"
import { fieldsOf, without } from "#shared/kubernetes/fields.ts"
import { maskText } from "#shared/kubernetes/mask.ts"
import { type Upstream, upstreamOf } from "../upstream.ts"
import { FieldConflict, ManifestRefused } from "../writeRefusals.ts"
import type { Admitted } from "./objectRules.ts"

/** One object of a plan: the tree that will be sent, and what it was compared with. */
export interface Step extends Admitted {
  readonly live: KubernetesObject | undefined
  /** Digest of the live object, null where there was none. */
  readonly before: string | null
  readonly after: string
  /** Nothing would be written, not even who owns which field. */
  readonly idle: boolean
  readonly shown: PlannedObject
}

export const placeOf = ({ object, resource }: Pick<Admitted, "object" | "resource">) => ({
  resource,
  namespace: object.metadata.namespace ?? "",
  name: object.metadata.name
})

/** The API server's words without a value of a Secret: of those only which fields are meant. */
export const refusalText = (kind: string, failed: KubernetesFailed): string => {
  if (kind !== "Secret") return maskText(failed.detail).slice(0, 1000)
  const fields = failed.causes.map(({ field }) => field).filter((field) => field !== "")
  return fields.length === 0 ? `the Secret is ${failed.reason}` : `not acceptable: ${fields.join(", ")}`
}

/** The same failure with words that may be kept and shown. */
export const masked = (kind: string, failed: KubernetesFailed): KubernetesFailed =>
  new KubernetesFailed({
    reason: failed.reason,
    status: failed.status,
    detail: refusalText(kind, failed),
    causes: kind === "Secret" ? [] : failed.causes,
    retryAfterSeconds: failed.retryAfterSeconds,
    sent: failed.sent
  })

/** The fields in conflict, each with its manager. */
export const conflictsOf = ({ causes, detail }: KubernetesFailed): PlannedObject["conflicts"] => {
  const found = causes.map(({ field, message }) => ({
    field,
    manager: /conflicts? with "([^"]*)"/u.exec(message)?.[1] ?? ""
  }))
  return found.length > 0 ? found : [{ field: "", manager: /conflicts? with "([^"]*)"/u.exec(detail)?.[1] ?? "" }]
}

/** A conflict as a fault of the input. */
export const fieldConflict = (
  steps: ReadonlyArray<Pick<Step, "index" | "object"> & { readonly conflicts: PlannedObject["conflicts"] }>
) =>
  new FieldConflict({
    errors: steps.flatMap(({ conflicts, index, object }) =>
      conflicts.map(({ field, manager }) => ({
        pointer: `/objects/${index}`,
        code: "field_conflict",
        detail: `${object.kind} "${object.metadata.name}": ${field || "a field"} belongs to "${manager}"`
      }))
    )
  })

/** A refusal by the API server: the object's own fault, or a matter of the connection or of rights. */
const refusalOf = ({ index, line, object }: Admitted, failed: KubernetesFailed): ManifestRefused | Upstream => {
  if (failed.reason !== "invalid" && failed.reason !== "not_found" && failed.reason !== "conflict") {
    return upstreamOf(failed)
  }
  const code = "invalid_object"
  const detail = refusalText(object.kind, failed)
  return new ManifestRefused({ code, errors: [{ pointer: `/objects/${index}`, detail, line, code }] })
}

/** What is compared and shown: a uid that a dry run makes up is nobody's. */
const shownFields = (object: KubernetesObject) => {
  const body = wished(object)
  return { ...body, metadata: without(fieldsOf(body["metadata"]), "uid") }
}

/** What our own applies own of an object. */
const owned = (object: KubernetesObject | undefined) =>
  digestOf(
    (object?.metadata.managedFields ?? [])
      .filter(({ manager, operation }) => manager === fieldManager && operation === "Apply")
      .map(({ fieldsV1 }) => fieldsV1)
  )

/** The object as it is now, undefined where there is none. */
export const readLive = (admitted: Pick<Admitted, "object" | "resource">) =>
  Kubernetes.use((kubernetes) => kubernetes.get(placeOf(admitted))).pipe(
    Effect.catchIf(
      ({ reason }) => reason === "not_found",
      () => Effect.succeed(undefined)
    ),
    Effect.mapError(upstreamOf)
  )

/** What applying it would do; conflicts with others are part of the answer, every other refusal fails. */
export const dryRun = Effect.fnUntraced(function* (admitted: Admitted, live: KubernetesObject | undefined) {
  const { object } = admitted
  const kubernetes = yield* Kubernetes
  const ask = (force: boolean): Effect.Effect<Written, KubernetesFailed> =>
    kubernetes.apply(placeOf(admitted), object, { fieldManager, dryRun: true, force })
  const refuse = (failed: KubernetesFailed) => refusalOf(admitted, failed)

  const asked = yield* ask(false).pipe(
    Effect.map((written) => ({ written, force: false, conflicts: [] as PlannedObject["conflicts"] })),
    Effect.catchIf(
      ({ reason }) => reason === "conflict",
      (failed) =>
        Effect.map(ask(true), (written) => ({
          written,
          force: onlyOurs(failed),
          conflicts: onlyOurs(failed) ? [] : conflictsOf(failed)
        }))
    ),
    Effect.mapError(refuse)
  )
  const { conflicts, force, written } = asked
  const before = live === undefined ? null : liveDigest(live)
  const after = liveDigest(written.object)
  const same = before === after
  const warnings = [
    ...written.warnings.map(maskText),
    ...(typeof live?.metadata.deletionTimestamp === "string"
      ? [`Detected changes to resource ${object.metadata.name} which is currently being deleted.`]
      : []),
    ...(force ? ["fields that an earlier undo or restart of ours has set are taken over"] : [])
  ]
  const step: Step = {
    ...admitted,
    live,
    before,
    after,
    idle: same && owned(live) === owned(written.object),
    shown: {
      apiVersion: object.apiVersion,
      kind: object.kind,
      name: object.metadata.name,
      change: live === undefined ? "create" : same ? "unchanged" : "update",
      changes: same
        ? []
        : changesBetween(live === undefined ? undefined : shownFields(live), shownFields(written.object), {
            kind: object.kind
          }),
      warnings,
      conflicts
    }
  }
  return step
})
