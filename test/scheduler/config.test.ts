/** The scheduler's settings: what stops the start, and that no secret is told. */
import { expect, test } from "bun:test"
import { Effect } from "effect"
import { readConfig } from "#shared/config.ts"
import { schedulerConfig } from "#scheduler/config.ts"

const base = {
  ENVIRONMENT: "dev",
  IDENTITY_ISSUER: "https://gatehouse.example",
  IDENTITY_JWKS_URL: "http://localhost:1/",
  SCHEDULER_DATABASE_URL: "postgresql://scheduler:hunter2@127.0.0.1:1/logging"
}
const read = (env: object) => Effect.runPromise(readConfig(schedulerConfig, { ...base, ...env }, ["SCHEDULER_"]))

test("defaults are those of a small installation", async () => {
  const config = await read({})
  expect(config).toMatchObject({
    concurrency: 10,
    leaseSeconds: 20,
    sweepSeconds: 4,
    graceSeconds: 20,
    namespace: undefined
  })
  expect([config.workload, config.kubernetes]).toEqual([undefined, undefined])
  expect((await read({ KUBERNETES_SERVICE_HOST: "10.43.0.1" })).kubernetes).toMatchObject({ source: "in-cluster" })
})

test("unknown, bad and missing settings stop the start by name", async () => {
  for (const [env, key] of [
    [{ SCHEDULER_CONCURENCY: "3" }, "SCHEDULER_CONCURENCY"],
    [{ SCHEDULER_CONCURRENCY: "0" }, "SCHEDULER_CONCURRENCY"],
    [{ SCHEDULER_LEASE: "10 minutes" }, "SCHEDULER_LEASE"],
    [{ SCHEDULER_SWEEP: "1 minute" }, "SCHEDULER_SWEEP"],
    [{ SCHEDULER_GRACE: "1 minute" }, "SCHEDULER_GRACE"],
    [{ SCHEDULER_DATABASE_URL: undefined }, "SCHEDULER_DATABASE_URL"]
  ] as const) {
    const error = await read(env).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ _tag: "ConfigInvalid", key })
    expect(String(error)).not.toContain("hunter2")
  }
})
