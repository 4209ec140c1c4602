/** The component secret-store: a server that the services reach, sealed or not, and that holds to the platform's rules. */
import { expect } from "bun:test"
import { at, textAt } from "#shared/kubernetes/fields.ts"
import { openBaoVersion } from "#test/cluster/build.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { renderDev } from "./beside.ts"
import { lint } from "./lint/exceptions.ts"
import { endpointsOf, matrixOf, policiesOf } from "./reachability.ts"
import { cannotRender, clusterObjects, objectAt, overlay, placeOf } from "./render.ts"
import { workloadsOf } from "./workloads.ts"

const missing = cannotRender()
const { describe, test } = skipUnless(missing === undefined, missing ?? "")

describe("the component secret-store", () => {
  const objects =
    missing === undefined
      ? renderDev((text, from) =>
          text.replace(/^( +- .*overlays\/dev\/settings)$/mu, `  - ${from("components/secret-store")}\n$1`)
        )
      : []
  const shipped = overlay("dev").filter(({ metadata }) => metadata.namespace === "dev")

  test("adds a server and changes nothing else; its secrets are not rendered", () => {
    const known = new Set(shipped.map(placeOf))
    const added = objects.map(placeOf).filter((place) => !known.has(place))
    expect(added.map((place) => place.replace(/-[a-z0-9]{10}$/u, "")).sort()).toEqual([
      "dev/ConfigMap/secret-store",
      "dev/NetworkPolicy/secret-store",
      "dev/NetworkPolicy/secret-store-callers",
      "dev/PodDisruptionBudget/secret-store",
      "dev/Service/secret-store",
      "dev/ServiceAccount/secret-store",
      "dev/StatefulSet/secret-store"
    ])
    expect(objects.filter(({ kind }) => kind === "Secret")).toEqual([])
    for (const object of shipped) expect(objectAt(objects, placeOf(object))).toEqual(object)
  })

  test("is reached by each service and nobody else, also while it is sealed", () => {
    const allowed = (of: typeof objects) => matrixOf(endpointsOf(of), policiesOf(of)).allowed
    const more = allowed(objects).filter((line) => !allowed(shipped).includes(line))
    const callers = ["admin", "dashboard", "data", "gateway", "hello", "scheduler"]
    for (const caller of callers) expect(more).toContain(`dev/${caller} -> dev/secret-store 8200/TCP`)
    expect(more.filter((line) => line.includes("-> dev/secret-store"))).toHaveLength(callers.length)
    expect(at(objectAt(objects, "dev/Service/secret-store"), "spec", "publishNotReadyAddresses")).toBe(true)
    const config = objects.find(({ metadata }) => metadata.name.startsWith("secret-store-") && metadata.namespace)
    expect(textAt(config, "data", "openbao.hcl") ?? JSON.stringify(objects)).toContain("static")
  })

  test("is of the release that the tests on a real cluster run, but for its patches", () => {
    const [workload] = workloadsOf(objects.filter(({ metadata }) => metadata.name === "secret-store"))
    const image = textAt(workload?.containers[0]?.fields, "image") ?? ""
    const minor = (version: string) => version.split(".").slice(0, 2)
    expect(minor(image.slice(image.lastIndexOf(":") + 1))).toEqual(minor(openBaoVersion))
  })

  test("passes the hardening checks", () => {
    const others = overlay("dev").filter(({ metadata }) => metadata.namespace !== "dev")
    const open = lint([...clusterObjects(), ...objects, ...others]).filter(({ exception }) => exception === undefined)
    const found = open
      .filter(({ object }) => object.kind !== "ClusterRoleBinding" && object.kind !== "Namespace")
      .map(({ object, rule }) => `${rule} ${placeOf(object)}`)
    // It asks the API server whose a token is: README.md beside it says what allows that.
    expect(found).toEqual(["api-tokens dev/StatefulSet/secret-store"])
  })
})
