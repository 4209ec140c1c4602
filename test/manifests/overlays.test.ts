/** The three overlays: rendered without a flag and twice the same, each the same platform under its own names, and within what the node has. */
import { expect, test } from "bun:test"
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative, resolve } from "node:path"
import { Result, Schema } from "effect"
import { parse } from "yaml"
import { at, fieldsOf, listAt, numberAt, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { quantityOf } from "#shared/kubernetes/quantity.ts"
import { microserviceNames } from "#dev/microservices.ts"
import { developmentSettings } from "#dev/settings.ts"
import { parseSettings } from "#gateway/settingsFile.ts"
import { initialSecrets } from "#install/initialSecrets.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { lint } from "./lint/exceptions.ts"
import { namespacesOf } from "./namespaces.ts"
import { endpointsOf, matrixOf, policiesOf } from "./reachability.ts"
import {
  cannotRender,
  clusterObjects,
  type Environment,
  environments,
  everything,
  objectAt,
  objectsOf,
  overlay,
  overlayText,
  placeOf,
  renderText
} from "./render.ts"
import { volumesOf, workloadsOf } from "./workloads.ts"

const missing = cannotRender()
const kustomize = resolve(import.meta.dir, "../../kustomize")
const rendered = skipUnless(missing === undefined, missing ?? "")

const environmentMap = (environment: Environment) =>
  overlay(environment).find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name.startsWith("environment-"))
const settingsText = (environment: Environment) =>
  textAt(
    overlay(environment).find(({ metadata }) => metadata.name.startsWith("gateway-settings-")),
    "data",
    "gateway.yaml"
  ) ?? ""

rendered.describe("an overlay", () => {
  test("is rendered twice to the same bytes", () => {
    for (const environment of environments) expect(renderText(`overlays/${environment}`)).toBe(overlayText(environment))
  })

  test("is the same platform as the others, but for names and sizes", () => {
    const shape = (environment: Environment) =>
      overlay(environment)
        .map((object) =>
          placeOf(object)
            .replace(environment, "<env>")
            .replace(/-[a-z0-9]{10}$/u, "-<hash>")
        )
        .sort()
    expect(shape("nightly")).toEqual(shape("prod"))
    expect(shape("dev")).toEqual(shape("prod"))
  })

  test("has every pod of the platform", () => {
    const names = workloadsOf(overlay("prod")).map(({ name, namespace }) => `${namespace}/${name}`)
    const here = "admin dashboard data data-db gateway gateway-db hello logging-db scheduler"
    expect(names.sort()).toEqual(["prod-monitoring/monitor", ...here.split(" ").map((name) => `prod/${name}`)])
  })

  test("names its environment to every service", () => {
    for (const environment of environments) {
      const data = textsAt(environmentMap(environment), "data")
      expect(data["ENVIRONMENT"]).toBe(environment)
      expect(data["PUBLIC_URL"]).toBe(`https://${data["PUBLIC_HOST"]}`)
    }
  })

  test("has one Ingress, for the host of its settings, which the admission policy allows", () => {
    for (const environment of environments) {
      const ingresses = overlay(environment).filter(({ kind }) => kind === "Ingress")
      expect(ingresses).toHaveLength(1)
      const host = textsAt(environmentMap(environment), "data")["PUBLIC_HOST"]
      expect(listAt(ingresses[0], "spec", "rules").map((rule) => textAt(rule, "host"))).toEqual([host])
      const allowed = textsAt(objectAt(clusterObjects(), `-/Namespace/${environment}`), "metadata", "annotations")
      expect(host).toEndWith(allowed["gatehouse.local/host-suffix"] ?? "missing")
    }
  })

  test("uses images that the admission policy allows", () => {
    for (const environment of environments) {
      const allowed = textsAt(objectAt(clusterObjects(), `-/Namespace/${environment}`), "metadata", "annotations")
      const places = allowed["gatehouse.local/images"]?.split(" ") ?? []
      for (const { containers } of workloadsOf(overlay(environment))) {
        for (const { fields } of containers) {
          expect(places.some((place) => textAt(fields, "image")?.startsWith(place))).toBe(true)
        }
      }
    }
  })

  test("mounts Secrets and keys of them that `gatehouse secrets init` makes, and uses all of them", () => {
    const made = initialSecrets("prod", Date.now())
    const mounted = workloadsOf(overlay("prod")).flatMap((workload) =>
      volumesOf(workload).flatMap((volume) => {
        const name = textAt(volume, "secret", "secretName")
        return name === undefined ? [] : [`${workload.namespace}/${name}`]
      })
    )
    const places = made.map(({ name, namespace }) => `${namespace}/${name}`)
    // What backups are made with is mounted by the component `backup`.
    expect(places.filter((place) => place !== "prod/backup-secrets").sort()).toEqual([...new Set(mounted)].sort())
    // Whom to believe is named by the databases' URLs.
    const urls = made.flatMap(({ values }) => Object.values(values)).filter((value) => value.startsWith("postgres://"))
    const text = [overlayText("prod"), ...urls].join("\n")
    const keys = made.filter(({ name }) => name !== "backup-secrets").flatMap(({ values }) => Object.keys(values))
    for (const key of keys) {
      expect(text).toMatch(new RegExp(`/run/secrets/(?:gatehouse|setup|tls|database)/${key}\\b`, "u"))
    }
  })
})

/** The environment `dev` with components in it, before its settings as an overlay has them. */
const withComponents = (
  before: ReadonlyArray<string>,
  after: ReadonlyArray<string>
): ReadonlyArray<KubernetesObject> => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "gatehouse-overlay-")))
  try {
    const source = readFileSync(join(kustomize, "overlays/dev/environment/kustomization.yaml"), "utf8")
    const from = (path: string) => relative(folder, join(kustomize, path))
    const list = (names: ReadonlyArray<string>) => names.map((name) => `  - ${from(`components/${name}`)}\n`).join("")
    const text = source
      .replaceAll("../../../", `${relative(folder, kustomize)}/`)
      .replace("  - ../settings\n", `${list(before)}  - ${from("overlays/dev/settings")}\n${list(after)}`)
    writeFileSync(join(folder, "kustomization.yaml"), text)
    cpSync(join(kustomize, "overlays/dev/environment/gateway.yaml"), join(folder, "gateway.yaml"))
    return objectsOf(renderText(relative(kustomize, folder)))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const changedBy = (objects: ReadonlyArray<KubernetesObject>) => {
  const shipped = new Map(overlay("dev").map((object) => [placeOf(object), object]))
  return objects
    .filter((object) => !Bun.deepEquals(object, shipped.get(placeOf(object))))
    .map(placeOf)
    .sort()
}

rendered.describe("the component", () => {
  test("edge-traefik changes who is let in and the class of the Ingress, and nothing else", () => {
    const objects = withComponents([], ["edge-traefik"])
    expect(changedBy(objects)).toEqual(["dev/Ingress/gateway", "dev/NetworkPolicy/gateway"])
    const traefik = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } } }
    const policy = objectAt(objects, "dev/NetworkPolicy/gateway")
    expect(listAt(listAt(policy, "spec", "ingress")[0], "from")[0]).toMatchObject(traefik)
  })

  test("backup changes the scheduler alone, adds its way to the databases, and passes the hardening checks", () => {
    const objects = withComponents(["backup"], [])
    expect(changedBy(objects).filter((place) => !place.includes("/scheduler-passwd-"))).toEqual([
      "dev/Deployment/scheduler",
      "dev/NetworkPolicy/data-db-backup",
      "dev/NetworkPolicy/gateway-db-backup",
      "dev/NetworkPolicy/scheduler-backup",
      "dev/PersistentVolumeClaim/database-backups"
    ])
    const others = overlay("dev").filter(({ metadata }) => metadata.namespace === "dev-monitoring")
    const open = lint([...clusterObjects(), ...objects, ...others]).filter(({ exception }) => exception === undefined)
    // The bindings of the cluster name the accounts of all three environments.
    expect(open.filter(({ object }) => object.kind !== "ClusterRoleBinding" && object.kind !== "Namespace")).toEqual([])
    const allowed = (of: ReadonlyArray<KubernetesObject>) => matrixOf(endpointsOf(of), policiesOf(of)).allowed
    const more = allowed(objects).filter((line) => !allowed(overlay("dev")).includes(line))
    expect(more).toEqual(["dev/scheduler -> dev/data-db 5432/TCP", "dev/scheduler -> dev/gateway-db 5432/TCP"])
    const scheduler = workloadsOf(objects).find(({ name }) => name === "scheduler")
    expect(scheduler?.containers.map(({ fields }) => textAt(fields, "image"))).toEqual([
      "docker.io/library/postgres:18.4",
      "gatehouse.local/gatehouse:0.1.0"
    ])
  })
})

rendered.describe("the gateway's settings", () => {
  test("are accepted by the gateway", () => {
    for (const environment of environments) {
      const url = textsAt(environmentMap(environment), "data")["PUBLIC_URL"] ?? ""
      const parsed = parseSettings(settingsText(environment), url)
      expect(Result.isFailure(parsed) ? parsed.failure.message : "").toBe("")
    }
  })

  test("lead to Services that there are, on the port they serve", () => {
    for (const environment of environments) {
      const services = overlay(environment).filter(({ kind }) => kind === "Service")
      for (const route of listAt(parse(settingsText(environment)), "routes")) {
        const { hostname, port } = new URL(textAt(route, "upstream") ?? "")
        const [name, namespace = environment] = hostname.split(".")
        const service = services.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace)
        expect(listAt(service, "spec", "ports").map((one) => numberAt(one, "port"))).toContain(Number(port))
      }
    }
  })

  test("have the routes of the development platform, by other addresses", () => {
    const addresses = { admin: "", dashboard: "", data: "", monitor: "", scheduler: "" }
    const microservices = microserviceNames.map((name) => ({ name, url: "", key: "" }))
    const { routes, workloads } = developmentSettings({ ...addresses, issuer: "", schedulerKey: "", microservices })
    const shipped: unknown = parse(settingsText("prod"))
    const without = (route: unknown) => ({ ...fieldsOf(route), upstream: "" })
    expect(listAt(shipped, "routes").map(without)).toEqual(routes)
    expect(listAt(shipped, "workloads").map((one) => [textAt(one, "id"), textAt(one, "role")])).toEqual(
      workloads.map(({ id, role }) => [id, role])
    )
  })

  test("differ between environments in names alone", () => {
    const plain = (environment: Environment) =>
      settingsText(environment).replaceAll(new RegExp(`\\b${environment}\\b`, "gu"), "<env>")
    expect(plain("nightly")).toBe(plain("prod"))
    expect(plain("dev")).toBe(plain("prod"))
  })

  test("know the workloads of their own environment's service accounts alone", () => {
    for (const environment of environments) {
      const accounts = listAt(parse(settingsText(environment)), "workloads").map((one) =>
        at(one, "identity", "kubernetes")
      )
      const named = (name: string) => ({ namespace: environment, serviceAccount: name })
      expect(accounts).toEqual([named("scheduler"), named("hello")])
    }
  })
})

const Capacity = Schema.Struct({
  node: Schema.Struct({ cpu: Schema.String, memory: Schema.String }),
  reserved: Schema.Struct({ cpu: Schema.String, memory: Schema.String })
})
const capacity = Schema.decodeUnknownSync(Capacity)(parse(readFileSync(join(kustomize, "capacity.yaml"), "utf8")))

/** What the quotas of an environment's namespaces add up to. */
const quotaOf = (objects: ReadonlyArray<KubernetesObject>, environment: string, key: string): number =>
  objects
    .filter(
      ({ kind, metadata }) => kind === "ResourceQuota" && namespacesOf(environment).includes(metadata.namespace ?? "")
    )
    .reduce((sum, quota) => sum + quantity(textAt(quota, "spec", "hard", key)), 0)

/** Units, in billionths as `quantityOf` counts them. */
const quantity = (text: string | undefined): number => Number(quantityOf(text ?? "") ?? Number.NaN)

rendered.describe("the quotas", () => {
  test("fit the stated node, by what is requested of its CPU and may be used of its memory", () => {
    for (const [what, key] of [
      ["cpu", "requests.cpu"],
      ["memory", "limits.memory"]
    ] as const) {
      const all = environments.reduce((sum, one) => sum + quotaOf(clusterObjects(), one, key), 0)
      expect(all + quantity(capacity.reserved[what])).toBeLessThanOrEqual(quantity(capacity.node[what]))
    }
  })

  test("give prod more than nightly and dev together", () => {
    for (const key of ["requests.cpu", "limits.memory", "requests.storage"]) {
      const [prod, nightly, dev] = environments.map((one) => quotaOf(clusterObjects(), one, key))
      if (key === "requests.storage") expect(prod).toBeGreaterThan(Math.max(nightly!, dev!))
      else expect(prod).toBeGreaterThan(nightly! + dev!)
    }
  })

  test("have room for what an environment renders, and one pod more", () => {
    for (const environment of environments) {
      for (const namespace of namespacesOf(environment)) {
        const workloads = workloadsOf(overlay(environment)).filter((one) => one.namespace === namespace)
        const quota = objectAt(clusterObjects(), `${namespace}/ResourceQuota/environment`)
        for (const [kind, what] of [
          ["requests", "cpu"],
          ["requests", "memory"],
          ["requests", "ephemeral-storage"],
          ["limits", "cpu"],
          ["limits", "memory"],
          ["limits", "ephemeral-storage"]
        ] as const) {
          const each = workloads.map(({ containers }) =>
            Math.max(...containers.map(({ fields }) => quantity(textAt(fields, "resources", kind, what))))
          )
          const needed = each.reduce((sum, one) => sum + one, 0) + Math.max(...each)
          expect(needed).toBeLessThanOrEqual(quantity(textAt(quota, "spec", "hard", `${kind}.${what}`)))
        }
      }
    }
  })

  test("leave no Service a port of the node or a load balancer", () => {
    const quotas = everything().filter(
      ({ kind, metadata }) => kind === "ResourceQuota" && metadata.name === "environment"
    )
    expect(quotas).toHaveLength(6)
    for (const quota of quotas) {
      expect(textAt(quota, "spec", "hard", "services.nodeports")).toBe("0")
      expect(textAt(quota, "spec", "hard", "services.loadbalancers")).toBe("0")
    }
  })
})

rendered.describe("priorities", () => {
  test("put data before the door, services and jobs, and every pod of prod before every pod of nightly, and those before dev's", () => {
    const values = new Map(
      clusterObjects()
        .filter(({ kind }) => kind === "PriorityClass")
        .map((object) => [object.metadata.name, numberAt(object, "value") ?? 0])
    )
    const order = ["platform", "nightly", "dev"].flatMap((one) =>
      ["data", "edge", "core", "batch"].map((k) => `${one}-${k}`)
    )
    expect([...values.keys()].sort((a, b) => values.get(b)! - values.get(a)!)).toEqual(order)
    expect(new Set(values.values()).size).toBe(order.length)
  })
})
