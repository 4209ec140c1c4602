/** Nothing secret in what is shown of an object, as YAML or as a difference: each case is a way in which it would get out. */
import { describe, expect, test } from "bun:test"
import { parse } from "yaml"
import { changesBetween } from "#shared/kubernetes/changes.ts"
import { environmentOf, isSecretName, maskObject, maskText, yamlOf } from "#shared/kubernetes/mask.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { deployment, template } from "#test/admin/objects.ts"

const canary = "canary-7f3a"
const encoded = btoa(canary)
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

const secret = (annotation?: string): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: {
    name: "db",
    ...(annotation === undefined ? {} : { annotations: { [lastApplied]: annotation } }),
    managedFields: [{ manager: "kubectl", fieldsV1: { "f:data": {} } }]
  },
  type: "Opaque",
  data: { password: encoded },
  stringData: { plain: canary }
})

describe("security: the canary does not get out of", () => {
  const objects: ReadonlyArray<readonly [title: string, object: KubernetesObject]> = [
    ["a Secret's data", secret()],
    ["its copy in last-applied", secret(JSON.stringify(secret()))],
    ["a last-applied that cannot be read", secret(`{"data":{"password":"${encoded}"`)],
    ["a last-applied that is no object", secret(JSON.stringify(canary))],
    [
      "a variable with a secret's name",
      deployment({ template: template("web:1", { env: [{ name: "API_TOKEN", value: canary }] }) })
    ],
    [
      "an init container's variable",
      deployment({
        template: { spec: { initContainers: [{ name: "i", env: [{ name: "DB_PASSWORD", value: canary }] }] } }
      })
    ],
    ["a URL with a password", deployment({ template: template("web:1", { args: [`--db=pg://app:${canary}@db/x`] }) })],
    ["a URL in an annotation", deployment({ annotations: { note: `redis://:${canary}@cache` } })],
    [
      "a Deployment's last-applied",
      deployment({
        annotations: {
          [lastApplied]: JSON.stringify(
            deployment({ template: template("web:1", { env: [{ name: "SECRET_KEY", value: canary }] }) })
          )
        }
      })
    ]
  ]
  for (const [title, object] of objects) {
    test(title, () => {
      const shown = [yamlOf(object), JSON.stringify(maskObject(object))].join("\n")
      expect(shown).not.toContain(canary)
      expect(shown).not.toContain(encoded)
    })
  }

  test("a difference of Secrets, which still shows that there is one", () => {
    const changes = changesBetween(
      { kind: "Secret", data: { a: encoded, same: "x" } },
      { kind: "Secret", data: { a: btoa("other"), b: encoded, same: "x" } },
      { kind: "Secret" }
    )
    expect(changes).toEqual([
      { path: "/data/a", before: '"*** (before)"', after: '"*** (after)"' },
      { path: "/data/b", before: null, after: '"***"' }
    ])
  })

  test("a Secret that is new as a whole", () => {
    expect(JSON.stringify(changesBetween(undefined, secret(), { kind: "Secret" }))).not.toContain(canary)
    expect(JSON.stringify(changesBetween({}, secret(), { kind: "Secret" }))).not.toContain(encoded)
  })

  test("a container that is new as a whole", () => {
    const added = { name: "side", env: [{ name: "TOKEN", value: canary }], args: [`http://u:${canary}@x/`] }
    const changes = changesBetween({ containers: [] }, { containers: [added] })
    expect(JSON.stringify(changes)).toContain("side")
    expect(JSON.stringify(changes)).not.toContain(canary)
  })
})

describe("the YAML", () => {
  test("keeps everything else, without managedFields", () => {
    const shown: unknown = parse(yamlOf(secret()))
    expect(shown).toEqual({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "db" },
      type: "Opaque",
      data: { password: "***" },
      stringData: { plain: "***" }
    })
  })
  test("does not touch what is no secret", () => {
    const object = deployment({ template: template("web:1", { env: [{ name: "COLOUR", value: "blue" }] }) })
    expect(parse(yamlOf(object))).toEqual(JSON.parse(JSON.stringify(object)))
  })
})

describe("a difference", () => {
  const images = (...names: ReadonlyArray<readonly [string, string]>) => ({
    containers: names.map(([name, image]) => ({ name, image }))
  })
  test("matches containers by name, whatever their order", () => {
    expect(changesBetween(images(["a", "1"], ["b", "1"]), images(["b", "2"], ["a", "1"]))).toEqual([
      { path: "/containers/0/image", before: '"1"', after: '"2"' }
    ])
  })
  test("shows what is new and what is gone whole, with the index of its own side", () => {
    expect(changesBetween(images(["a", "1"], ["b", "1"]), images(["c", "1"], ["a", "1"]), { root: "/spec" })).toEqual([
      { path: "/spec/containers/0", before: null, after: '{"name":"c","image":"1"}' },
      { path: "/spec/containers/1", before: '{"name":"b","image":"1"}', after: null }
    ])
  })
  test("compares lists without names by place, and escapes keys", () => {
    expect(changesBetween({ "a/b~c": [1, 2] }, { "a/b~c": [1, 3, 4] })).toEqual([
      { path: "/a~1b~0c/1", before: "2", after: "3" },
      { path: "/a~1b~0c/2", before: null, after: "4" }
    ])
  })
  test("is empty where nothing differs, null and absent being the same", () => {
    expect(changesBetween({ a: null, b: { c: [1] } }, { b: { c: [1] } })).toEqual([])
  })
})

describe("the environment", () => {
  test("names the source of a value and shows none of a secret", () => {
    const env = [
      { name: "COLOUR", value: "blue" },
      { name: "EMPTY" },
      { name: "ADMIN_PASSWORD", value: canary },
      { name: "DB", valueFrom: { secretKeyRef: { name: "db", key: "url" } } },
      { name: "MODE", valueFrom: { configMapKeyRef: { name: "web", key: "mode" } } },
      { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } }
    ]
    const pod = template("web:1", { env, envFrom: [{ prefix: "X_", secretRef: { name: "all" } }] })
    expect(environmentOf(pod).map(({ name, value }) => [name, value])).toEqual([
      ["X_*", "secret all"],
      ["COLOUR", "blue"],
      ["EMPTY", ""],
      ["ADMIN_PASSWORD", "***"],
      ["DB", "secret db/url"],
      ["MODE", "config map web/mode"],
      ["IP", "field status.podIP"],
      ["CPU", "resource limits.cpu"]
    ])
  })
})

test("names that stand for secrets", () => {
  const yes = [
    "PASSWORD",
    "DB_PASS",
    "dbPassword",
    "API_KEY",
    "apiKey",
    "ACCESS_TOKEN",
    "client-secret",
    "SENTRY_DSN",
    "PRIVATE_KEY"
  ]
  const no = ["COLOUR", "PATH", "PASSENGERS", "KEYBOARD", "BYPASS_CACHE_SECONDS", "DATABASE_HOST"]
  expect(yes.filter((name) => !isSecretName(name))).toEqual([])
  expect(no.filter(isSecretName)).toEqual([])
})

test("only the password of a URL is hidden", () => {
  expect(maskText("see https://user:pw@host/a?b=c and http://host:80/x@y")).toBe(
    "see https://user:***@host/a?b=c and http://host:80/x@y"
  )
})
