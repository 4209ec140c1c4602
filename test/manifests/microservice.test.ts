/** The component for a service of one's own: the folder that its kustomization describes is rendered beside an environment, as a team would do it. */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { textAt } from "#shared/kubernetes/fields.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { kustomizeFolder, renderDev } from "./beside.ts"
import { endpointsOf, matrixOf, policiesOf } from "./reachability.ts"
import { cannotRender, objectAt, overlay, placeOf } from "./render.ts"
import { workloadsOf } from "./workloads.ts"

const missing = cannotRender()
const rendered = skipUnless(missing === undefined, missing ?? "")

/** What the comment at the head of the component says. */
const described = (): string =>
  readFileSync(join(kustomizeFolder, "components/microservice/kustomization.yaml"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("#   "))
    .map((line) => line.slice(4))
    .join("\n")

/** The environment `dev` with the folder in its resources. */
const withService = () =>
  renderDev((text) => text.replace("resources:\n", "resources:\n  - orders\n"), {
    "orders/kustomization.yaml": (from) =>
      described().replace("../gatehouse/kustomize/components/microservice", from("components/microservice"))
  })

rendered.describe("the component microservice", () => {
  const objects = missing === undefined ? withService() : []
  const others = new Set(overlay("dev").map(placeOf))
  const own = objects.filter((object) => !others.has(placeOf(object)))

  test("gives a service its name, its image and nothing of the placeholder's", () => {
    expect(own.map(placeOf).sort()).toEqual([
      "dev/Deployment/orders",
      "dev/NetworkPolicy/orders",
      "dev/NetworkPolicy/orders-data-db",
      "dev/PodDisruptionBudget/orders",
      "dev/Service/orders",
      "dev/ServiceAccount/orders"
    ])
    const names = JSON.stringify(own.map(({ metadata, ...rest }) => ({ ...rest, name: metadata.name })))
    expect(names.replaceAll('"app.kubernetes.io/component":"microservice"', "")).not.toContain("microservice")
    const [workload] = workloadsOf(own)
    expect(workload?.containers.map(({ fields }) => textAt(fields, "image"))).toEqual([
      "registry.example.org/orders:1.2.3"
    ])
    const pod = JSON.stringify(objectAt(objects, "dev/Deployment/orders"))
    expect(pod).toContain('"secretName":"orders-secrets"')
    expect(pod).toContain('"audience":"gateway.dev"')
    expect(pod).toContain('"priorityClassName":"dev-core"')
  })

  test("opens the ways that hello has, for it alone", () => {
    const allowed = (of: typeof objects) => matrixOf(endpointsOf(of), policiesOf(of)).allowed
    const before = allowed(overlay("dev").filter(({ metadata }) => metadata.namespace === "dev"))
    const more = allowed(objects.filter(({ metadata }) => metadata.namespace === "dev")).filter(
      (line) => !before.includes(line)
    )
    expect(more.map((line) => line.replaceAll("orders", "hello")).sort()).toEqual(
      before.filter((line) => line.includes("hello")).sort()
    )
  })
})
