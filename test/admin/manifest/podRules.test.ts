/** The doors from a pod to its node and to other identities, closed in the template of every kind, in every list of containers. */
import { describe, expect, test } from "bun:test"
import { allowedResource } from "#admin/manifest/allowedKinds.ts"
import { admit } from "#admin/manifest/objectRules.ts"
import { parseManifest } from "#admin/manifest/parseManifest.ts"
import { podFaults } from "#admin/manifest/podRules.ts"

const policy = { serviceAccounts: ["web"], pullSecrets: ["registry"] }

const around = (kind: string, podSpec: object): object => {
  const template = { metadata: { labels: { app: "x" } }, spec: podSpec }
  return {
    kind,
    spec: kind === "CronJob" ? { schedule: "0 0 * * *", jobTemplate: { spec: { template } } } : { template }
  }
}
const kinds = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"]
const lists = ["containers", "initContainers", "ephemeralContainers"]

const codes = (kind: string, podSpec: object, live?: object) =>
  podFaults(kind, around(kind, podSpec), live === undefined ? undefined : around(kind, live), policy).map(
    ({ code }) => code
  )

describe("security: a pod template", () => {
  const ofPod: ReadonlyArray<readonly [string, object]> = [
    ["host_namespace", { hostNetwork: true }],
    ["host_namespace", { hostPID: true }],
    ["host_namespace", { hostIPC: true }],
    [
      "host_path",
      {
        volumes: [
          { name: "a", emptyDir: {} },
          { name: "v", hostPath: { path: "/" } }
        ]
      }
    ],
    ["host_path", { volumes: [{ name: "v", hostPath: {} }] }],
    ["sysctls", { securityContext: { sysctls: [{ name: "net.core.somaxconn", value: "1" }] } }],
    ["seccomp", { securityContext: { seccompProfile: { type: "Unconfined" } } }],
    ["foreign_service_account", { serviceAccountName: "gatehouse-admin" }],
    ["foreign_service_account", { serviceAccount: "gatehouse-admin" }],
    ["foreign_pull_secret", { imagePullSecrets: [{ name: "registry" }, { name: "stolen" }] }]
  ]
  const ofContainer: ReadonlyArray<readonly [string, object]> = [
    ["privileged", { securityContext: { privileged: true } }],
    ["capabilities", { securityContext: { capabilities: { add: ["SYS_ADMIN"], drop: ["ALL"] } } }],
    ["proc_mount", { securityContext: { procMount: "Unmasked" } }],
    ["seccomp", { securityContext: { seccompProfile: { type: "Unconfined" } } }],
    ["app_armor", { securityContext: { appArmorProfile: { type: "Unconfined" } } }],
    ["se_linux", { securityContext: { seLinuxOptions: { type: "spc_t" } } }],
    ["se_linux", { securityContext: { seLinuxOptions: { user: "system_u" } } }],
    ["host_process", { securityContext: { windowsOptions: { hostProcess: true } } }],
    ["host_port", { ports: [{ containerPort: 80 }, { containerPort: 81, hostPort: 81 }] }]
  ]

  test.each(kinds)("of a %s may hold none of them", (kind) => {
    for (const [code, spec] of ofPod) expect([kind, spec, codes(kind, spec)]).toEqual([kind, spec, [code]])
    for (const list of lists) {
      for (const [code, container] of ofContainer) {
        const spec = { [list]: [{ name: "fine" }, { name: "bad", ...container }] }
        expect([kind, spec, codes(kind, spec)]).toEqual([kind, spec, [code]])
      }
    }
  })

  test("may not be freed of AppArmor by the old annotation", () => {
    const annotations = { "container.apparmor.security.beta.kubernetes.io/main": "unconfined" }
    const object = { kind: "Job", spec: { template: { metadata: { annotations }, spec: { containers: [] } } } }
    expect(podFaults("Job", object, undefined, policy).map(({ code, pointer }) => [code, pointer])).toEqual([
      ["app_armor", "/spec/template/metadata/annotations/container.apparmor.security.beta.kubernetes.io~1main"]
    ])
  })

  test("says where, down to the field", () => {
    const [fault] = podFaults(
      "CronJob",
      around("CronJob", { initContainers: [{}, { securityContext: { privileged: true } }] }),
      undefined,
      policy
    )
    expect(fault?.pointer).toBe("/spec/jobTemplate/spec/template/spec/initContainers/1/securityContext/privileged")
  })

  test("may do all that asks for nothing of its node, and keep the identities it has or is granted", () => {
    const spec = {
      serviceAccountName: "web",
      imagePullSecrets: [{ name: "registry" }],
      hostNetwork: false,
      volumes: [{ name: "c", configMap: { name: "c" } }],
      containers: [
        {
          securityContext: { privileged: false, capabilities: { drop: ["ALL"] }, procMount: "Default" },
          ports: [{ containerPort: 80, hostPort: 0 }]
        }
      ]
    }
    expect(codes("Deployment", spec)).toEqual([])
    expect(codes("Deployment", { serviceAccountName: "default" })).toEqual([])
    expect(codes("Deployment", { serviceAccountName: "own" }, { serviceAccountName: "own" })).toEqual([])
    expect(
      codes("Deployment", { imagePullSecrets: [{ name: "own" }] }, { imagePullSecrets: [{ name: "own" }] })
    ).toEqual([])
  })
})

describe("security: an object of a manifest", () => {
  const admitted = (...objects: ReadonlyArray<object>) => {
    const parsed = parseManifest(JSON.stringify({ kind: "List", items: objects }))
    if (parsed._tag === "Failure") throw parsed.failure
    const result = admit(parsed.success, { namespace: "dev", secrets: false })
    return result._tag === "Failure" ? result.failure.errors.map(({ code, pointer }) => [code, pointer]) : "admitted"
  }
  const configMap = (metadata: object, more: object = {}) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata,
    ...more
  })

  test.each([
    ["v1", "Namespace"],
    ["v1", "Node"],
    ["v1", "PersistentVolume"],
    ["v1", "Pod"],
    ["v1", "ServiceAccount"],
    ["apps/v1", "ReplicaSet"],
    ["rbac.authorization.k8s.io/v1", "Role"],
    ["rbac.authorization.k8s.io/v1", "RoleBinding"],
    ["rbac.authorization.k8s.io/v1", "ClusterRole"],
    ["rbac.authorization.k8s.io/v1", "ClusterRoleBinding"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition"],
    ["admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"],
    ["admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"],
    ["evil.example/v1", "Deployment"],
    ["apps/v1beta1", "Deployment"],
    ["v1", "deployment"]
  ])("%s %s is of no allowed kind, also in a List", (apiVersion, kind) => {
    expect(allowedResource(apiVersion, kind)).toBeUndefined()
    expect(admitted(configMap({ name: "a" }), { apiVersion, kind, metadata: { name: "x" } })).toEqual([
      ["kind_not_allowed", "/objects/1/kind"]
    ])
  })

  test("is refused for what only the API server writes, another namespace, and names that are none", () => {
    expect(admitted(configMap({ name: "a" }), configMap({ name: "b", namespace: "dev" }))).toBe("admitted")
    for (const [metadata, code] of [
      [{ name: "a", namespace: "prod" }, "other_namespace"],
      [{ name: "a", namespace: 5 }, "other_namespace"],
      [{ generateName: "a-" }, "generate_name"],
      [{ name: "a", generateName: "a-" }, "generate_name"],
      [{}, "bad_name"],
      [{ name: "../x" }, "bad_name"],
      [{ name: "A" }, "bad_name"],
      [{ name: "a", managedFields: [] }, "server_field"],
      [{ name: "a", resourceVersion: "1" }, "server_field"],
      [{ name: "a", uid: "1" }, "server_field"],
      [{ name: "a", annotations: { x: 5 } }, "not_text"]
    ] as const) {
      expect([metadata, admitted(configMap(metadata))]).toEqual([metadata, [[code, expect.any(String)]]])
    }
    expect(admitted(configMap({ name: "a" }, { status: {} }))).toEqual([["server_field", "/objects/0/status"]])
    expect(admitted(configMap({ name: "a" }), configMap({ name: "a" }))).toEqual([
      ["duplicate_object", "/objects/1/metadata/name"]
    ])
  })

  test("of another namespace is refused in kubectl's words", () => {
    const parsed = parseManifest(JSON.stringify(configMap({ name: "a", namespace: "prod" })))
    const result = admit(parsed._tag === "Success" ? parsed.success : [], { namespace: "dev", secrets: true })
    expect(result._tag === "Failure" ? result.failure.errors[0]?.detail : "").toBe(
      `the namespace from the provided object "prod" does not match the namespace "dev". You must pass '--namespace=prod' to perform this operation.`
    )
  })

  test("has base64 where the API server decodes it, and a fault there without the value", () => {
    const judged = (tree: object) => {
      const parsed = parseManifest(JSON.stringify({ apiVersion: "v1", metadata: { name: "a" }, ...tree }))
      const result = admit(parsed._tag === "Success" ? parsed.success : [], { namespace: "dev", secrets: true })
      return result._tag === "Failure" ? result.failure.errors : "admitted"
    }
    for (const k of ["", "aGk=", "aGk=\n", "AAAA", "aGVsbG8h\r\naGk="]) {
      expect(judged({ kind: "Secret", data: { k } })).toBe("admitted")
    }
    for (const k of ["canary text", "aGk", "a===", "aGk_", 5, true]) {
      expect(judged({ kind: "Secret", data: { k } })).toMatchObject([
        { pointer: "/objects/0/data/k", code: "bad_base64" }
      ])
      expect(JSON.stringify(judged({ kind: "Secret", data: { k } }))).not.toContain("canary")
    }
    expect(judged({ kind: "ConfigMap", binaryData: { k: "x" } })).toMatchObject([
      { pointer: "/objects/0/binaryData/k" }
    ])
    expect(judged({ kind: "ConfigMap", data: { k: "x" } })).toBe("admitted")
  })

  test("is no Secret where those are switched off, and never a service account's token", () => {
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" } }
    expect(admitted(secret)).toEqual([["kind_not_allowed", "/objects/0/kind"]])
    const token = { ...secret, type: "kubernetes.io/service-account-token" }
    const parsed = parseManifest(JSON.stringify(token))
    const result = admit(parsed._tag === "Success" ? parsed.success : [], { namespace: "dev", secrets: true })
    expect(result._tag === "Failure" ? result.failure.code : "").toBe("kind_not_allowed")
  })
})
