/** What a pod template may not ask for, in every kind that has one: the doors from a pod to its node and to other identities. Pure. */
import type { InputFault } from "#shared/domain/errors.ts"
import { at, type Fields, fieldsOf, flagAt, isFields, listAt, numberAt, textAt } from "#shared/kubernetes/fields.ts"

/** Identities that a template may name beside what the live workload has. */
export interface PodPolicy {
  readonly serviceAccounts: ReadonlyArray<string>
  readonly pullSecrets: ReadonlyArray<string>
}

const templatePaths: Readonly<Record<string, ReadonlyArray<string>>> = {
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"]
}

/** The pod template of an object of some kind, undefined where it has none. */
export const templateOf = (
  kind: string,
  object: unknown
): { readonly template: Fields; readonly pointer: string } | undefined => {
  const path = templatePaths[kind]
  if (path === undefined) return undefined
  const template = at(object, ...path)
  return isFields(template) ? { template, pointer: `/${path.join("/")}` } : undefined
}

/** The service account that a pod spec names, in its present or its deprecated field. */
const accountsOf = (spec: unknown) =>
  ["serviceAccountName", "serviceAccount"].flatMap((field) => {
    const name = textAt(spec, field)
    return name === undefined || name === "" ? [] : [{ field, name }]
  })

const pullSecretsOf = (spec: unknown) => listAt(spec, "imagePullSecrets").map((one) => textAt(one, "name") ?? "")

type Fault = (pointer: string, code: string, detail: string) => void

/** What the Pod Security Standards' baseline allows. */
const seLinuxTypes: ReadonlySet<string> = new Set([
  "",
  "container_t",
  "container_init_t",
  "container_kvm_t",
  "container_engine_t"
])

/** The annotation that named a container's AppArmor profile before there was a field for it. */
const appArmorAnnotation = "container.apparmor.security.beta.kubernetes.io/"

const securityFaults = (context: unknown, pointer: string, fault: Fault) => {
  if (flagAt(context, "privileged")) fault(`${pointer}/privileged`, "privileged", "a container may not be privileged")
  if (listAt(context, "capabilities", "add").length > 0) {
    fault(`${pointer}/capabilities/add`, "capabilities", "capabilities may be dropped, not added")
  }
  const procMount = textAt(context, "procMount")
  if (procMount !== undefined && procMount !== "Default") {
    fault(`${pointer}/procMount`, "proc_mount", "procMount must be Default")
  }
  if (textAt(context, "seccompProfile", "type") === "Unconfined") {
    fault(`${pointer}/seccompProfile/type`, "seccomp", "the seccomp profile may not be Unconfined")
  }
  if (textAt(context, "appArmorProfile", "type") === "Unconfined") {
    fault(`${pointer}/appArmorProfile/type`, "app_armor", "the AppArmor profile may not be Unconfined")
  }
  const label = at(context, "seLinuxOptions")
  const type = textAt(label, "type") ?? ""
  if ((textAt(label, "user") ?? "") + (textAt(label, "role") ?? "") !== "" || !seLinuxTypes.has(type)) {
    fault(`${pointer}/seLinuxOptions`, "se_linux", "SELinux may confine a container, not free it")
  }
  if (flagAt(context, "windowsOptions", "hostProcess")) {
    fault(`${pointer}/windowsOptions/hostProcess`, "host_process", "a container may not be a process of the host")
  }
}

/** Every fault of the pod template of `object`; `live` is the object as it is now, if it exists. */
export const podFaults = (
  kind: string,
  object: unknown,
  live: unknown,
  policy: PodPolicy
): ReadonlyArray<Pick<InputFault, "pointer" | "detail"> & { readonly code: string }> => {
  const found = templateOf(kind, object)
  if (found === undefined) return []
  const faults: Array<{ pointer: string; code: string; detail: string }> = []
  const fault: Fault = (pointer, code, detail) => void faults.push({ pointer, code, detail })
  const spec = at(found.template, "spec")
  const liveSpec = at(templateOf(kind, live)?.template, "spec")
  const here = `${found.pointer}/spec`

  for (const [key, value] of Object.entries(fieldsOf(at(found.template, "metadata", "annotations")))) {
    if (key.startsWith(appArmorAnnotation) && value === "unconfined") {
      const pointer = `${found.pointer}/metadata/annotations/${key.replaceAll("/", "~1")}`
      fault(pointer, "app_armor", "the AppArmor profile may not be unconfined")
    }
  }
  for (const field of ["hostNetwork", "hostPID", "hostIPC"]) {
    if (flagAt(spec, field)) fault(`${here}/${field}`, "host_namespace", `${field} is not allowed`)
  }
  for (const [index, volume] of listAt(spec, "volumes").entries()) {
    if (at(volume, "hostPath") !== undefined && at(volume, "hostPath") !== null) {
      fault(`${here}/volumes/${index}/hostPath`, "host_path", "a volume may not be a path of the host")
    }
  }
  securityFaults(at(spec, "securityContext"), `${here}/securityContext`, fault)
  if (listAt(spec, "securityContext", "sysctls").length > 0) {
    fault(`${here}/securityContext/sysctls`, "sysctls", "sysctls are not allowed")
  }
  const liveAccounts = accountsOf(liveSpec).map(({ name }) => name)
  for (const { field, name } of accountsOf(spec)) {
    if (name === "default" || policy.serviceAccounts.includes(name) || liveAccounts.includes(name)) continue
    fault(`${here}/${field}`, "foreign_service_account", "this workload does not have that service account")
  }
  const livePullSecrets = pullSecretsOf(liveSpec)
  for (const [index, name] of pullSecretsOf(spec).entries()) {
    if (policy.pullSecrets.includes(name) || livePullSecrets.includes(name)) continue
    fault(`${here}/imagePullSecrets/${index}`, "foreign_pull_secret", "this workload does not have that pull secret")
  }
  for (const list of ["containers", "initContainers", "ephemeralContainers"]) {
    for (const [index, container] of listAt(spec, list).entries()) {
      const pointer = `${here}/${list}/${index}`
      securityFaults(at(container, "securityContext"), `${pointer}/securityContext`, fault)
      for (const [number, port] of listAt(container, "ports").entries()) {
        if ((numberAt(port, "hostPort") ?? 0) !== 0) {
          fault(`${pointer}/ports/${number}/hostPort`, "host_port", "a port of the host is not allowed")
        }
      }
    }
  }
  return faults
}
