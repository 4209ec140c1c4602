/** What a container must say of itself: what it needs, which image, how it is asked whether it lives, and what its environment may hold. */
import { at, listAt, numberAt, textAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { type Container, workloadsOf } from "#test/manifests/workloads.ts"
import { perContainer, perWorkload, type Rule, when } from "./rule.ts"

const admin = "dev/Deployment/admin"
const first = "/spec/template/spec/containers/0"

const probes = ["startupProbe", "livenessProbe", "readinessProbe"] as const
const portsOf = ({ fields }: Container) =>
  listAt(fields, "ports").flatMap((port) => [textAt(port, "name"), numberAt(port, "containerPort")])
/** The port that a probe asks; undefined of one that runs a command. */
const probePort = (container: Container, probe: string) =>
  at(container.fields, probe, "httpGet", "port") ??
  at(container.fields, probe, "tcpSocket", "port") ??
  at(container.fields, probe, "grpc", "port")

const tagged = /^[^@]+:(?!latest$)[\w][\w.-]*$|@sha256:[0-9a-f]{64}$/u

const refersTo = (objects: ReadonlyArray<KubernetesObject>, namespace: string, kind: string, name: unknown) =>
  objects.some((one) => one.kind === kind && one.metadata.namespace === namespace && one.metadata.name === name)

export const containerRules: ReadonlyArray<Rule> = [
  perContainer(
    "resources",
    "requests and limits of CPU, memory and ephemeral storage",
    ({ fields }) =>
      ["requests", "limits"].flatMap((kind) =>
        ["cpu", "memory", "ephemeral-storage"].flatMap((what) =>
          when(at(fields, "resources", kind, what) === undefined, `has no ${kind}.${what}`)
        )
      ),
    ["requests", "limits"].flatMap((kind) =>
      ["cpu", "memory", "ephemeral-storage"].map((what) => ({
        place: admin,
        remove: [`${first}/resources/${kind}/${what}`]
      }))
    )
  ),
  perContainer(
    "database-memory",
    "a database gets all the memory it may use",
    ({ fields }, { labels }) =>
      when(
        labels["app.kubernetes.io/component"] === "database" &&
          at(fields, "resources", "requests", "memory") !== at(fields, "resources", "limits", "memory"),
        "requests less memory than it may use"
      ),
    [{ place: "dev/StatefulSet/data-db", set: { [`${first}/resources/requests/memory`]: "64Mi" } }]
  ),
  perContainer(
    "image-tag",
    "an image with a tag or digest, and not latest",
    ({ fields }) => when(!tagged.test(textAt(fields, "image") ?? ""), `image ${textAt(fields, "image") ?? "missing"}`),
    ["gatehouse.local/gatehouse", "gatehouse.local/gatehouse:latest"].map((image) => ({
      place: admin,
      set: { [`${first}/image`]: image }
    }))
  ),
  perContainer(
    "probes",
    "startup, liveness and readiness probes",
    ({ fields, init }) =>
      init ? [] : probes.flatMap((probe) => when(at(fields, probe) === undefined, `has no ${probe}`)),
    probes.map((probe) => ({ place: admin, remove: [`${first}/${probe}`] }))
  ),
  perContainer(
    "probes-differ",
    "liveness asks something else than readiness, which asks for dependencies too",
    ({ fields }) => {
      const asks = (probe: string) =>
        JSON.stringify(["httpGet", "tcpSocket", "exec", "grpc"].map((kind) => at(fields, probe, kind) ?? null))
      return when(
        at(fields, "livenessProbe") !== undefined && asks("livenessProbe") === asks("readinessProbe"),
        "liveness and readiness ask the same"
      )
    },
    [{ place: admin, set: { [`${first}/livenessProbe/httpGet/path`]: "/readyz" } }]
  ),
  perContainer(
    "probe-ports",
    "probes ask ports that the container has",
    (container) =>
      probes.flatMap((probe) => {
        const port = probePort(container, probe)
        return when(
          port !== undefined && !portsOf(container).some((one) => one === port),
          `${probe} asks port ${String(port)}`
        )
      }),
    probes.map((probe) => ({ place: admin, set: { [`${first}/${probe}/httpGet/port`]: 9091 } }))
  ),
  perContainer(
    "ports",
    "ports from 1024 on, each with a name and once",
    (container) => [
      ...listAt(container.fields, "ports").flatMap((port) => [
        ...when((numberAt(port, "containerPort") ?? 0) < 1024, "has a privileged port"),
        ...when(textAt(port, "name") === undefined, "has a port without a name")
      ]),
      ...when(new Set(portsOf(container)).size < portsOf(container).length, "has a port twice")
    ],
    [
      { place: admin, set: { [`${first}/ports/0/containerPort`]: 22 } },
      { place: admin, remove: [`${first}/ports/0/name`] },
      { place: admin, set: { [`${first}/ports/1/containerPort`]: 8080 } }
    ]
  ),
  perContainer(
    "secrets-as-files",
    "no secret in a variable, neither from a Secret nor as a value",
    ({ fields }) => [
      ...listAt(fields, "env").flatMap((variable) => {
        const name = textAt(variable, "name") ?? ""
        const value = textAt(variable, "value") ?? ""
        return [
          ...when(at(variable, "valueFrom", "secretKeyRef") !== undefined, `${name} comes from a Secret`),
          ...when(
            /secret|password|passwd|token|private_?key|credential|api_?key/iu.test(name) &&
              !name.endsWith("_FILE") &&
              !/^(?:true|false)?$/u.test(value),
            `${name} is a secret by its name`
          )
        ]
      }),
      ...listAt(fields, "envFrom").flatMap((source) =>
        when(at(source, "secretRef") !== undefined, "takes its environment from a Secret")
      )
    ],
    [
      {
        place: admin,
        set: { [`${first}/env/0`]: { name: "A", valueFrom: { secretKeyRef: { name: "s", key: "k" } } } }
      },
      { place: admin, set: { [`${first}/env/0`]: { name: "DB_PASSWORD", value: "x" } } },
      { place: admin, set: { [`${first}/envFrom`]: [{ secretRef: { name: "s" } }] } }
    ]
  ),
  perContainer(
    "duplicate-variables",
    "no variable twice",
    ({ fields }) => {
      const names = listAt(fields, "env").map((variable) => textAt(variable, "name"))
      return when(new Set(names).size < names.length, "has a variable twice")
    },
    [{ place: admin, set: { [`${first}/env/0`]: { name: "ADMIN_SECRETS", value: "true" } } }]
  ),
  {
    name: "variable-sources",
    demands: "what variables and volumes come from is rendered too, or is a Secret that `gatehouse secrets init` makes",
    check: (objects) =>
      workloadsOf(objects).flatMap((workload) => {
        const { containers, namespace, object, pod } = workload
        const maps = [
          ...containers.flatMap(({ fields }) =>
            listAt(fields, "env").map((variable) => textAt(variable, "valueFrom", "configMapKeyRef", "name"))
          ),
          ...listAt(pod, "volumes").map((volume) => textAt(volume, "configMap", "name"))
        ]
        return maps.flatMap((name) =>
          name === undefined || refersTo(objects, namespace, "ConfigMap", name)
            ? []
            : [{ object, detail: `there is no ConfigMap ${name}` }]
        )
      }),
    breaches: [
      {
        place: admin,
        set: { [`${first}/env/0`]: { name: "A", valueFrom: { configMapKeyRef: { name: "no", key: "k" } } } }
      }
    ]
  },
  perWorkload(
    "priority-class",
    "a priority class of this platform",
    ({ pod }) =>
      when(
        !/^(?:platform|nightly|dev)-(?:data|edge|core|batch)$/u.test(textAt(pod, "priorityClassName") ?? ""),
        `priority class ${textAt(pod, "priorityClassName") ?? "missing"}`
      ),
    [
      { place: admin, remove: ["/spec/template/spec/priorityClassName"] },
      { place: admin, set: { "/spec/template/spec/priorityClassName": "system-node-critical" } }
    ]
  ),
  perWorkload(
    "restart-policy",
    "pods of services are restarted, pods of jobs are not for ever",
    ({ object, pod }) => {
      const policy = textAt(pod, "restartPolicy") ?? "Always"
      const job = object.kind === "Job" || object.kind === "CronJob"
      return when(job ? policy === "Always" : policy !== "Always", `restart policy ${policy}`)
    },
    [{ place: admin, set: { "/spec/template/spec/restartPolicy": "Never" } }]
  )
]
