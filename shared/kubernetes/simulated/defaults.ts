/** What the API server fills in (Kubernetes 1.36): defaults of each kind's spec, on a copy that the caller owns; must refuse nothing. */
import type { Kind } from "./kinds.ts"
import { at, clone, type Fields, fieldsAt, isFields, labelsOf, objectsAt, put, textAt, type Value } from "./values.ts"

const fill = (into: Fields, values: Fields): void => {
  for (const [key, value] of Object.entries(values)) {
    if (into[key] === undefined || into[key] === null) into[key] = clone(value)
  }
}
/** The object at `key`, made if absent. */
const child = (of: Fields, key: string): Fields => {
  const found = of[key]
  if (isFields(found)) return found
  const made: Fields = {}
  of[key] = made
  return made
}

const probeDefaults = (probe: Fields): void => {
  fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 })
  const httpGet = probe["httpGet"]
  if (isFields(httpGet)) fill(httpGet, { scheme: "HTTP", path: "/" })
}

const untagged = (image: string) => {
  const last = image.slice(image.lastIndexOf("/") + 1)
  return !image.includes("@") && (!last.includes(":") || last.endsWith(":latest"))
}

const containerDefaults = (container: Fields): void => {
  fill(container, {
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    imagePullPolicy: untagged(textAt(container, "image")) ? "Always" : "IfNotPresent",
    resources: {}
  })
  for (const port of objectsAt(container, "ports")) fill(port, { protocol: "TCP" })
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = container[name]
    if (isFields(probe)) probeDefaults(probe)
  }
  for (const variable of objectsAt(container, "env")) {
    const reference = at(variable, "valueFrom", "fieldRef")
    if (isFields(reference)) fill(reference, { apiVersion: "v1" })
  }
}

const volumeDefaults = (volume: Fields): void => {
  if (Object.keys(volume).every((key) => key === "name")) volume["emptyDir"] = {}
  for (const source of ["configMap", "secret", "downwardAPI", "projected"]) {
    const found = volume[source]
    if (isFields(found)) fill(found, { defaultMode: 420 })
  }
  for (const source of objectsAt(volume, "projected", "sources")) {
    const token = source["serviceAccountToken"]
    if (isFields(token)) fill(token, { expirationSeconds: 3600 })
  }
}

const podDefaults = (spec: Fields): void => {
  fill(spec, {
    restartPolicy: "Always",
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
    terminationGracePeriodSeconds: 30,
    securityContext: {}
  })
  const account = textAt(spec, "serviceAccountName") || textAt(spec, "serviceAccount")
  if (account !== "") fill(spec, { serviceAccountName: account, serviceAccount: account })
  for (const list of ["initContainers", "containers"]) objectsAt(spec, list).forEach(containerDefaults)
  objectsAt(spec, "volumes").forEach(volumeDefaults)
}

const templateDefaults = (spec: Fields): void => podDefaults(child(child(spec, "template"), "spec"))

const jobDefaults = (spec: Fields): void => {
  fill(spec, {
    parallelism: 1,
    completions: 1,
    backoffLimit: 6,
    completionMode: "NonIndexed",
    suspend: false,
    podReplacementPolicy: "TerminatingOrFailed",
    manualSelector: false
  })
  templateDefaults(spec)
}

const claimDefaults = (claim: Fields): void => {
  fill(child(claim, "spec"), { volumeMode: "Filesystem" })
  fill(child(claim, "status"), { phase: "Pending" })
}

const serviceDefaults = (spec: Fields): void => {
  fill(spec, { type: "ClusterIP", sessionAffinity: "None", internalTrafficPolicy: "Cluster" })
  for (const port of objectsAt(spec, "ports")) {
    fill(port, { protocol: "TCP" })
    fill(port, { targetPort: port["port"] ?? 0 })
  }
  if (textAt(spec, "type") !== "ExternalName") fill(spec, { ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack" })
}

const byKind: Readonly<Record<string, (object: Fields, spec: () => Fields) => void>> = {
  Deployment: (_, spec) => {
    fill(spec(), {
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: "RollingUpdate" }
    })
    const strategy = child(spec(), "strategy")
    fill(strategy, { type: "RollingUpdate" })
    if (strategy["type"] === "RollingUpdate") {
      fill(child(strategy, "rollingUpdate"), { maxSurge: "25%", maxUnavailable: "25%" })
    }
    templateDefaults(spec())
  },
  ReplicaSet: (object, spec) => {
    fill(spec(), { replicas: 1 })
    templateDefaults(spec())
    const labels = fieldsAt(object, "spec", "template", "metadata", "labels")
    if (Object.keys(labelsOf(object)).length === 0) put(object, clone(labels), "metadata", "labels")
  },
  StatefulSet: (_, spec) => {
    fill(spec(), {
      replicas: 1,
      podManagementPolicy: "OrderedReady",
      revisionHistoryLimit: 10,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" }
    })
    const strategy = child(spec(), "updateStrategy")
    fill(strategy, { type: "RollingUpdate" })
    if (strategy["type"] === "RollingUpdate") fill(child(strategy, "rollingUpdate"), { partition: 0 })
    templateDefaults(spec())
    for (const claim of objectsAt(spec(), "volumeClaimTemplates")) {
      fill(claim, { apiVersion: "v1", kind: "PersistentVolumeClaim" })
      claimDefaults(claim)
    }
  },
  DaemonSet: (_, spec) => {
    fill(spec(), { revisionHistoryLimit: 10 })
    const strategy = child(spec(), "updateStrategy")
    fill(strategy, { type: "RollingUpdate" })
    if (strategy["type"] === "RollingUpdate") fill(child(strategy, "rollingUpdate"), { maxUnavailable: 1, maxSurge: 0 })
    templateDefaults(spec())
  },
  Pod: (_, spec) => {
    podDefaults(spec())
    // Templates keep what they were given; only the pod asks for what it is limited to.
    for (const list of ["initContainers", "containers"]) {
      for (const container of objectsAt(spec(), list)) {
        const limits = at(container, "resources", "limits")
        if (isFields(limits)) fill(child(child(container, "resources"), "requests"), limits)
      }
    }
    fill(spec(), { enableServiceLinks: true })
  },
  Job: (_, spec) => jobDefaults(spec()),
  CronJob: (_, spec) => {
    fill(spec(), {
      concurrencyPolicy: "Allow",
      suspend: false,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 1
    })
    templateDefaults(child(child(spec(), "jobTemplate"), "spec"))
  },
  Service: (_, spec) => serviceDefaults(spec()),
  PersistentVolumeClaim: (object) => claimDefaults(object),
  HorizontalPodAutoscaler: (_, spec) => fill(spec(), { minReplicas: 1 }),
  Namespace: (object, spec) => {
    fill(spec(), { finalizers: ["kubernetes"] })
    put(object, textAt(object, "metadata", "name"), "metadata", "labels", "kubernetes.io/metadata.name")
    fill(child(object, "status"), { phase: "Active" })
  },
  Secret: (object) => {
    fill(object, { type: "Opaque" })
    const texts: Value | undefined = object["stringData"]
    if (!isFields(texts)) return
    const data = child(object, "data")
    for (const [key, text] of Object.entries(texts)) {
      if (typeof text === "string") data[key] = Buffer.from(text, "utf8").toString("base64")
    }
    delete object["stringData"]
  }
}

/** Fills in `object` in place. */
export const setDefaults = (kind: Kind, object: Fields): void => {
  if (Object.hasOwn(byKind, kind.kind)) byKind[kind.kind]!(object, () => child(object, "spec"))
}

const statuses: Readonly<Record<string, Fields>> = {
  Deployment: {},
  ReplicaSet: { replicas: 0 },
  StatefulSet: { replicas: 0, availableReplicas: 0 },
  DaemonSet: { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
  Job: {},
  CronJob: {},
  Service: { loadBalancer: {} },
  Ingress: { loadBalancer: {} },
  Pod: { phase: "Pending" }
}

/** The status of a new object, whatever its maker wrote there. */
export const initialStatus = (kind: Kind): Fields | undefined =>
  Object.hasOwn(statuses, kind.kind) ? clone(statuses[kind.kind]!) : undefined
