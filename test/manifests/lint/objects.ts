/** What holds for objects of any kind: where they are, which API they speak, how they are labelled, and that none holds a secret. */
import { fieldsOf, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { isEnvironmentNamespace } from "#test/manifests/namespaces.ts"
import { environmentOf } from "#test/manifests/workloads.ts"
import { perObject, type Rule, when } from "./rule.ts"

/** Kinds that belong to no namespace. */
const clusterKinds = new Set([
  "Namespace",
  "PriorityClass",
  "StorageClass",
  "IngressClass",
  "ClusterRole",
  "ClusterRoleBinding",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding"
])

/** Every version that the platform may use: none of them is on its way out. */
const stable = new Set([
  "v1",
  "apps/v1",
  "batch/v1",
  "autoscaling/v2",
  "policy/v1",
  "networking.k8s.io/v1",
  "rbac.authorization.k8s.io/v1",
  "scheduling.k8s.io/v1",
  "storage.k8s.io/v1",
  "admissionregistration.k8s.io/v1"
])

const everyKind = (objects: ReadonlyArray<KubernetesObject>) => [...new Set(objects.map(({ kind }) => kind))]

const perAny = (
  name: string,
  demands: string,
  check: (object: KubernetesObject) => ReadonlyArray<string>,
  breaches: Rule["breaches"]
): Rule => ({
  name,
  demands,
  check: (objects) => perObject(name, demands, everyKind(objects), check, breaches).check(objects),
  breaches
})

/** Texts that are secrets wherever they stand. */
const secretForms: ReadonlyArray<readonly [string, RegExp]> = [
  ["a private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----/u],
  ["a password in a URL", /[a-z][a-z0-9+.-]*:\/\/[^\s/:@"']+:[^\s/@"']+@/u],
  ["a token", /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.|\bgh[pousr]_[A-Za-z0-9]{30,}|\bAKIA[A-Z0-9]{16}\b/u],
  ["an age key", /AGE-SECRET-KEY-1/u],
  [
    "a value of a key that is a secret by its name",
    /(?:password|clientSecret|secret|api_?key)["']?[:=]\s*["']?[A-Za-z0-9_/+-]{12,}/iu
  ]
]

const label = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/u

export const anyObject: ReadonlyArray<Rule> = [
  perAny(
    "namespaces",
    "every object is in a namespace of the platform, and none in default",
    (object) => {
      const { namespace } = object.metadata
      if (clusterKinds.has(object.kind)) return when(namespace !== undefined, "cannot be in a namespace")
      return when(
        namespace === undefined || !(isEnvironmentNamespace(namespace) || namespace === "edge"),
        `is in ${namespace ?? "no namespace"}`
      )
    },
    [
      { place: "dev/Service/admin", set: { "/metadata/namespace": "default" } },
      { place: "dev/Service/admin", remove: ["/metadata/namespace"] }
    ]
  ),
  perAny(
    "stable-versions",
    "no alpha, beta or deprecated version of an API",
    (object) => when(!stable.has(object.apiVersion), `speaks ${object.apiVersion}`),
    [{ place: "dev/Ingress/gateway", set: { "/apiVersion": "extensions/v1beta1" } }]
  ),
  perAny(
    "label-values",
    "labels are valid, and the instance is the object's name where it is stated",
    (object) => {
      const labels = textsAt(object, "metadata", "labels")
      const instance = labels["app.kubernetes.io/instance"]
      return [
        ...Object.entries(labels).flatMap(([key, value]) => when(!label.test(value), `label ${key} is not valid`)),
        ...when(
          ["Deployment", "StatefulSet", "Service"].includes(object.kind) &&
            instance !== undefined &&
            instance !== object.metadata.name,
          "the label of the instance is not its name"
        )
      ]
    },
    [
      { place: "dev/Service/admin", set: { "/metadata/labels/a": "not valid!" } },
      { place: "dev/Deployment/admin", set: { "/metadata/labels/app.kubernetes.io~1instance": "other" } }
    ]
  ),
  perAny(
    "no-secret-values",
    "no Secret and nothing that looks like one",
    (object) => {
      const text = JSON.stringify(object)
      return [
        ...when(object.kind === "Secret", "is a Secret: those are made by `gatehouse secrets init`"),
        ...secretForms.flatMap(([what, form]) => when(form.test(text), `holds ${what}`))
      ]
    },
    [
      { add: { apiVersion: "v1", kind: "Secret", metadata: { name: "s", namespace: "dev" } } },
      {
        add: {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "c", namespace: "dev" },
          data: { url: "postgres://gateway:hunter2@gateway-db/gateway" }
        }
      },
      {
        add: {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "c", namespace: "dev" },
          data: { "app.yaml": "clientSecret: k3J9vQz81hZ0pLm2" }
        }
      }
    ]
  ),
  perAny(
    "own-environment",
    "nothing in an environment names another one",
    (object) => {
      const { namespace } = object.metadata
      if (namespace === undefined || !isEnvironmentNamespace(namespace)) return []
      const own = environmentOf(namespace)
      const text = JSON.stringify({ ...fieldsOf(object), metadata: { ...object.metadata, annotations: {} } })
      return ["prod", "nightly", "dev"]
        .filter((other) => other !== own)
        .flatMap((other) =>
          when(new RegExp(`"${other}(?:-monitoring)?"|\\.${other}[-."]`, "u").test(text), `names ${other}`)
        )
    },
    [
      {
        place: "dev-monitoring/NetworkPolicy/monitor",
        set: { "/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name": "prod" }
      },
      { place: "dev/RoleBinding/admin", set: { "/subjects/0/namespace": "nightly" } },
      { place: "dev/Ingress/gateway", set: { "/spec/rules/0/host": "gate.prod.example.org" } }
    ]
  ),
  {
    name: "unique-objects",
    demands: "no object twice over the three environments and the cluster's own",
    check: (objects) => {
      const seen = new Set<string>()
      return objects.flatMap((object) => {
        const key = `${object.apiVersion} ${object.kind} ${object.metadata.namespace ?? ""} ${object.metadata.name}`
        if (seen.has(key)) return [{ object, detail: "is rendered twice" }]
        seen.add(key)
        return []
      })
    },
    breaches: [
      {
        add: {
          apiVersion: "scheduling.k8s.io/v1",
          kind: "PriorityClass",
          metadata: { name: "dev-data" },
          value: 1
        }
      }
    ]
  },
  perObject(
    "pod-security-labels",
    "an environment's namespace enforces, audits and warns of the restricted standard, by a pinned version",
    ["Namespace"],
    (object) => {
      const labels = textsAt(object, "metadata", "labels")
      const level = object.metadata.name.endsWith("-monitoring") ? "privileged" : "restricted"
      return ["enforce", "audit", "warn"].flatMap((mode) => [
        ...when(labels[`pod-security.kubernetes.io/${mode}`] !== level, `${mode} is not ${level}`),
        ...when(!/^v1\.\d+$/u.test(labels[`pod-security.kubernetes.io/${mode}-version`] ?? ""), `${mode} is not pinned`)
      ])
    },
    [
      { place: "-/Namespace/dev", set: { "/metadata/labels/pod-security.kubernetes.io~1warn": "baseline" } },
      { place: "-/Namespace/dev", set: { "/metadata/labels/pod-security.kubernetes.io~1enforce-version": "latest" } }
    ]
  ),
  perObject(
    "kept-data",
    "what holds data is not pruned with what left the render",
    ["Namespace", "PersistentVolumeClaim", "StatefulSet"],
    (object) => {
      const holder = object.kind === "StatefulSet" ? "spec.persistentVolumeClaimRetentionPolicy" : "annotations"
      const kept =
        object.kind === "StatefulSet"
          ? textAt(object, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted") === "Retain"
          : textsAt(object, "metadata", "annotations")["kustomize.toolkit.fluxcd.io/prune"] === "disabled"
      return when(!kept, `${holder} does not keep it`)
    },
    [
      { place: "dev/PersistentVolumeClaim/admin-backups", remove: ["/metadata/annotations"] },
      { place: "dev/StatefulSet/data-db", remove: ["/spec/persistentVolumeClaimRetentionPolicy"] }
    ]
  )
]
