/** What the watchman reads of pods, workloads and nodes: raw objects narrowed to the fields that its rules need; must judge nothing. */
import { Option, Schema } from "effect"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import { at, type Fields, fieldsOf, without } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

const key = Schema.optionalKey
const time = key(Schema.NullOr(Schema.String))
const labels = key(Schema.Record(Schema.String, Schema.String))

const Terminated = Schema.Struct({
  exitCode: Schema.Int,
  reason: key(Schema.String),
  message: key(Schema.String),
  startedAt: time,
  finishedAt: time
})

const ContainerStatus = Schema.Struct({
  name: Schema.String,
  ready: key(Schema.Boolean),
  restartCount: key(Schema.Int),
  state: key(
    Schema.Struct({
      waiting: key(Schema.Struct({ reason: key(Schema.String), message: key(Schema.String) })),
      running: key(Schema.Struct({ startedAt: time })),
      terminated: key(Terminated)
    })
  ),
  lastState: key(Schema.Struct({ terminated: key(Terminated) }))
})
export type ContainerStatus = typeof ContainerStatus.Type

const Condition = Schema.Struct({
  type: Schema.String,
  status: Schema.String,
  reason: key(Schema.String),
  message: key(Schema.String),
  lastTransitionTime: time
})

const Meta = Schema.Struct({
  name: Schema.String,
  namespace: key(Schema.String),
  uid: Schema.String,
  generation: key(Schema.Int),
  creationTimestamp: time,
  deletionTimestamp: time,
  labels,
  annotations: labels,
  ownerReferences: key(
    Schema.Array(
      Schema.Struct({ kind: Schema.String, name: Schema.String, uid: Schema.String, controller: key(Schema.Boolean) })
    )
  )
})

const PodShape = Schema.Struct({
  metadata: Meta,
  spec: key(Schema.Struct({ nodeName: key(Schema.String), restartPolicy: key(Schema.String) })),
  status: key(
    Schema.Struct({
      phase: key(Schema.String),
      conditions: key(Schema.Array(Condition)),
      containerStatuses: key(Schema.Array(ContainerStatus)),
      initContainerStatuses: key(Schema.Array(ContainerStatus))
    })
  )
})

const ReplicaSetShape = Schema.Struct({
  metadata: Meta,
  spec: key(Schema.Struct({ replicas: key(Schema.Int), template: key(Schema.Unknown) }))
})

const ControllerRevisionShape = Schema.Struct({
  metadata: Meta,
  revision: Schema.Int,
  data: key(Schema.Unknown)
})

const WorkloadShape = Schema.Struct({
  metadata: Meta,
  spec: Schema.Struct({
    replicas: key(Schema.Int),
    paused: key(Schema.Boolean),
    template: Schema.Unknown,
    volumeClaimTemplates: key(Schema.Array(Schema.Unknown))
  }),
  status: key(
    Schema.Struct({
      observedGeneration: key(Schema.Int),
      replicas: key(Schema.Int),
      updatedReplicas: key(Schema.Int),
      readyReplicas: key(Schema.Int),
      availableReplicas: key(Schema.Int),
      updateRevision: key(Schema.String),
      currentRevision: key(Schema.String),
      desiredNumberScheduled: key(Schema.Int),
      updatedNumberScheduled: key(Schema.Int),
      numberReady: key(Schema.Int),
      numberAvailable: key(Schema.Int),
      conditions: key(Schema.Array(Condition))
    })
  )
})

const NodeShape = Schema.Struct({
  metadata: Meta,
  status: key(
    Schema.Struct({
      conditions: key(Schema.Array(Condition)),
      nodeInfo: key(Schema.Struct({ bootID: key(Schema.String) }))
    })
  )
})

export interface Owner {
  readonly kind: string
  readonly name: string
  readonly uid: string
}

export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly owner: Owner | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly phase: string
  readonly restartPolicy: string
  readonly deleting: boolean
  readonly node: string | undefined
  readonly createdAt: number
  /** Since when it is Ready, undefined while it is not; milliseconds since the epoch as every time here. */
  readonly readySince: number | undefined
  readonly notReadySince: number | undefined
  readonly unschedulableSince: number | undefined
  readonly containers: ReadonlyArray<ContainerStatus & { readonly init: boolean }>
}

/** A ReplicaSet or ControllerRevision: one revision of a workload. */
export interface Revision {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly owner: Owner | undefined
  readonly revision: number
  readonly createdAt: number
  /** The pod template that it stands for. */
  readonly template: Fields
}

export interface Workload {
  readonly kind: WorkloadKind
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly generation: number
  readonly observed: boolean
  readonly deleting: boolean
  readonly paused: boolean
  readonly desired: number
  readonly updated: number
  readonly ready: number
  readonly available: number
  readonly hasVolumes: boolean
  readonly annotations: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly deadlineExceeded: boolean
  /** Name of the ControllerRevision in force (StatefulSet), "" where the kind does not say. */
  readonly updateRevision: string
  readonly template: Fields
}

export interface Node {
  readonly name: string
  readonly bootId: string
  readonly ready: boolean
  readonly pressure: ReadonlyArray<string>
}

/** A node's boot as it was last seen; `changedAt` in milliseconds since the epoch, null if no other came before it. */
export interface Boot {
  readonly bootId: string
  readonly changedAt: number | null
}

const millis = (text: string | null | undefined): number | undefined =>
  text === null || text === undefined ? undefined : Date.parse(text)

const ownerOf = (meta: typeof Meta.Type): Owner | undefined => {
  const found = meta.ownerReferences?.find(({ controller }) => controller === true)
  return found === undefined ? undefined : { kind: found.kind, name: found.name, uid: found.uid }
}

const decodePod = Schema.decodeUnknownOption(PodShape)
const decodeReplicaSet = Schema.decodeUnknownOption(ReplicaSetShape)
const decodeControllerRevision = Schema.decodeUnknownOption(ControllerRevisionShape)
const decodeWorkload = Schema.decodeUnknownOption(WorkloadShape)
const decodeNode = Schema.decodeUnknownOption(NodeShape)

/** Undefined for an object that has not the shape of a pod: one odd object must not blind the watchman to the others. */
export const podOf = (object: KubernetesObject): Pod | undefined =>
  Option.match(decodePod(object), {
    onNone: () => undefined,
    onSome: ({ metadata, spec, status }) => {
      const ready = status?.conditions?.find(({ type }) => type === "Ready")
      const scheduled = status?.conditions?.find(({ type }) => type === "PodScheduled")
      const createdAt = millis(metadata.creationTimestamp) ?? 0
      return {
        namespace: metadata.namespace ?? "",
        name: metadata.name,
        uid: metadata.uid,
        owner: ownerOf(metadata),
        labels: metadata.labels ?? {},
        phase: status?.phase ?? "Pending",
        restartPolicy: spec?.restartPolicy ?? "Always",
        deleting: typeof metadata.deletionTimestamp === "string",
        node: spec?.nodeName,
        createdAt,
        readySince: ready?.status === "True" ? (millis(ready.lastTransitionTime) ?? createdAt) : undefined,
        notReadySince: ready?.status === "False" ? (millis(ready.lastTransitionTime) ?? createdAt) : undefined,
        unschedulableSince:
          scheduled?.status === "False" && scheduled.reason === "Unschedulable"
            ? (millis(scheduled.lastTransitionTime) ?? createdAt)
            : undefined,
        containers: [
          ...(status?.initContainerStatuses ?? []).map((one) => ({ ...one, init: true })),
          ...(status?.containerStatuses ?? []).map((one) => ({ ...one, init: false }))
        ]
      }
    }
  })

/** The annotation by which the Deployment controller numbers its ReplicaSets. */
export const revisionAnnotation = "deployment.kubernetes.io/revision"

export const replicaSetOf = (object: KubernetesObject): Revision | undefined =>
  Option.match(decodeReplicaSet(object), {
    onNone: () => undefined,
    onSome: ({ metadata, spec }) => ({
      namespace: metadata.namespace ?? "",
      name: metadata.name,
      uid: metadata.uid,
      owner: ownerOf(metadata),
      revision: Number.parseInt(metadata.annotations?.[revisionAnnotation] ?? "0", 10) || 0,
      createdAt: millis(metadata.creationTimestamp) ?? 0,
      template: fieldsOf(spec?.template)
    })
  })

/** The template in a ControllerRevision's data, which is a strategic merge patch. */
const templateOfData = (data: unknown): Fields => without(fieldsOf(at(data, "spec", "template")), "$patch")

export const controllerRevisionOf = (object: KubernetesObject): Revision | undefined =>
  Option.match(decodeControllerRevision(object), {
    onNone: () => undefined,
    onSome: ({ data, metadata, revision }) => ({
      namespace: metadata.namespace ?? "",
      name: metadata.name,
      uid: metadata.uid,
      owner: ownerOf(metadata),
      revision,
      createdAt: millis(metadata.creationTimestamp) ?? 0,
      template: templateOfData(data)
    })
  })

export const workloadOf = (kind: WorkloadKind, object: KubernetesObject): Workload | undefined =>
  Option.match(decodeWorkload(object), {
    onNone: () => undefined,
    onSome: ({ metadata, spec, status = {} }) => {
      const daemon = kind === "DaemonSet"
      const generation = metadata.generation ?? 0
      return {
        kind,
        namespace: metadata.namespace ?? "",
        name: metadata.name,
        uid: metadata.uid,
        generation,
        observed: (status.observedGeneration ?? 0) >= generation,
        deleting: typeof metadata.deletionTimestamp === "string",
        paused: spec.paused === true,
        desired: (daemon ? status.desiredNumberScheduled : spec.replicas) ?? (daemon ? 0 : 1),
        updated: (daemon ? status.updatedNumberScheduled : status.updatedReplicas) ?? 0,
        ready: (daemon ? status.numberReady : status.readyReplicas) ?? 0,
        available: (daemon ? status.numberAvailable : (status.availableReplicas ?? status.readyReplicas)) ?? 0,
        hasVolumes: (spec.volumeClaimTemplates ?? []).length > 0,
        annotations: metadata.annotations ?? {},
        labels: metadata.labels ?? {},
        deadlineExceeded: (status.conditions ?? []).some(
          ({ reason, type }) => type === "Progressing" && reason === "ProgressDeadlineExceeded"
        ),
        updateRevision: status.updateRevision ?? "",
        template: fieldsOf(spec.template)
      }
    }
  })

export const nodeOf = (object: KubernetesObject): Node | undefined =>
  Option.match(decodeNode(object), {
    onNone: () => undefined,
    onSome: ({ metadata, status }) => ({
      name: metadata.name,
      bootId: status?.nodeInfo?.bootID ?? "",
      ready: (status?.conditions ?? []).some(({ status: is, type }) => type === "Ready" && is === "True"),
      pressure: (status?.conditions ?? [])
        .filter(({ status: is, type }) => type.endsWith("Pressure") && is === "True")
        .map(({ type }) => type)
    })
  })
