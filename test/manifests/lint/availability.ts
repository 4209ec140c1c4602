/** What keeps a service up through a rollout, a drain and a lost node, as far as one replica can. */
import { at, listAt, numberAt, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { matches, type Workload, workloadsOf } from "#test/manifests/workloads.ts"
import { perObject, perWorkload, type Rule, when } from "./rule.ts"

const admin = "dev/Deployment/admin"
const pod = "/spec/template/spec"
const serves = ({ object }: Workload) => ["Deployment", "StatefulSet", "DaemonSet"].includes(object.kind)

const selectorOf = (object: KubernetesObject) => textsAt(object, "spec", "selector", "matchLabels")

const budgetsOf = (objects: ReadonlyArray<KubernetesObject>, workload: Workload) =>
  objects.filter(
    (one) =>
      one.kind === "PodDisruptionBudget" &&
      one.metadata.namespace === workload.namespace &&
      matches(selectorOf(one), workload.labels)
  )

/** Whose replicas an autoscaler sets. */
const targetOf = (autoscaler: KubernetesObject, objects: ReadonlyArray<KubernetesObject>) =>
  objects.find(
    (one) =>
      one.kind === textAt(autoscaler, "spec", "scaleTargetRef", "kind") &&
      one.metadata.name === textAt(autoscaler, "spec", "scaleTargetRef", "name") &&
      one.metadata.namespace === autoscaler.metadata.namespace
  )

const autoscaler = (spec: Readonly<Record<string, unknown>>): KubernetesObject => ({
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
  metadata: { name: "admin", namespace: "dev" },
  spec: { scaleTargetRef: { kind: "Deployment", name: "admin" }, minReplicas: 2, maxReplicas: 4, ...spec }
})

const job = (kind: "Job" | "CronJob", spec: Readonly<Record<string, unknown>>): KubernetesObject => ({
  apiVersion: "batch/v1",
  kind,
  metadata: { name: "nightly-work", namespace: "dev" },
  spec
})

export const availability: ReadonlyArray<Rule> = [
  perWorkload(
    "anti-affinity",
    "replicas prefer different nodes",
    (workload) =>
      when(
        serves(workload) &&
          !listAt(workload.pod, "affinity", "podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution").some(
            (one) =>
              textAt(one, "podAffinityTerm", "topologyKey") === "kubernetes.io/hostname" &&
              matches(textsAt(one, "podAffinityTerm", "labelSelector", "matchLabels"), workload.labels) &&
              at(one, "podAffinityTerm", "labelSelector", "matchLabels") !== undefined
          ),
        "has no anti-affinity to itself"
      ),
    [
      { place: admin, remove: [`${pod}/affinity`] },
      {
        place: "dev/StatefulSet/data-db",
        set: {
          [`${pod}/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/labelSelector/matchLabels`]:
            { "app.kubernetes.io/name": "any" }
        }
      }
    ]
  ),
  perWorkload(
    "topology-spread",
    "replicas spread over nodes",
    (workload) =>
      when(
        serves(workload) &&
          !listAt(workload.pod, "topologySpreadConstraints").some((one) =>
            matches(textsAt(one, "labelSelector", "matchLabels"), workload.labels)
          ),
        "does not spread"
      ),
    [{ place: admin, remove: [`${pod}/topologySpreadConstraints`] }]
  ),
  {
    name: "disruption-budget",
    demands: "every service has a budget",
    check: (objects) =>
      workloadsOf(objects)
        .filter((workload) => serves(workload) && budgetsOf(objects, workload).length !== 1)
        .map(({ object }) => ({ object, detail: "has no disruption budget, or several" })),
    breaches: [
      { drop: "dev/PodDisruptionBudget/admin" },
      {
        place: "dev/PodDisruptionBudget/data",
        set: { "/spec/selector/matchLabels": { "app.kubernetes.io/name": "x" } }
      }
    ]
  },
  perObject(
    "disruption-budget-allows",
    "a budget lets one pod go, and pods that are not healthy in any case",
    ["PodDisruptionBudget"],
    (object) => [
      ...when(at(object, "spec", "minAvailable") !== undefined, "minAvailable of one replica lets none go"),
      ...when(!(Number(at(object, "spec", "maxUnavailable")) >= 1), "lets no pod go"),
      ...when(
        textAt(object, "spec", "unhealthyPodEvictionPolicy") !== "AlwaysAllow",
        "protects pods that are not healthy"
      )
    ],
    [
      { place: "dev/PodDisruptionBudget/admin", set: { "/spec/maxUnavailable": 0 } },
      { place: "dev/PodDisruptionBudget/admin", set: { "/spec/minAvailable": 1 } },
      { place: "dev/PodDisruptionBudget/admin", remove: ["/spec/unhealthyPodEvictionPolicy"] }
    ]
  ),
  perObject(
    "rolling-update",
    "a release replaces pods one after the other, and the new one first",
    ["Deployment"],
    (object) => [
      ...when(textAt(object, "spec", "strategy", "type") !== "RollingUpdate", "does not roll"),
      ...when(at(object, "spec", "strategy", "rollingUpdate", "maxUnavailable") !== 0, "takes the old pod away first")
    ],
    [
      { place: admin, set: { "/spec/strategy": { type: "Recreate" } } },
      { place: admin, set: { "/spec/strategy/rollingUpdate/maxUnavailable": 1 } }
    ]
  ),
  perWorkload(
    "graceful-end",
    "more time to end than the process takes to drain (25 s), a database 120 s",
    (workload) => {
      const grace = numberAt(workload.pod, "terminationGracePeriodSeconds") ?? 30
      const needed = workload.labels["app.kubernetes.io/component"] === "database" ? 120 : 35
      return when(serves(workload) && grace < needed, `has ${grace} s to end and needs ${needed}`)
    },
    [{ place: admin, set: { [`${pod}/terminationGracePeriodSeconds`]: 30 } }]
  ),
  perObject(
    "stateful-set-service",
    "a StatefulSet names a headless Service that selects its pods",
    ["StatefulSet"],
    (object, all) => {
      const service = all.find(
        (one) =>
          one.kind === "Service" &&
          one.metadata.namespace === object.metadata.namespace &&
          one.metadata.name === textAt(object, "spec", "serviceName")
      )
      return when(
        service === undefined ||
          textAt(service, "spec", "clusterIP") !== "None" ||
          !matches(textsAt(service, "spec", "selector"), textsAt(object, "spec", "template", "metadata", "labels")),
        "has no headless Service"
      )
    },
    [{ place: "dev/StatefulSet/data-db", set: { "/spec/serviceName": "any" } }]
  ),
  perObject(
    "autoscalers",
    "an autoscaler has a target, which states no replicas, and room above the least and the budget",
    ["HorizontalPodAutoscaler"],
    (object, all) => {
      const target = targetOf(object, all)
      const least = numberAt(object, "spec", "minReplicas") ?? 1
      return [
        ...when(target === undefined, "has no target"),
        ...when(at(target, "spec", "replicas") !== undefined, "its target states replicas"),
        ...when(least < 2, "may go down to one replica"),
        ...when((numberAt(object, "spec", "maxReplicas") ?? 0) <= least, "has no room to scale"),
        ...when(listAt(object, "spec", "metrics").length === 0, "scales by nothing")
      ]
    },
    [
      { add: autoscaler({ scaleTargetRef: { kind: "Deployment", name: "no" } }) },
      { add: autoscaler({ minReplicas: 1 }) }
    ]
  ),
  perObject(
    "jobs",
    "a Job goes after its end; a CronJob has a deadline and does not overlap",
    ["Job", "CronJob"],
    (object) => {
      const spec = object.kind === "Job" ? at(object, "spec") : at(object, "spec", "jobTemplate", "spec")
      return [
        ...when(numberAt(spec, "ttlSecondsAfterFinished") === undefined, "stays after its end"),
        ...when(numberAt(spec, "activeDeadlineSeconds") === undefined, "may run for ever"),
        ...when(
          object.kind === "CronJob" && numberAt(object, "spec", "startingDeadlineSeconds") === undefined,
          "has no deadline to start"
        )
      ]
    },
    [
      { add: job("Job", { activeDeadlineSeconds: 60 }) },
      { add: job("Job", { ttlSecondsAfterFinished: 60 }) },
      {
        add: job("CronJob", { jobTemplate: { spec: { ttlSecondsAfterFinished: 60, activeDeadlineSeconds: 60 } } })
      }
    ]
  )
]
