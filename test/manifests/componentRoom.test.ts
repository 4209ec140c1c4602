/** What a component wants of an environment's quota is what kustomize/README.md tells an operator to add up. */
import { expect } from "bun:test"
import { listAt, textAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { quantityOf } from "#shared/kubernetes/quantity.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { renderDev } from "./beside.ts"
import { componentTable } from "./componentTable.ts"
import { cannotRender, overlay } from "./render.ts"
import { workloadsOf } from "./workloads.ts"

const missing = cannotRender()
const { test } = skipUnless(missing === undefined, missing ?? "")

const amount = (text: string | undefined): bigint => quantityOf(text ?? "0") ?? 0n
const largest = (all: ReadonlyArray<bigint>): bigint => all.reduce((most, one) => (one > most ? one : most), 0n)
const total = (all: ReadonlyArray<bigint>): bigint => all.reduce((sum, one) => sum + one, 0n)

/** Of every pod of `dev` and, as a rollout begins, the largest once more. */
const needed = (objects: ReadonlyArray<KubernetesObject>, key: string): bigint => {
  const here = objects.filter(({ metadata }) => metadata.namespace === "dev")
  if (key === "requests.storage") {
    const claims = here.flatMap((object) =>
      object.kind === "PersistentVolumeClaim" ? [object] : listAt(object, "spec", "volumeClaimTemplates")
    )
    return total(claims.map((claim) => amount(textAt(claim, "spec", "resources", "requests", "storage"))))
  }
  const [kind = "", what = ""] = key.split(".")
  const pods = workloadsOf(here).map(({ containers }) =>
    largest(containers.map(({ fields }) => amount(textAt(fields, "resources", kind, what))))
  )
  return total(pods) + largest(pods)
}

/** `dev` with one component in it, as its document says. */
const added: Readonly<Record<string, () => ReadonlyArray<KubernetesObject>>> = {
  backup: () => withComponent("backup"),
  "secret-store": () => withComponent("secret-store"),
  microservice: () =>
    renderDev((text) => text.replace("resources:\n", "resources:\n  - own\n"), {
      "own/kustomization.yaml": (from) =>
        [
          "apiVersion: kustomize.config.k8s.io/v1beta1",
          "kind: Kustomization",
          `components: [${from("components/microservice")}]`,
          "configMapGenerator:",
          "  - name: microservice",
          '    options: { disableNameSuffixHash: true, annotations: { config.kubernetes.io/local-config: "true" } }',
          "    literals: [NAME=own]",
          ""
        ].join("\n")
    })
}
const withComponent = (name: string) =>
  renderDev((text, from) =>
    text.replace(/^( +- .*overlays\/dev\/settings)$/mu, `  - ${from(`components/${name}`)}\n$1`)
  )

test("a component wants what the table says", () => {
  const { keys, rows } = componentTable()
  expect(keys.length).toBe(5)
  const before = overlay("dev")
  const seen = rows.map(({ component }) => {
    const objects = added[component]!()
    return keys.map((key) => needed(objects, key) - needed(before, key))
  })
  expect(seen).toEqual(rows.map(({ wants }) => wants.map(amount)))
  expect(rows.map(({ component }) => component)).toEqual(Object.keys(added))
})
