/** What counts as a change of a pod template, and what of it may be shown. */
import { describe, expect, test } from "bun:test"
import { templateChanges } from "#scheduler/health/templateChanges.ts"

const template = (containers: ReadonlyArray<object>, metadata: object = {}) => ({ metadata, spec: { containers } })
const app = (more: object = {}) => ({ name: "app", image: "web:1", ...more })

describe("templateChanges", () => {
  test("names a changed image by its container, wherever it stands in the list", () => {
    const before = template([app(), { name: "sidecar", image: "s:1" }])
    const after = template([{ name: "sidecar", image: "s:1" }, app({ image: "web:2" })])
    expect(templateChanges(before, after)).toEqual([
      { path: "/spec/containers/app/image", before: '"web:1"', after: '"web:2"' }
    ])
  })

  test("sees nothing in a restart stamp, a controller's label, and what Kubernetes writes as nothing", () => {
    const before = template([app()], { labels: { app: "web", "pod-template-hash": "a" }, creationTimestamp: null })
    const after = template([app({ env: [], resources: {} })], {
      labels: { app: "web", "pod-template-hash": "b" },
      annotations: { "kubectl.kubernetes.io/restartedAt": "2026-11-26T12:00:00Z" }
    })
    expect(templateChanges(before, after)).toEqual([])
  })

  test("says that a secret value changed and not what it is", () => {
    const env = (value: string) => [{ name: "DB_PASSWORD", value }]
    const changes = templateChanges(template([app({ env: env("old") })]), template([app({ env: env("new") })]))
    expect(changes).toEqual([{ path: "/spec/containers/app/env/DB_PASSWORD/value", before: '"***"', after: '"***"' }])
  })

  test("tells what came and what went", () => {
    const before = template([app({ args: ["a"] })])
    const after = template([app({ command: ["b"] })])
    expect(templateChanges(before, after)).toEqual([
      { path: "/spec/containers/app/args", before: '["a"]', after: null },
      { path: "/spec/containers/app/command", before: null, after: '["b"]' }
    ])
  })
})
