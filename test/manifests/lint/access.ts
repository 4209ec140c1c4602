/** Rights: service accounts of their own, tokens only where they are used, and roles without the verbs that lead to more. */
import { at, flagAt, listAt, textAt } from "#shared/kubernetes/fields.ts"
import type { Json, KubernetesObject } from "#shared/kubernetes/objects.ts"
import { environmentOf, volumesOf } from "#test/manifests/workloads.ts"
import { perObject, perWorkload, type Rule, when } from "./rule.ts"

const admin = "dev/Deployment/admin"
const pod = "/spec/template/spec"
const role = "dev/Role/admin"
const roles = ["Role", "ClusterRole"]

/** One rule of a role as lists of text. */
const rulesOf = (object: KubernetesObject) =>
  listAt(object, "rules").map((rule) => ({
    groups: listAt(rule, "apiGroups").map(String),
    resources: listAt(rule, "resources").map(String),
    verbs: listAt(rule, "verbs").map(String)
  }))

const grants = (object: KubernetesObject, resources: ReadonlyArray<string>, verbs: ReadonlyArray<string>) =>
  rulesOf(object).some(
    (rule) =>
      rule.resources.some((one) => one === "*" || resources.includes(one)) &&
      rule.verbs.some((one) => one === "*" || verbs.includes(one))
  )

const added = (
  resources: ReadonlyArray<string>,
  verbs: ReadonlyArray<string>,
  groups: ReadonlyArray<string> = [""]
) => ({
  place: role,
  set: { "/rules/0": { apiGroups: groups, resources, verbs } satisfies Json }
})

const roleOf = (
  name: string,
  resources: ReadonlyArray<string>,
  verbs: ReadonlyArray<string>,
  groups: ReadonlyArray<string> = [""]
): KubernetesObject => ({
  apiVersion: "rbac.authorization.k8s.io/v1",
  kind: "Role",
  metadata: { name, namespace: "dev" },
  rules: [{ apiGroups: groups, resources, verbs }]
})

const forbidden = (
  name: string,
  demands: string,
  resources: ReadonlyArray<string>,
  verbs: ReadonlyArray<string>,
  breaches: Rule["breaches"]
) =>
  perObject(
    name,
    demands,
    roles,
    (object) => when(grants(object, resources, verbs), `grants ${resources[0]}`),
    breaches
  )

export const access: ReadonlyArray<Rule> = [
  perWorkload(
    "service-account",
    "a service account of its own, by the field that is not deprecated",
    ({ name, object, pod: spec }) => [
      ...when(
        textAt(spec, "serviceAccountName") !== name,
        `runs as ${textAt(spec, "serviceAccountName") ?? "default"}`
      ),
      ...when(textAt(spec, "serviceAccount") !== undefined, "uses the deprecated field serviceAccount"),
      ...when(object.metadata.namespace === undefined, "has no namespace")
    ],
    [
      { place: admin, remove: [`${pod}/serviceAccountName`] },
      { place: admin, set: { [`${pod}/serviceAccountName`]: "scheduler" } },
      { place: admin, set: { [`${pod}/serviceAccount`]: "admin" } }
    ]
  ),
  perObject(
    "service-account-exists",
    "the service accounts that workloads and bindings name are rendered too",
    ["Deployment", "StatefulSet", "DaemonSet", "RoleBinding", "ClusterRoleBinding"],
    (object, all) => {
      const named = object.kind.endsWith("Binding")
        ? listAt(object, "subjects").map((one) => [textAt(one, "namespace"), textAt(one, "name")] as const)
        : [[object.metadata.namespace, textAt(object, "spec", "template", "spec", "serviceAccountName")] as const]
      return named.flatMap(([namespace, name]) =>
        when(
          !all.some(
            (one) => one.kind === "ServiceAccount" && one.metadata.namespace === namespace && one.metadata.name === name
          ),
          `there is no service account ${namespace ?? "?"}/${name ?? "?"}`
        )
      )
    },
    [{ drop: "dev/ServiceAccount/admin" }, { place: "dev/RoleBinding/admin", set: { "/subjects/0/name": "no" } }]
  ),
  perWorkload(
    "no-automount",
    "no token by itself, in the pod and in the account",
    ({ pod: spec }) => when(at(spec, "automountServiceAccountToken") !== false, "mounts a token by itself"),
    [{ place: admin, remove: [`${pod}/automountServiceAccountToken`] }]
  ),
  perObject(
    "no-automount-account",
    "no service account mounts its token by itself",
    ["ServiceAccount"],
    (object) => when(at(object, "automountServiceAccountToken") !== false, "mounts its token by itself"),
    [{ place: "dev/ServiceAccount/admin", remove: ["/automountServiceAccountToken"] }]
  ),
  perWorkload(
    "api-tokens",
    "only admin, gateway and scheduler have a token for the API server; another is for the gateway of its environment",
    (workload) =>
      volumesOf(workload).flatMap((volume) =>
        listAt(volume, "projected", "sources").flatMap((source) => {
          if (at(source, "serviceAccountToken") === undefined) return []
          const audience = textAt(source, "serviceAccountToken", "audience")
          if (audience === undefined) {
            return when(!["admin", "gateway", "scheduler"].includes(workload.name), "has a token for the API server")
          }
          const expected = `gateway.${environmentOf(workload.namespace)}`
          return when(audience !== expected, `has a token for ${audience}, not ${expected}`)
        })
      ),
    [
      {
        place: "dev/Deployment/dashboard",
        set: {
          [`${pod}/volumes/0`]: { name: "tmp", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }
        }
      },
      {
        place: "dev/Deployment/scheduler",
        set: {
          [`${pod}/volumes/0`]: {
            name: "tmp",
            projected: { sources: [{ serviceAccountToken: { path: "token", audience: "gateway.prod" } }] }
          }
        }
      }
    ]
  ),
  perWorkload(
    "no-service-links",
    "no variables about other Services",
    ({ pod: spec }) => when(at(spec, "enableServiceLinks") !== false, "gets variables of every Service"),
    [{ place: admin, remove: [`${pod}/enableServiceLinks`] }]
  ),
  perObject(
    "rbac-wildcards",
    "no wildcard in a role",
    roles,
    (object) =>
      when(
        rulesOf(object).some((rule) => [...rule.groups, ...rule.resources, ...rule.verbs].includes("*")),
        "has a wildcard"
      ),
    [added(["*"], ["get"]), added(["pods"], ["*"]), added(["pods"], ["get"], ["*"])]
  ),
  forbidden(
    "rbac-secrets",
    "nobody may read or write Secrets",
    ["secrets"],
    ["get", "list", "watch", "create", "update", "patch", "delete"],
    [added(["secrets"], ["get"]), added(["secrets"], ["list"])]
  ),
  forbidden(
    "rbac-create-pods",
    "nobody makes pods, nor what makes pods",
    ["pods", "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "replicasets", "replicationcontrollers"],
    ["create"],
    [{ add: roleOf("other", ["jobs"], ["create"], ["batch"]) }, { add: roleOf("other", ["pods"], ["create"]) }]
  ),
  forbidden(
    "rbac-exec",
    "nobody runs commands in pods, attaches, forwards ports or goes through the node's or Service's proxy",
    [
      "pods/exec",
      "pods/attach",
      "pods/portforward",
      "pods/proxy",
      "services/proxy",
      "nodes/proxy",
      "pods/ephemeralcontainers"
    ],
    ["create", "get", "update", "patch"],
    [added(["pods/exec"], ["create"]), added(["pods/attach"], ["get"]), added(["nodes/proxy"], ["get"])]
  ),
  perObject(
    "rbac-escalation",
    "nobody changes rights, takes another's, makes tokens, approves certificates or changes admission",
    roles,
    (object) => [
      ...when(
        grants(
          object,
          [
            "roles",
            "rolebindings",
            "clusterroles",
            "clusterrolebindings",
            "mutatingwebhookconfigurations",
            "validatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "certificatesigningrequests",
            "certificatesigningrequests/approval",
            "serviceaccounts",
            "serviceaccounts/token",
            "persistentvolumes",
            "namespaces",
            "networkpolicies",
            "resourcequotas",
            "limitranges"
          ],
          ["create", "update", "patch", "delete", "deletecollection", "approve"]
        ),
        "can give itself more"
      ),
      ...when(
        rulesOf(object).some(({ verbs }) => verbs.some((verb) => ["bind", "escalate", "impersonate"].includes(verb))),
        "binds, escalates or impersonates"
      )
    ],
    [
      added(["rolebindings"], ["create"], ["rbac.authorization.k8s.io"]),
      added(["roles"], ["escalate"], ["rbac.authorization.k8s.io"]),
      added(["users"], ["impersonate"]),
      added(["serviceaccounts/token"], ["create"]),
      added(["networkpolicies"], ["delete"], ["networking.k8s.io"])
    ]
  ),
  perObject(
    "rbac-bindings",
    "rights are given to named service accounts of the same environment, by a role of the platform",
    ["RoleBinding", "ClusterRoleBinding"],
    (object) => [
      ...when(
        /^(?:cluster-admin|admin|edit|view)$/u.test(textAt(object, "roleRef", "name") ?? "") &&
          textAt(object, "roleRef", "kind") === "ClusterRole",
        "binds a role of the cluster's own"
      ),
      ...listAt(object, "subjects").flatMap((subject) => [
        ...when(textAt(subject, "kind") !== "ServiceAccount", "is for users or groups"),
        ...when(textAt(subject, "name") === "default", "is for a default service account"),
        ...when(
          object.kind === "RoleBinding" && textAt(subject, "namespace") !== object.metadata.namespace,
          "is for another namespace's account"
        )
      ])
    ],
    [
      { place: "dev/RoleBinding/admin", set: { "/roleRef": { kind: "ClusterRole", name: "cluster-admin" } } },
      { place: "dev/RoleBinding/admin", set: { "/subjects/0/name": "default" } },
      { place: "dev/RoleBinding/admin", set: { "/subjects/0/namespace": "prod" } },
      { place: "dev/RoleBinding/admin", set: { "/subjects/0/kind": "Group" } }
    ]
  ),
  perWorkload(
    "no-node-choice",
    "no pod chooses its node or tolerates a control plane's taints",
    ({ pod: spec }) => [
      ...when(textAt(spec, "nodeName") !== undefined, "chooses its node"),
      ...when(flagAt(spec, "shareProcessNamespace"), "shares its processes between containers")
    ],
    [{ place: admin, set: { [`${pod}/nodeName`]: "server" } }]
  )
]
