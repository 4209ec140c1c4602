/** The kinds the simulated API server serves: names, shapes and subresources; must hold no behaviour. */
import { apiVersionOf, type Resource, resources } from "../objects.ts"
import { claimSpec, pod, podTemplate } from "./podSchema.ts"
import {
  any,
  atomic,
  atomicMap,
  boolean,
  conditions,
  integer,
  intOrString,
  keyed,
  labelSelector,
  list,
  map,
  metadata,
  type Node,
  objectOf,
  quantity,
  set,
  string,
  struct
} from "./schema.ts"

export interface Kind extends Resource {
  readonly singular: string
  readonly shortNames: ReadonlyArray<string>
  /** In `kubectl get all`. */
  readonly inAll: boolean
  readonly schema: Node
  readonly subresources: ReadonlyArray<string>
  /** `metadata.generation` counts changes of the spec. */
  readonly counted: boolean
}

const rolling = struct({ maxSurge: intOrString, maxUnavailable: intOrString })

const deployment = objectOf({
  spec: struct({
    minReadySeconds: integer,
    paused: boolean,
    progressDeadlineSeconds: integer,
    replicas: integer,
    revisionHistoryLimit: integer,
    selector: labelSelector,
    strategy: struct({ rollingUpdate: rolling, type: string }),
    template: podTemplate
  }),
  status: struct({
    availableReplicas: integer,
    collisionCount: integer,
    conditions,
    observedGeneration: integer,
    readyReplicas: integer,
    replicas: integer,
    terminatingReplicas: integer,
    unavailableReplicas: integer,
    updatedReplicas: integer
  })
})

const replicaSet = objectOf({
  spec: struct({ minReadySeconds: integer, replicas: integer, selector: labelSelector, template: podTemplate }),
  status: struct({
    availableReplicas: integer,
    conditions,
    fullyLabeledReplicas: integer,
    observedGeneration: integer,
    readyReplicas: integer,
    replicas: integer,
    terminatingReplicas: integer
  })
})

const claim = objectOf({
  spec: claimSpec,
  status: struct({
    accessModes: list(),
    allocatedResourceStatuses: any,
    allocatedResources: map(quantity),
    capacity: map(quantity),
    conditions,
    currentVolumeAttributesClassName: string,
    modifyVolumeStatus: any,
    phase: string
  })
})

const statefulSet = objectOf({
  spec: struct({
    minReadySeconds: integer,
    ordinals: struct({ start: integer }),
    persistentVolumeClaimRetentionPolicy: struct({ whenDeleted: string, whenScaled: string }),
    podManagementPolicy: string,
    replicas: integer,
    revisionHistoryLimit: integer,
    selector: labelSelector,
    serviceName: string,
    template: podTemplate,
    updateStrategy: struct({
      rollingUpdate: struct({ maxUnavailable: intOrString, partition: integer }),
      type: string
    }),
    volumeClaimTemplates: list(claim)
  }),
  status: struct({
    availableReplicas: integer,
    collisionCount: integer,
    conditions,
    currentReplicas: integer,
    currentRevision: string,
    observedGeneration: integer,
    readyReplicas: integer,
    replicas: integer,
    updateRevision: string,
    updatedReplicas: integer
  })
})

const daemonSet = objectOf({
  spec: struct({
    minReadySeconds: integer,
    revisionHistoryLimit: integer,
    selector: labelSelector,
    template: podTemplate,
    updateStrategy: struct({ rollingUpdate: rolling, type: string })
  }),
  status: struct({
    collisionCount: integer,
    conditions,
    currentNumberScheduled: integer,
    desiredNumberScheduled: integer,
    numberAvailable: integer,
    numberMisscheduled: integer,
    numberReady: integer,
    numberUnavailable: integer,
    observedGeneration: integer,
    updatedNumberScheduled: integer
  })
})

const jobSpec = struct({
  activeDeadlineSeconds: integer,
  backoffLimit: integer,
  backoffLimitPerIndex: integer,
  completionMode: string,
  completions: integer,
  managedBy: string,
  manualSelector: boolean,
  maxFailedIndexes: integer,
  parallelism: integer,
  podFailurePolicy: any,
  podReplacementPolicy: string,
  selector: labelSelector,
  successPolicy: any,
  suspend: boolean,
  template: podTemplate,
  ttlSecondsAfterFinished: integer
})
const job = objectOf({
  spec: jobSpec,
  status: struct({
    active: integer,
    completedIndexes: string,
    completionTime: string,
    conditions: list(any),
    failed: integer,
    failedIndexes: string,
    ready: integer,
    startTime: string,
    succeeded: integer,
    terminating: integer,
    uncountedTerminatedPods: any
  })
})
const cronJob = objectOf({
  spec: struct({
    concurrencyPolicy: string,
    failedJobsHistoryLimit: integer,
    jobTemplate: struct({ metadata, spec: jobSpec }),
    schedule: string,
    startingDeadlineSeconds: integer,
    successfulJobsHistoryLimit: integer,
    suspend: boolean,
    timeZone: string
  }),
  status: struct({ active: list(any), lastScheduleTime: string, lastSuccessfulTime: string })
})

const service = objectOf({
  spec: struct({
    allocateLoadBalancerNodePorts: boolean,
    clusterIP: string,
    clusterIPs: list(),
    externalIPs: list(),
    externalName: string,
    externalTrafficPolicy: string,
    healthCheckNodePort: integer,
    internalTrafficPolicy: string,
    ipFamilies: list(),
    ipFamilyPolicy: string,
    loadBalancerClass: string,
    loadBalancerIP: string,
    loadBalancerSourceRanges: list(),
    ports: keyed(
      struct({
        appProtocol: string,
        name: string,
        nodePort: integer,
        port: integer,
        protocol: string,
        targetPort: intOrString
      }),
      "port",
      "protocol"
    ),
    publishNotReadyAddresses: boolean,
    selector: atomicMap(),
    sessionAffinity: string,
    sessionAffinityConfig: any,
    trafficDistribution: string,
    type: string
  }),
  status: any
})

const ingressBackend = {
  resource: any,
  service: struct({ name: string, port: struct({ name: string, number: integer }) })
}
const ingress = objectOf({
  spec: struct({
    defaultBackend: struct(ingressBackend),
    ingressClassName: string,
    rules: list(
      struct({
        host: string,
        http: struct({ paths: list(struct({ backend: struct(ingressBackend), path: string, pathType: string })) })
      })
    ),
    tls: list(struct({ hosts: list(), secretName: string }))
  }),
  status: any
})

const scaler = objectOf({
  spec: struct({
    behavior: any,
    maxReplicas: integer,
    metrics: list(any),
    minReplicas: integer,
    scaleTargetRef: struct({ apiVersion: string, kind: string, name: string })
  }),
  status: any
})
const disruptionBudget = objectOf({
  spec: struct({
    maxUnavailable: intOrString,
    minAvailable: intOrString,
    selector: labelSelector,
    unhealthyPodEvictionPolicy: string
  }),
  status: any
})
const serviceAccount = objectOf({
  automountServiceAccountToken: boolean,
  imagePullSecrets: list(struct({ name: string })),
  secrets: keyed(struct({ name: string, namespace: string, kind: string, apiVersion: string, uid: string }), "name")
})
const namespace = objectOf({ spec: struct({ finalizers: set() }), status: any })
const configMap = objectOf({ binaryData: map(), data: map(), immutable: boolean })
const secret = objectOf({ data: map(), immutable: boolean, stringData: map(), type: string })
const revision = objectOf({ data: any, revision: integer })
const node = objectOf({ spec: any, status: any })
const reference = atomic({
  apiVersion: string,
  fieldPath: string,
  kind: string,
  name: string,
  namespace: string,
  resourceVersion: string,
  uid: string
})
const event = objectOf({
  action: string,
  count: integer,
  eventTime: string,
  firstTimestamp: string,
  involvedObject: reference,
  lastTimestamp: string,
  message: string,
  reason: string,
  related: reference,
  reportingComponent: string,
  reportingInstance: string,
  series: any,
  source: struct({ component: string, host: string }),
  type: string
})

interface Extras {
  readonly short?: ReadonlyArray<string>
  readonly all?: boolean
  readonly sub?: ReadonlyArray<string>
  readonly counted?: boolean
}
const serve = (resource: Resource, schema: Node, extras: Extras = {}): Kind => ({
  ...resource,
  singular: resource.kind.toLowerCase(),
  shortNames: extras.short ?? [],
  inAll: extras.all ?? false,
  schema,
  subresources: extras.sub ?? [],
  counted: extras.counted ?? false
})

const workload = { all: true, counted: true }
const scalable = ["status", "scale"]
const status = ["status"]

export const kinds = {
  Deployment: serve(resources.Deployment, deployment, { ...workload, short: ["deploy"], sub: scalable }),
  ReplicaSet: serve(resources.ReplicaSet, replicaSet, { ...workload, short: ["rs"], sub: scalable }),
  StatefulSet: serve(resources.StatefulSet, statefulSet, { ...workload, short: ["sts"], sub: scalable }),
  DaemonSet: serve(resources.DaemonSet, daemonSet, { ...workload, short: ["ds"], sub: status }),
  ControllerRevision: serve(resources.ControllerRevision, revision),
  Pod: serve(resources.Pod, pod, { all: true, counted: true, short: ["po"], sub: ["status", "log"] }),
  Event: serve(resources.Event, event, { short: ["ev"] }),
  ConfigMap: serve(resources.ConfigMap, configMap, { short: ["cm"] }),
  Secret: serve(resources.Secret, secret),
  Service: serve(resources.Service, service, { all: true, short: ["svc"], sub: status }),
  ServiceAccount: serve(resources.ServiceAccount, serviceAccount, { short: ["sa"], sub: ["token"] }),
  PersistentVolumeClaim: serve(resources.PersistentVolumeClaim, claim, { short: ["pvc"], sub: status }),
  Namespace: serve(resources.Namespace, namespace, { short: ["ns"], sub: status }),
  Node: serve(resources.Node, node, { short: ["no"], sub: status }),
  Job: serve(resources.Job, job, { ...workload, sub: status }),
  CronJob: serve(resources.CronJob, cronJob, { ...workload, short: ["cj"], sub: status }),
  Ingress: serve(resources.Ingress, ingress, { short: ["ing"], counted: true, sub: status }),
  HorizontalPodAutoscaler: serve(resources.HorizontalPodAutoscaler, scaler, {
    all: true,
    short: ["hpa"],
    sub: status
  }),
  PodDisruptionBudget: serve(resources.PodDisruptionBudget, disruptionBudget, {
    short: ["pdb"],
    counted: true,
    sub: status
  })
} as const

export const allKinds: ReadonlyArray<Kind> = Object.values(kinds)

/** The kind under a path: group, version and lower-case plural. */
export const kindAt = (group: string, version: string, plural: string): Kind | undefined =>
  allKinds.find((kind) => kind.group === group && kind.version === version && kind.plural === plural)

export const kindNamed = (apiVersion: string, name: string): Kind | undefined =>
  allKinds.find((kind) => kind.kind === name && apiVersionOf(kind) === apiVersion)
