/** `kubernetes.job` on the simulated API server: one Job for one job whatever crashes, its end and its log recorded. */
import { beforeEach, expect, test } from "bun:test"
import { Effect, Layer } from "effect"
import { type Fields } from "#shared/kubernetes/simulated/values.ts"
import { makeSimulatedCluster, type SimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { kubernetesJob } from "#scheduler/kinds/kubernetesJob.ts"
import { jobName } from "#scheduler/kinds/jobTemplate.ts"
import { kindOf } from "./runKind.ts"

const jobId = "0193b2a4-0000-7000-8000-000000000001"
const payload = { image: "registry.example/tool:1", args: ["--all"], env: { MODE: "full" } }
const jobs = "/apis/batch/v1/namespaces/dev/jobs"

let cluster: SimulatedCluster
/** Of the container, when it ends. */
let exitCode = 0
let kind: Awaited<ReturnType<typeof kindOf>>
beforeEach(async () => {
  cluster = makeSimulatedCluster({
    namespaces: ["dev"],
    images: () => ({
      ends: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", afterSeconds: 2 },
      lastLines: ["all done"]
    })
  })
  exitCode = 0
  kind = await kindOf(
    "kubernetes.job",
    kubernetesJob({ namespace: "dev", priorityClass: "dev-batch" }).pipe(Layer.provide(simulatedKubernetes(cluster)))
  )
})

const api = async (method: string, path: string, body?: unknown) => {
  const answer = await cluster.fetch(
    new Request(`http://simulated.invalid${path}`, {
      method,
      headers: { "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
  )
  return { status: answer.status, body: (await answer.json()) as Fields }
}
const created = () =>
  cluster.writes().filter(({ method, path, status }) => method === "POST" && path === jobs && status === 201)

test("creates one Job with the strictest context, and waits without holding a worker", async () => {
  expect((await kind.run(payload)).outcome?._tag).toBe("Again")
  expect((await kind.run(payload)).outcome?._tag).toBe("Again")
  expect(created()).toHaveLength(1)
  const { spec } = JSON.parse(created()[0]!.body)
  expect(spec).toMatchObject({ backoffLimit: 0, ttlSecondsAfterFinished: 3600, activeDeadlineSeconds: 3600 })
  expect(spec.template.spec).toMatchObject({
    restartPolicy: "Never",
    priorityClassName: "dev-batch",
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        image: payload.image,
        env: [{ name: "MODE", value: "full" }],
        resources: { limits: { cpu: "500m", memory: "256Mi" } },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] }
        }
      }
    ]
  })
})

test("finds the Job of a crashed attempt instead of making a second", async () => {
  await kind.run(payload, { attempt: 1, fence: 1 })
  expect((await kind.run(payload, { attempt: 2, fence: 2 })).outcome?._tag).toBe("Again")
  expect(created()).toHaveLength(1)
})

test("a lost answer to the creation makes no second one", async () => {
  cluster.intercept((request) => {
    if (request.method !== "POST") return undefined
    cluster.intercept(undefined)
    return cluster.fetch(request).then((): Response => {
      throw new TypeError("connection lost")
    })
  })
  const { failure } = await kind.run(payload)
  expect(failure).toMatchObject({ retryable: true })
  expect((await kind.run(payload)).outcome?._tag).toBe("Again")
  expect(created()).toHaveLength(1)
})

test("ends with the Job, keeping how its container ended", async () => {
  await kind.run(payload)
  cluster.advance(30)
  const { log, outcome } = await kind.run(payload)
  expect(outcome).toMatchObject({
    _tag: "Done",
    result: { job: jobName(jobId), pod: expect.stringContaining(jobName(jobId)), exitCode: 0, reason: "Completed" }
  })
  expect(log).toContain("all done")
  cluster.advance(30)
  expect(created()).toHaveLength(1)
})

test("a failed Job is a failed attempt; the next attempt makes a new one under the same name", async () => {
  exitCode = 3
  await kind.run(payload, { attempt: 1 })
  cluster.advance(30)
  expect((await kind.run(payload, { attempt: 1 })).failure).toMatchObject({
    retryable: true,
    detail: "the Job failed: exit code 3"
  })
  exitCode = 0
  for (const step of ["removes the old", "makes a new", "ends with it"]) {
    const { outcome } = await kind.run(payload, { attempt: 2 })
    expect([step, outcome?._tag]).toEqual([step, step === "ends with it" ? "Done" : "Again"])
    cluster.advance(30)
  }
  expect(created()).toHaveLength(2)
})

test("a cancelled job takes its running Job along", async () => {
  await kind.run(payload)
  await Effect.runPromise(kind.handler.cancelled(jobId))
  expect((await api("GET", `${jobs}/${jobName(jobId)}`)).status).toBe(404)
})

test("security: a payload asks for no more than the template gives", async () => {
  for (const extra of [
    { image: "x y" },
    { image: "" },
    { image: "x", privileged: true },
    { image: "x", serviceAccountName: "admin" },
    { image: "x", volumes: [] },
    { image: "x", cpu: "1000000" },
    { image: "x", memory: "1Ti" },
    { image: "x", env: { "A-B": "c" } },
    { image: "x", timeoutSeconds: 100_000 }
  ]) {
    expect((await Effect.runPromise(Effect.flip(kind.handler.check(extra, ""))))._tag).toBe("InvalidInput")
  }
})
