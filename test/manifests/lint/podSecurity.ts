/** Pod Security "restricted", field by field, and what other checklists ask of a pod's confinement beyond it. */
import { at, flagAt, listAt, numberAt, textAt } from "#shared/kubernetes/fields.ts"
import { securityOf, volumesOf } from "#test/manifests/workloads.ts"
import { perContainer, perWorkload, type Rule, when } from "./rule.ts"

const admin = "dev/Deployment/admin"
const pod = "/spec/template/spec"
const first = `${pod}/containers/0`
const context = `${first}/securityContext`

const volumeTypes = [
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "persistentVolumeClaim",
  "projected",
  "secret"
]

export const podSecurity: ReadonlyArray<Rule> = [
  perWorkload(
    "host-namespaces",
    "no network, process or IPC namespace of the host",
    ({ pod }) => ["hostNetwork", "hostPID", "hostIPC"].flatMap((field) => when(flagAt(pod, field), `${field} is set`)),
    ["hostNetwork", "hostPID", "hostIPC"].map((field) => ({ place: admin, set: { [`${pod}/${field}`]: true } }))
  ),
  perContainer(
    "privileged",
    "no privileged container",
    ({ fields }) => when(flagAt(fields, "securityContext", "privileged"), "is privileged"),
    [{ place: admin, set: { [`${context}/privileged`]: true } }]
  ),
  perContainer(
    "capabilities",
    "every capability dropped, none added",
    ({ fields }) => [
      ...when(!listAt(fields, "securityContext", "capabilities", "drop").includes("ALL"), "does not drop ALL"),
      ...when(listAt(fields, "securityContext", "capabilities", "add").length > 0, "adds capabilities")
    ],
    [
      { place: admin, set: { [`${context}/capabilities`]: { drop: ["NET_RAW"] } } },
      { place: admin, set: { [`${context}/capabilities/add`]: ["NET_BIND_SERVICE"] } }
    ]
  ),
  perWorkload(
    "host-path",
    "no path of the host",
    (workload) =>
      volumesOf(workload).flatMap((volume) =>
        when(at(volume, "hostPath") !== undefined, `mounts ${textAt(volume, "hostPath", "path") ?? "?"} of the host`)
      ),
    [{ place: admin, set: { [`${pod}/volumes/0`]: { name: "tmp", hostPath: { path: "/var/run/docker.sock" } } } }]
  ),
  perContainer(
    "host-path-read-only",
    "a path of the host, if any, mounted read-only with what lies below",
    ({ fields }, workload) => {
      const hostVolumes = volumesOf(workload).flatMap((volume) =>
        at(volume, "hostPath") === undefined ? [] : [textAt(volume, "name")]
      )
      return listAt(fields, "volumeMounts").flatMap((mount) =>
        when(
          hostVolumes.includes(textAt(mount, "name")) &&
            !(flagAt(mount, "readOnly") && /^(?:Enabled|IfPossible)$/u.test(textAt(mount, "recursiveReadOnly") ?? "")),
          `writes to ${textAt(mount, "mountPath") ?? "?"}`
        )
      )
    },
    [{ place: "dev-monitoring/Deployment/monitor", set: { [`${first}/volumeMounts/3/readOnly`]: false } }]
  ),
  perWorkload(
    "volume-types",
    "only the types of volume that the restricted standard has",
    (workload) =>
      volumesOf(workload).flatMap((volume) =>
        Object.keys(volume)
          .filter((key) => key !== "name" && key !== "hostPath" && !volumeTypes.includes(key))
          .map((key) => `has a volume of type ${key}`)
      ),
    [{ place: admin, set: { [`${pod}/volumes/0`]: { name: "tmp", nfs: { server: "a", path: "/" } } } }]
  ),
  perContainer(
    "host-ports",
    "no port of the host",
    ({ fields }) =>
      listAt(fields, "ports").flatMap((port) =>
        when((numberAt(port, "hostPort") ?? 0) !== 0, "has a port of the host")
      ),
    [{ place: admin, set: { [`${first}/ports/0/hostPort`]: 80 } }]
  ),
  perContainer(
    "probe-hosts",
    "no probe or hook that names a host",
    ({ fields }) =>
      ["livenessProbe", "readinessProbe", "startupProbe"].flatMap((probe) =>
        when(
          (textAt(fields, probe, "httpGet", "host") ?? textAt(fields, probe, "tcpSocket", "host") ?? "") !== "",
          `${probe} names a host`
        )
      ),
    [{ place: admin, set: { [`${first}/livenessProbe/httpGet/host`]: "169.254.169.254" } }]
  ),
  perContainer(
    "app-armor",
    "no container without the runtime's AppArmor profile",
    (container, workload) =>
      when(securityOf(workload, container, "appArmorProfile", "type") === "Unconfined", "is unconfined by AppArmor"),
    [{ place: admin, set: { [`${context}/appArmorProfile`]: { type: "Unconfined" } } }]
  ),
  perContainer(
    "se-linux",
    "no SELinux label of its own",
    (container, workload) =>
      when(securityOf(workload, container, "seLinuxOptions") !== undefined, "sets SELinux options"),
    [{ place: admin, set: { [`${context}/seLinuxOptions`]: { type: "spc_t" } } }]
  ),
  perContainer(
    "proc-mount",
    "the masked /proc",
    ({ fields }) => when((textAt(fields, "securityContext", "procMount") ?? "Default") !== "Default", "unmasks /proc"),
    [{ place: admin, set: { [`${context}/procMount`]: "Unmasked" } }]
  ),
  perContainer(
    "seccomp",
    "the runtime's seccomp profile",
    (container, workload) =>
      when(securityOf(workload, container, "seccompProfile", "type") !== "RuntimeDefault", "has no seccomp profile"),
    [
      { place: admin, remove: [`${pod}/securityContext/seccompProfile`] },
      { place: admin, set: { [`${context}/seccompProfile`]: { type: "Unconfined" } } }
    ]
  ),
  perWorkload(
    "sysctls",
    "no sysctl",
    ({ pod }) => when(listAt(pod, "securityContext", "sysctls").length > 0, "sets sysctls"),
    [{ place: admin, set: { [`${pod}/securityContext/sysctls`]: [{ name: "kernel.msgmax", value: "1" }] } }]
  ),
  perContainer(
    "windows-host-process",
    "no process of a Windows host",
    (container, workload) =>
      when(securityOf(workload, container, "windowsOptions", "hostProcess") === true, "is a process of the host"),
    [{ place: admin, set: { [`${context}/windowsOptions`]: { hostProcess: true } } }]
  ),
  perContainer(
    "privilege-escalation",
    "allowPrivilegeEscalation is false",
    ({ fields }) =>
      when(at(fields, "securityContext", "allowPrivilegeEscalation") !== false, "may gain more privileges"),
    [
      { place: admin, remove: [`${context}/allowPrivilegeEscalation`] },
      { place: "dev/Deployment/data", set: { [`${pod}/initContainers/0/securityContext`]: {} } }
    ]
  ),
  perContainer(
    "run-as-non-root",
    "runAsNonRoot, and no user 0",
    (container, workload) => [
      ...when(securityOf(workload, container, "runAsNonRoot") !== true, "may run as root"),
      ...when(securityOf(workload, container, "runAsUser") === 0, "runs as root")
    ],
    [
      { place: admin, remove: [`${pod}/securityContext/runAsNonRoot`] },
      { place: admin, set: { [`${context}/runAsUser`]: 0 } }
    ]
  ),
  perContainer(
    "high-user-ids",
    "user and group from 10000 on",
    (container, workload) =>
      ["runAsUser", "runAsGroup"].flatMap((field) =>
        when(!(Number(securityOf(workload, container, field)) >= 10_000), `${field} is below 10000`)
      ),
    [
      { place: admin, set: { [`${pod}/securityContext/runAsUser`]: 999 } },
      { place: "dev/StatefulSet/data-db", set: { [`${pod}/securityContext/runAsGroup`]: 999 } }
    ]
  ),
  perContainer(
    "read-only-root",
    "a read-only root file system",
    ({ fields }) => when(!flagAt(fields, "securityContext", "readOnlyRootFilesystem"), "has a writable root"),
    [{ place: admin, remove: [`${context}/readOnlyRootFilesystem`] }]
  )
]
