/** When two templates mean the same: nil and empty, quantities by value, and what must never be taken for the same. */
import { describe, expect, test } from "bun:test"
import { quantityOf, sameQuantity } from "#shared/kubernetes/quantity.ts"
import { onlyRestartedAt, sameButRestart, sameTemplate, semanticallyEqual } from "#shared/kubernetes/templates.ts"
import { template } from "#test/admin/objects.ts"

const stamp = (at: string) => ({ "kubectl.kubernetes.io/restartedAt": at })
const resources = (cpu: string | number, memory = "1Gi") =>
  template("web:1", { resources: { limits: { cpu, memory } } })

describe("the same", () => {
  const cases: ReadonlyArray<readonly [title: string, a: object, b: object]> = [
    ["an empty list and none", template("web:1", { env: [] }), template("web:1")],
    ["an empty map and none", template("web:1", { resources: {} }), template("web:1")],
    ["a map of empty maps and none", template("web:1", { resources: { limits: {} } }), template("web:1")],
    ["null and none", template("web:1", { command: null }), template("web:1")],
    ["keys in another order", { a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 }],
    ["a quantity written otherwise", resources("500m", "1Gi"), resources("0.5", "1024Mi")],
    ["a quantity as a number", resources(1), resources("1")],
    ["a quantity with an exponent", resources("1e3"), resources("1k")]
  ]
  for (const [title, a, b] of cases) test(title, () => expect(semanticallyEqual(a, b)).toBe(true))

  test("the hash label that the controller adds", () => {
    const labelled = { ...template("web:1"), metadata: { labels: { app: "web", "pod-template-hash": "5f" } } }
    expect(sameTemplate(labelled, template("web:1"))).toBe(true)
  })
})

describe("not the same", () => {
  const cases: ReadonlyArray<readonly [title: string, a: object, b: object]> = [
    ["another image", template("web:1"), template("web:2")],
    ["another order of a list", template("web:1", { args: ["a", "b"] }), template("web:1", { args: ["b", "a"] })],
    ["false and none: a pointer that is set", { securityContext: { runAsNonRoot: false } }, { securityContext: {} }],
    ["0 and none", { terminationGracePeriodSeconds: 0 }, {}],
    ["an empty selector takes all, none takes nothing", { labelSelector: {} }, {}],
    ["an empty volume is a volume", { volumes: [{ name: "a", emptyDir: {} }] }, { volumes: [{ name: "a" }] }],
    ["another quantity", resources("500m"), resources("501m")],
    [
      "text that only looks like a quantity",
      template("web:1", { args: ["1000m"] }),
      template("web:1", { args: ["1"] })
    ],
    ["a label of the same name elsewhere", { metadata: { labels: { a: "1" } } }, { metadata: { labels: { a: "2" } } }]
  ]
  for (const [title, a, b] of cases) test(title, () => expect(semanticallyEqual(a, b)).toBe(false))
})

describe("the restart stamp", () => {
  const [plain, restarted, again] = [
    template("web:1"),
    template("web:1", {}, stamp("2026-11-26T09:00:00Z")),
    template("web:1", {}, stamp("2026-11-26T10:00:00Z"))
  ]
  test("alone makes a difference that is none to the images", () => {
    expect([onlyRestartedAt(plain, restarted), onlyRestartedAt(restarted, again)]).toEqual([true, true])
    expect(sameTemplate(plain, restarted)).toBe(false)
  })
  test("is not alone where the image differs, or nothing does", () => {
    expect(onlyRestartedAt(plain, template("web:2", {}, stamp("2026-11-26T09:00:00Z")))).toBe(false)
    expect(onlyRestartedAt(plain, plain)).toBe(false)
    expect(sameButRestart(plain, plain)).toBe(true)
  })
})

describe("a quantity", () => {
  const cases: ReadonlyArray<readonly [text: string, billionths: bigint | undefined]> = [
    ["1", 1_000_000_000n],
    ["0", 0n],
    ["-2", -2_000_000_000n],
    ["500m", 500_000_000n],
    [".5", 500_000_000n],
    ["1.", 1_000_000_000n],
    ["1k", 1_000_000_000_000n],
    ["1Ki", 1_024_000_000_000n],
    ["1.5Gi", 1_610_612_736_000_000_000n],
    ["1E", 10n ** 27n],
    ["1e3", 1_000_000_000_000n],
    ["1E-3", 1_000_000n],
    ["1n", 1n],
    ["0.1n", 1n],
    ["", undefined],
    [".", undefined],
    ["1KB", undefined],
    ["one", undefined],
    ["1e3Ki", undefined]
  ]
  for (const [text, billionths] of cases) test(`"${text}"`, () => expect(quantityOf(text)).toBe(billionths))
  test("that is none is compared as text", () => {
    expect([sameQuantity("one", "one"), sameQuantity("one", "1")]).toEqual([true, false])
  })
})
