/** What the manifests tell each service is what the service asks for: its own configuration reader takes the rendered variables and files. */
import { afterAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, Result } from "effect"
import { type Env, readConfig } from "#shared/config.ts"
import { listAt, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import { adminConfig } from "#admin/config.ts"
import { dashboardConfig, dashboardPrefixes } from "#dashboard/config.ts"
import { dataConfig, dataPrefixes, setupConfig } from "#data/config.ts"
import { gatewayConfig } from "#gateway/config.ts"
import { helloConfig } from "#hello/config.ts"
import { initialSecrets } from "#install/initialSecrets.ts"
import { monitorConfig } from "#monitor/config.ts"
import { schedulerConfig } from "#scheduler/config.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { cannotRender, clusterObjects, overlay } from "./render.ts"
import { type Container, volumesOf, type Workload, workloadsOf } from "./workloads.ts"

const missing = cannotRender()
const rendered = skipUnless(missing === undefined, missing ?? "")
const root = mkdtempSync(join(tmpdir(), "gatehouse-configuration-"))
afterAll(() => rmSync(root, { recursive: true }))

const objects = missing === undefined ? overlay("prod") : []
const secrets = initialSecrets("prod", Date.now())

const mapOf = (name: string | undefined) =>
  textsAt(
    objects.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === name),
    "data"
  )

/** The files that the container finds, below a folder of its own; gives that folder. */
const mount = (workload: Workload, container: Container): string => {
  const home = join(root, `${workload.name}-${container.name}`)
  for (const one of listAt(container.fields, "volumeMounts")) {
    const volume = volumesOf(workload).find((candidate) => textAt(candidate, "name") === textAt(one, "name"))
    const secret = secrets.find(({ name }) => name === textAt(volume, "secret", "secretName"))
    const files = secret?.values ?? mapOf(textAt(volume, "configMap", "name"))
    for (const [name, text] of Object.entries(files)) {
      const path = join(home, textAt(one, "mountPath") ?? "", name)
      mkdirSync(dirname(path), { recursive: true })
      // What the settings file names lies there too.
      writeFileSync(
        path,
        text.replaceAll(/\/run\/secrets\/(?:gatehouse|database)\//gu, (folder) => home + folder)
      )
    }
  }
  return home
}

/** The container's environment as the kubelet makes it, with paths below its folder. */
const environmentOf = (name: string, containerName = "service"): Env => {
  const workload = workloadsOf(objects).find((one) => one.name === name)
  const container = workload?.containers.find((one) => one.name === containerName)
  if (workload === undefined || container === undefined) throw new Error(`no container ${name}/${containerName}`)
  const home = mount(workload, container)
  const env: Record<string, string> = { KUBERNETES_SERVICE_HOST: "10.43.0.1", KUBERNETES_SERVICE_PORT: "443" }
  for (const variable of listAt(container.fields, "env")) {
    const key = textAt(variable, "name") ?? ""
    const map = mapOf(textAt(variable, "valueFrom", "configMapKeyRef", "name"))
    const value =
      textAt(variable, "value") ?? map[textAt(variable, "valueFrom", "configMapKeyRef", "key") ?? ""] ?? `${name}-0`
    env[key] = value
      .replaceAll(/\$\(([A-Z_]+)\)/gu, (_, other: string) => env[other] ?? "")
      .replace(/^\/(?:run\/secrets|etc)\//u, (path) => `${home}${path}`)
  }
  return env
}

const faultOf = async (effect: Effect.Effect<unknown, { readonly message: string }>) => {
  const read = await Effect.runPromise(Effect.result(effect))
  return Result.isFailure(read) ? read.failure.message : undefined
}

rendered.describe("the manifests configure", () => {
  test.each([
    ["gateway", () => gatewayConfig(environmentOf("gateway"))],
    ["admin", () => readConfig(adminConfig, environmentOf("admin"), ["ADMIN_"])],
    ["scheduler", () => readConfig(schedulerConfig, environmentOf("scheduler"), ["SCHEDULER_"])],
    ["monitor", () => readConfig(monitorConfig, environmentOf("monitor"), ["MONITOR_"])],
    ["data", () => readConfig(dataConfig, environmentOf("data"), dataPrefixes)],
    ["data's setup", () => readConfig(setupConfig, environmentOf("data", "setup"), [])],
    ["dashboard", () => readConfig(dashboardConfig, environmentOf("dashboard"), dashboardPrefixes)],
    ["hello", () => readConfig(helloConfig, environmentOf("hello"), ["HELLO_"])]
  ] satisfies ReadonlyArray<readonly [string, () => Effect.Effect<unknown, { readonly message: string }>]>)(
    "%s as it asks to be",
    async (_, read) => {
      expect(await faultOf(read())).toBeUndefined()
    }
  )

  test("nothing that a service would not know", async () => {
    const env = { ...environmentOf("admin"), ADMIN_NAMESPACE: "prod" }
    expect(await faultOf(readConfig(adminConfig, env, ["ADMIN_"]))).toBe("ADMIN_NAMESPACE: unknown setting")
  })

  test("the scheduler's own containers to give way first, by a class that is there", () => {
    const name = environmentOf("scheduler")["SCHEDULER_JOB_PRIORITY_CLASS"]
    expect(name).toBe("platform-batch")
    expect(clusterObjects().some(({ kind, metadata }) => kind === "PriorityClass" && metadata.name === name)).toBe(true)
  })

  test("who calls the gateway with a token for it and no other", () => {
    for (const name of ["scheduler", "hello"]) {
      const env = environmentOf(name)
      expect(env["GATEWAY_URL"]).toBe("http://gateway:8080")
      expect(env["WORKLOAD_TOKEN_FILE"]).toEndWith("/run/secrets/workload/token")
    }
    expect(environmentOf("gateway")["GATEWAY_HOSTS"]).toBe("gateway")
    expect(environmentOf("monitor")["IDENTITY_JWKS_URL"]).toBe("http://gateway.prod:9090/.well-known/jwks.json")
  })
})
