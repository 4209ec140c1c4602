/** Who can be reached: Services and Ingresses that lead somewhere and nowhere else, and policies that select what they are meant for. */
import { at, listAt, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { type Peer, selects } from "#test/cluster/policies.ts"
import { policyOf, selectorAt } from "#test/manifests/policyOf.ts"
import { matches, workloadsOf } from "#test/manifests/workloads.ts"
import { perObject, type Rule, when } from "./rule.ts"

const targetsOf = (object: KubernetesObject, all: ReadonlyArray<KubernetesObject>) =>
  workloadsOf(all).filter(
    ({ labels, namespace }) =>
      namespace === object.metadata.namespace && matches(textsAt(object, "spec", "selector"), labels)
  )

/** Edges of the platform that no overlay renders: the ingress controller's pods and the cluster's DNS. */
const outside = [
  { namespace: "edge", labels: { "app.kubernetes.io/name": "nginx" } },
  { namespace: "kube-system", labels: { "k8s-app": "kube-dns" } }
]

const policies = (objects: ReadonlyArray<KubernetesObject>) => objects.filter(({ kind }) => kind === "NetworkPolicy")

const meets = (peer: Peer, namespace: string, all: ReadonlyArray<KubernetesObject>): boolean => {
  if (peer.ipBlock !== undefined) return true
  const pods = [...workloadsOf(all), ...outside]
  return pods.some(
    (pod) =>
      (peer.namespaceSelector === undefined
        ? pod.namespace === namespace
        : selects(peer.namespaceSelector, { "kubernetes.io/metadata.name": pod.namespace })) &&
      (peer.podSelector === undefined || selects(peer.podSelector, pod.labels))
  )
}

export const network: ReadonlyArray<Rule> = [
  perObject(
    "service-targets",
    "a Service selects pods, and its ports are theirs",
    ["Service"],
    (object, all) => {
      const targets = targetsOf(object, all)
      const names = targets.flatMap(({ containers }) =>
        containers.flatMap(({ fields }) => listAt(fields, "ports").map((port) => textAt(port, "name")))
      )
      return [
        ...when(targets.length !== 1, `selects the pods of ${targets.length} workloads`),
        ...listAt(object, "spec", "ports").flatMap((port) =>
          when(!names.includes(textAt(port, "targetPort") ?? ""), `leads to port ${String(at(port, "targetPort"))}`)
        )
      ]
    },
    [
      { place: "dev/Service/admin", set: { "/spec/selector": { "app.kubernetes.io/name": "no" } } },
      { place: "dev/Service/admin", set: { "/spec/ports/0/targetPort": 8081 } }
    ]
  ),
  perObject(
    "service-type",
    "no Service opens a port of the node or asks for a load balancer",
    ["Service"],
    (object) => [
      ...when((textAt(object, "spec", "type") ?? "ClusterIP") !== "ClusterIP", "is not of type ClusterIP"),
      ...when(listAt(object, "spec", "externalIPs").length > 0, "has external addresses")
    ],
    ["NodePort", "LoadBalancer", "ExternalName"].map((type) => ({
      place: "dev/Service/gateway",
      set: { "/spec/type": type }
    }))
  ),
  perObject(
    "selectors-match",
    "a workload's selector selects its own pods, and no other workload's",
    ["Deployment", "StatefulSet", "DaemonSet"],
    (object, all) => {
      const selector = textsAt(object, "spec", "selector", "matchLabels")
      const selected = workloadsOf(all).filter(
        ({ labels, namespace }) => namespace === object.metadata.namespace && matches(selector, labels)
      )
      return when(selected.length !== 1 || selected[0]?.object !== object, "selects other pods than its own")
    },
    [{ place: "dev/Deployment/admin", set: { "/spec/selector/matchLabels": { "app.kubernetes.io/name": "hello" } } }]
  ),
  perObject(
    "ingress-target",
    "an Ingress leads to the gateway's Service and nowhere else",
    ["Ingress"],
    (object) => [
      ...when(at(object, "spec", "defaultBackend") !== undefined, "has a default backend"),
      ...listAt(object, "spec", "rules").flatMap((rule) =>
        listAt(rule, "http", "paths").flatMap((path) =>
          when(
            textAt(path, "backend", "service", "name") !== "gateway" ||
              textAt(path, "backend", "service", "port", "name") !== "http",
            "leads past the gateway"
          )
        )
      )
    ],
    [
      { place: "dev/Ingress/gateway", set: { "/spec/rules/0/http/paths/0/backend/service/name": "admin" } },
      { place: "dev/Ingress/gateway", set: { "/spec/rules/0/http/paths/0/backend/service/port/name": "internal" } }
    ]
  ),
  perObject(
    "ingress-tls",
    "every host of an Ingress has TLS",
    ["Ingress"],
    (object) => {
      const covered = listAt(object, "spec", "tls").flatMap((one) =>
        textAt(one, "secretName") === undefined ? [] : listAt(one, "hosts")
      )
      return listAt(object, "spec", "rules").flatMap((rule) =>
        when(!covered.includes(textAt(rule, "host")), `${textAt(rule, "host") ?? "every host"} has no TLS`)
      )
    },
    [
      { place: "dev/Ingress/gateway", remove: ["/spec/tls"] },
      { place: "dev/Ingress/gateway", set: { "/spec/rules/0/host": "other.dev.example.org" } }
    ]
  ),
  perObject(
    "no-controller-annotations",
    "an Ingress is portable: no annotation for a controller",
    ["Ingress"],
    (object) =>
      Object.keys(textsAt(object, "metadata", "annotations")).flatMap((key) =>
        when(/nginx|traefik|haproxy/u.test(key), `has ${key}`)
      ),
    [
      {
        place: "dev/Ingress/gateway",
        set: { "/metadata/annotations": { "nginx.ingress.kubernetes.io/server-snippet": "return 200;" } }
      }
    ]
  ),
  {
    name: "isolated-pods",
    demands: "every pod is selected by an ingress and an egress policy",
    check: (objects) =>
      workloadsOf(objects).flatMap((workload) =>
        (["Ingress", "Egress"] as const).flatMap((way) =>
          policies(objects).some((object) => {
            const policy = policyOf(object)
            return (
              policy.namespace === workload.namespace &&
              (policy.policyTypes ?? ["Ingress"]).includes(way) &&
              selects(policy.podSelector, workload.labels)
            )
          })
            ? []
            : [{ object: workload.object, detail: `no policy on ${way.toLowerCase()}` }]
        )
      ),
    breaches: [
      { drop: "dev/NetworkPolicy/default-deny" },
      { place: "dev/NetworkPolicy/default-deny", set: { "/spec/policyTypes": ["Ingress"] } }
    ]
  },
  {
    name: "namespaces-closed",
    demands: "every namespace denies by default, in and out",
    check: (objects) =>
      objects
        .filter(({ kind }) => kind === "Namespace")
        .filter(
          (namespace) =>
            !policies(objects).some((object) => {
              const policy = policyOf(object)
              return (
                policy.namespace === namespace.metadata.name &&
                Object.keys(policy.podSelector).length === 0 &&
                (policy.ingress ?? []).length === 0 &&
                (policy.egress ?? []).length === 0 &&
                ["Ingress", "Egress"].every((way) => policy.policyTypes?.includes(way))
              )
            })
        )
        .map((object) => ({ object, detail: "has no policy that denies by default" })),
    breaches: [
      { drop: "dev-monitoring/NetworkPolicy/default-deny" },
      { place: "dev/NetworkPolicy/default-deny", set: { "/spec/ingress": [{}] } }
    ]
  },
  perObject(
    "policy-selects",
    "a network policy selects pods that are there",
    ["NetworkPolicy"],
    (object, all) => {
      const selector = selectorAt(object, "spec", "podSelector")
      const everyone = Object.keys(selector).length === 0
      return when(
        !everyone &&
          ![...workloadsOf(all), ...outside].some(
            ({ labels, namespace }) => namespace === object.metadata.namespace && selects(selector, labels)
          ),
        "selects nothing"
      )
    },
    [{ place: "dev/NetworkPolicy/admin", set: { "/spec/podSelector/matchLabels": { a: "b" } } }]
  ),
  perObject(
    "policy-peers",
    "each peer of a network policy is there",
    ["NetworkPolicy"],
    (object, all) => {
      const { egress, ingress, namespace } = policyOf(object)
      const peers = [
        ...(ingress ?? []).flatMap(({ from }) => from ?? []),
        ...(egress ?? []).flatMap(({ to }) => to ?? [])
      ]
      return peers.flatMap((peer) => when(!meets(peer, namespace, all), `names nobody: ${JSON.stringify(peer)}`))
    },
    [
      {
        place: "dev/NetworkPolicy/admin",
        set: { "/spec/ingress/0/from": [{ podSelector: { matchLabels: { "app.kubernetes.io/name": "gatewy" } } }] }
      }
    ]
  ),
  perObject(
    "policy-rules-bounded",
    "no rule of a network policy is for everyone or for every port",
    ["NetworkPolicy"],
    (object) => {
      const { egress, ingress } = policyOf(object)
      const rules = [
        ...(ingress ?? []).map(({ from, ports }) => ({ peers: from, ports })),
        ...(egress ?? []).map(({ ports, to }) => ({ peers: to, ports }))
      ]
      return rules.flatMap(({ peers, ports }) => [
        ...when((peers ?? []).length === 0, "has a rule for everyone"),
        ...when((ports ?? []).length === 0 || (ports ?? []).some(({ port }) => port === undefined), "opens every port")
      ])
    },
    [
      { place: "dev/NetworkPolicy/admin", remove: ["/spec/ingress/0/from"] },
      { place: "dev/NetworkPolicy/admin", remove: ["/spec/ingress/0/ports"] }
    ]
  )
]
