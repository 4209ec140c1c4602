/** What becomes of an action whose process is killed: found out by reading the live object, never run again. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "bun:test"
import { findingOf } from "#admin/Recovery.ts"
import { digestOf, liveDigest } from "#admin/digests.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import {
  baseEnv,
  deployment,
  elsewhere,
  freshCluster,
  makeGateway,
  owner,
  requestOf,
  scheduler,
  startAdmin
} from "#test/admin/callers.ts"
import { freshDatabase } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-recovery-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Kills admin with SIGKILL at the patch, before or after the API server has carried it out, then starts another one. */
const killed = async (
  carriedOut: boolean,
  ask: (send: (path: string, as: typeof owner, body?: unknown) => Promise<Response>) => Promise<unknown>
) => {
  const cluster = freshCluster()
  await elsewhere(cluster).create("dev", deployment("web", "registry.test/web:1"))
  await elsewhere(cluster).patch("dev", "Deployment", "web", {
    spec: { template: { spec: { containers: [{ name: "main", image: "registry.test/web:2" }] } } }
  })
  cluster.writes(true)
  const gateway = makeGateway()
  const database = await freshDatabase("logging", "admin")
  const dead = Promise.withResolvers<void>()
  const victim: { child?: ReturnType<typeof Bun.spawn> } = {}
  const api = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: async (request) => {
      const url = new URL(request.url)
      const own = new Request(`http://simulated.invalid${url.pathname}${url.search}`, request)
      if (request.method !== "PATCH") return cluster.fetch(own)
      if (carriedOut) await cluster.fetch(own)
      victim.child?.kill("SIGKILL")
      await dead.promise
      return new Response(null, { status: 500 })
    }
  })
  const kubeconfig = join(folder, `${api.port}.yaml`)
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: `http://127.0.0.1:${api.port}` } }],
      users: [{ name: "test", user: {} }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      "current-context": "test"
    })
  )
  const { promise: started, resolve: start } = Promise.withResolvers<number>()
  victim.child = Bun.spawn([process.execPath, `${import.meta.dir}/admin.process.ts`], {
    env: {
      ...process.env,
      ...baseEnv(database.url, join(folder, `backups-${api.port}`), gateway.jwksUrl),
      KUBERNETES: kubeconfig
    },
    stdio: ["ignore", "inherit", "inherit"],
    ipc: ({ port }: { readonly port: number }) => start(port),
    onExit: () => dead.resolve()
  })
  const port = await started
  const send = (path: string, as: typeof owner, body?: unknown) => {
    const { headers, method } = requestOf(gateway.privateKey, path, { as, body })
    return fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
  }
  await ask(send).catch(() => undefined)
  await dead.promise
  const sent = cluster.writes(true).filter(({ dryRun }) => !dryRun)
  // The lease of the dead process: nobody waits for it here.
  await database.query("UPDATE actions.write_locks SET expires_at = now() - interval '1 second'")
  const next = await startAdmin({ cluster, databaseUrl: database.url })
  const action = await until("the action has an outcome", async () => {
    const { body } = await next.ask("/admin/actions")
    const [found] = body["items"] as ReadonlyArray<Record<string, unknown>>
    return found?.["finishedAt"] === null ? undefined : found
  })
  const proposals = (await next.ask("/admin/proposals")).body["items"]
  const again = cluster.writes(true).filter(({ dryRun }) => !dryRun)
  const live = await elsewhere(cluster).get("dev", "Deployment", "web")
  const after = await next.ask("/admin/ns/dev/pause", { body: { kind: "Deployment", name: "web", reason: "a test" } })
  await next.stop()
  gateway.stop()
  await api.stop(true)
  cluster.close()
  return { action, sent, again, live, after, proposals }
}

const restart = { kind: "Deployment", name: "web", reason: "a test" }

describe("an admin that is killed", () => {
  test("between the intent and the patch leaves an action that is not_applied, and is never run", async () => {
    const seen = await killed(false, (send) => send("/admin/ns/dev/restart", owner, restart))
    expect([seen.action["state"], seen.sent, seen.again]).toEqual(["not_applied", [], []])
    expect(seen.after.status).toBe(202)
  }, 60_000)

  test("between the patch and its outcome leaves an action that succeeded, once", async () => {
    const seen = await killed(true, (send) => send("/admin/ns/dev/undo", owner, restart))
    expect([seen.action["state"], seen.sent.length, seen.again]).toEqual(["succeeded", 1, []])
    expect(seen.live).toMatchObject({
      spec: { template: { spec: { containers: [{ image: "registry.test/web:1" }] } } }
    })
    expect(seen.after.status).toBe(202)
  }, 60_000)

  test("while it executes a proposal leaves one that is concluded with its action", async () => {
    const approve = async (send: (path: string, as: typeof owner, body?: unknown) => Promise<Response>) => {
      const { items } = (await (await send("/admin/ns/dev/workloads", owner)).json()) as {
        readonly items: ReadonlyArray<{ readonly uid: string; readonly generation: number }>
      }
      const target = {
        namespace: "dev",
        kind: "Deployment",
        name: "web",
        uid: items[0]!.uid,
        generation: items[0]!.generation
      }
      const evidence = {
        class: "crash_loop",
        container: "main",
        exitCode: 3,
        reason: "CrashLoopBackOff",
        restarts: 5,
        podCount: 1,
        firstSeenAt: new Date().toISOString(),
        previousLog: [],
        events: [],
        revision: 2,
        lastGoodRevision: 1,
        changes: []
      }
      const proposed = (await (
        await send("/admin/proposals", scheduler, {
          action: "undo",
          target,
          toRevision: 1,
          summary: "web crashes",
          incidentId: null,
          evidence
        })
      ).json()) as { readonly id: string; readonly digest: string }
      await send(`/admin/proposals/${proposed.id}/approve`, owner, { digest: proposed.digest, reason: "go" })
    }
    const seen = await killed(true, approve)
    expect(seen.proposals).toMatchObject([
      { state: "succeeded", actionId: seen.action["id"], decision: { decision: "approved", actor: { id: "owner" } } }
    ])
    expect(seen.action).toMatchObject({ state: "succeeded", actor: { id: "scheduler" }, approver: { id: "owner" } })
    expect(seen.sent).toHaveLength(1)
  }, 60_000)
})

describe("a live object tells", () => {
  const object = (replicas: number, uid = "one"): KubernetesObject => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "dev", uid, resourceVersion: "1", generation: 1 },
    spec: { replicas },
    status: { readyReplicas: replicas }
  })
  const expected = {
    kind: "Deployment",
    name: "web",
    before: liveDigest(object(1)),
    after: [{ pointer: "/spec/replicas", digest: digestOf(3) }],
    restartedSince: null
  }

  test.each([
    ["as it was before, whatever its status", { ...object(1), status: {} }, "not_applied"],
    ["as it was meant to be", object(3), "applied"],
    ["changed by somebody else", object(2), "unclear"],
    ["made anew with the old content", object(1, "two"), "unclear"],
    ["gone", undefined, "unclear"]
  ] as const)("%s", (_, live, finding) => {
    expect(findingOf(expected, live)).toBe(finding)
  })

  test("that one which was to be created is not there", () => {
    expect(findingOf({ ...expected, before: null }, undefined)).toBe("not_applied")
  })

  test("that one which was to be created was made by us, or by somebody else", () => {
    const madeBy = (manager: string, operation: string) => ({
      ...object(3),
      metadata: { ...object(3).metadata, managedFields: [{ manager, operation }] }
    })
    const finding = (live: KubernetesObject) => findingOf({ ...expected, before: null, after: [] }, live)
    expect(finding(madeBy("gatehouse-admin", "Apply"))).toBe("applied")
    expect(finding(madeBy("kubectl", "Apply"))).toBe("unclear")
    expect(finding(madeBy("gatehouse-admin", "Update"))).toBe("unclear")
  })
})
