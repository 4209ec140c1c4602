/** The shape of a pod (core/v1 PodSpec and what hangs on it, Kubernetes 1.36); rarely used volume kinds are not looked into. */
import {
  any,
  atomic,
  atomicMap,
  boolean,
  conditions,
  extend,
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
  string,
  struct
} from "./schema.ts"

const keyInObject = atomic({ key: string, name: string, optional: boolean })
const fieldRef = atomic({ apiVersion: string, fieldPath: string })
const resourceFieldRef = atomic({ containerName: string, divisor: quantity, resource: string })
const localReference = atomic({ name: string, optional: boolean })

const env = keyed(
  struct({
    name: string,
    value: string,
    valueFrom: struct({
      configMapKeyRef: keyInObject,
      secretKeyRef: keyInObject,
      fieldRef,
      resourceFieldRef,
      fileKeyRef: atomic({ key: string, optional: boolean, path: string, volumeName: string })
    })
  }),
  "name"
)

const httpHeaders = list(struct({ name: string, value: string }))
const action = {
  exec: struct({ command: list() }),
  httpGet: struct({ host: string, httpHeaders, path: string, port: intOrString, scheme: string }),
  tcpSocket: struct({ host: string, port: intOrString })
}
const probe = struct({
  ...action,
  grpc: struct({ port: integer, service: string }),
  failureThreshold: integer,
  initialDelaySeconds: integer,
  periodSeconds: integer,
  successThreshold: integer,
  terminationGracePeriodSeconds: integer,
  timeoutSeconds: integer
})
const handler = struct({ ...action, sleep: struct({ seconds: integer }) })

const seLinuxOptions = struct({ level: string, role: string, type: string, user: string })
const seccompProfile = struct({ localhostProfile: string, type: string })
const appArmorProfile = struct({ localhostProfile: string, type: string })
const windowsOptions = any

const containerSecurity = struct({
  allowPrivilegeEscalation: boolean,
  appArmorProfile,
  capabilities: struct({ add: list(), drop: list() }),
  privileged: boolean,
  procMount: string,
  readOnlyRootFilesystem: boolean,
  runAsGroup: integer,
  runAsNonRoot: boolean,
  runAsUser: integer,
  seLinuxOptions,
  seccompProfile,
  windowsOptions
})

export const resourceRequirements: Node = struct({
  claims: keyed(struct({ name: string, request: string }), "name"),
  limits: map(quantity),
  requests: map(quantity)
})

const container = struct({
  args: list(),
  command: list(),
  env,
  envFrom: list(struct({ configMapRef: localReference, secretRef: localReference, prefix: string })),
  image: string,
  imagePullPolicy: string,
  lifecycle: struct({ postStart: handler, preStop: handler, stopSignal: string }),
  livenessProbe: probe,
  name: string,
  ports: keyed(
    struct({ containerPort: integer, hostIP: string, hostPort: integer, name: string, protocol: string }),
    "containerPort",
    "protocol"
  ),
  readinessProbe: probe,
  resizePolicy: list(struct({ resourceName: string, restartPolicy: string })),
  resources: resourceRequirements,
  restartPolicy: string,
  restartPolicyRules: any,
  securityContext: containerSecurity,
  startupProbe: probe,
  stdin: boolean,
  stdinOnce: boolean,
  terminationMessagePath: string,
  terminationMessagePolicy: string,
  tty: boolean,
  volumeDevices: keyed(struct({ devicePath: string, name: string }), "devicePath"),
  volumeMounts: keyed(
    struct({
      mountPath: string,
      mountPropagation: string,
      name: string,
      readOnly: boolean,
      recursiveReadOnly: string,
      subPath: string,
      subPathExpr: string
    }),
    "mountPath"
  ),
  workingDir: string
})

const items = list(struct({ key: string, mode: integer, path: string }))
const downwardItems = list(struct({ fieldRef, mode: integer, path: string, resourceFieldRef }))
const rareVolumes = Object.fromEntries(
  [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "image",
    "iscsi",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume"
  ].map((name) => [name, any] as const)
)

const typedReference = { apiGroup: string, kind: string, name: string }
export const claimSpec: Node = struct({
  accessModes: list(),
  dataSource: atomic(typedReference),
  dataSourceRef: struct({ ...typedReference, namespace: string }),
  resources: struct({ limits: map(quantity), requests: map(quantity) }),
  selector: labelSelector,
  storageClassName: string,
  volumeAttributesClassName: string,
  volumeMode: string,
  volumeName: string
})

const volume = struct({
  ...rareVolumes,
  name: string,
  configMap: struct({ defaultMode: integer, items, name: string, optional: boolean }),
  csi: struct({
    driver: string,
    fsType: string,
    nodePublishSecretRef: atomic({ name: string }),
    readOnly: boolean,
    volumeAttributes: map()
  }),
  downwardAPI: struct({ defaultMode: integer, items: downwardItems }),
  emptyDir: struct({ medium: string, sizeLimit: quantity }),
  ephemeral: struct({ volumeClaimTemplate: struct({ metadata, spec: claimSpec }) }),
  hostPath: struct({ path: string, type: string }),
  nfs: struct({ path: string, readOnly: boolean, server: string }),
  persistentVolumeClaim: struct({ claimName: string, readOnly: boolean }),
  projected: struct({
    defaultMode: integer,
    sources: list(
      struct({
        clusterTrustBundle: any,
        configMap: struct({ items, name: string, optional: boolean }),
        downwardAPI: struct({ items: downwardItems }),
        podCertificate: any,
        secret: struct({ items, name: string, optional: boolean }),
        serviceAccountToken: struct({ audience: string, expirationSeconds: integer, path: string })
      })
    )
  }),
  secret: struct({ defaultMode: integer, items, optional: boolean, secretName: string })
})

const podSecurity = struct({
  appArmorProfile,
  fsGroup: integer,
  fsGroupChangePolicy: string,
  runAsGroup: integer,
  runAsNonRoot: boolean,
  runAsUser: integer,
  seLinuxChangePolicy: string,
  seLinuxOptions,
  seccompProfile,
  supplementalGroups: list(integer),
  supplementalGroupsPolicy: string,
  sysctls: list(struct({ name: string, value: string })),
  windowsOptions
})

export const podSpec: Node = struct({
  activeDeadlineSeconds: integer,
  affinity: struct({ nodeAffinity: any, podAffinity: any, podAntiAffinity: any }),
  automountServiceAccountToken: boolean,
  containers: keyed(container, "name"),
  dnsConfig: struct({ nameservers: list(), options: list(struct({ name: string, value: string })), searches: list() }),
  dnsPolicy: string,
  enableServiceLinks: boolean,
  ephemeralContainers: keyed(extend(container, { targetContainerName: string }), "name"),
  hostAliases: keyed(struct({ hostnames: list(), ip: string }), "ip"),
  hostIPC: boolean,
  hostNetwork: boolean,
  hostPID: boolean,
  hostUsers: boolean,
  hostname: string,
  hostnameOverride: string,
  imagePullSecrets: keyed(atomic({ name: string }), "name"),
  initContainers: keyed(container, "name"),
  nodeName: string,
  nodeSelector: atomicMap(),
  os: struct({ name: string }),
  overhead: map(quantity),
  preemptionPolicy: string,
  priority: integer,
  priorityClassName: string,
  readinessGates: list(struct({ conditionType: string })),
  resourceClaims: keyed(struct({ name: string, resourceClaimName: string, resourceClaimTemplateName: string }), "name"),
  resources: resourceRequirements,
  restartPolicy: string,
  runtimeClassName: string,
  schedulerName: string,
  schedulingGates: keyed(struct({ name: string }), "name"),
  securityContext: podSecurity,
  serviceAccount: string,
  serviceAccountName: string,
  setHostnameAsFQDN: boolean,
  shareProcessNamespace: boolean,
  subdomain: string,
  terminationGracePeriodSeconds: integer,
  tolerations: list(
    struct({ effect: string, key: string, operator: string, tolerationSeconds: integer, value: string })
  ),
  topologySpreadConstraints: keyed(
    struct({
      labelSelector,
      matchLabelKeys: list(),
      maxSkew: integer,
      minDomains: integer,
      nodeAffinityPolicy: string,
      nodeTaintsPolicy: string,
      topologyKey: string,
      whenUnsatisfiable: string
    }),
    "topologyKey",
    "whenUnsatisfiable"
  ),
  volumes: keyed(volume, "name"),
  workloadRef: any
})

export const podTemplate: Node = struct({ metadata, spec: podSpec })

export const pod: Node = objectOf({
  spec: podSpec,
  status: struct({
    conditions,
    containerStatuses: list(any),
    ephemeralContainerStatuses: list(any),
    extendedResourceClaimStatus: any,
    hostIP: string,
    hostIPs: list(any),
    initContainerStatuses: list(any),
    message: string,
    nominatedNodeName: string,
    observedGeneration: integer,
    phase: string,
    podIP: string,
    podIPs: keyed(struct({ ip: string }), "ip"),
    qosClass: string,
    reason: string,
    resize: string,
    resourceClaimStatuses: any,
    startTime: string
  })
})
