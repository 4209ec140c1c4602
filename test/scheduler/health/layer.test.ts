/** The watchman in a running scheduler, over a simulated cluster, with the gateway and admin played by the test. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import type { ProposalInput } from "#shared/api/admin.ts"
import type { Incident, IncidentChain, WatchHealth } from "#shared/api/scheduler.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { makeSimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { problemOf, problemResponse } from "#shared/problem.ts"
import { type Running, startScheduler } from "#test/scheduler/callers.ts"
import { until } from "#test/shared/until.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-watchman-"))
/** What admin was asked to propose, with the key that makes it happen once. */
const asked: Array<{ readonly input: ProposalInput; readonly key: string | null }> = []
let adminAway = false

/** A gateway that gives everybody a token, and behind it an admin that takes proposals. */
const startDoor = () =>
  Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      if (pathname === "/auth/token") {
        return Response.json({
          access_token: "a.b.c",
          issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
          token_type: "Bearer",
          expires_in: 600,
          scope: "*:*",
          env: "dev"
        })
      }
      if (adminAway) return problemResponse(problemOf(503, "unavailable"))
      const now = new Date().toISOString()
      const answer = (input: ProposalInput, id: string) => ({
        id,
        state: "pending",
        action: input.action,
        target: input.target,
        toRevision: input.toRevision ?? null,
        summary: input.summary,
        incidentId: input.incidentId,
        evidence: input.evidence,
        digest: "d",
        proposer: { id: "u", name: "scheduler" },
        createdAt: now,
        expiresAt: now,
        decision: null,
        actionId: null,
        message: ""
      })
      if (request.method === "POST") {
        const input = (await request.json()) as ProposalInput
        asked.push({ input, key: request.headers.get("idempotency-key") })
        return Response.json(answer(input, `p-${asked.length}`), { status: 201 })
      }
      const last = asked.at(-1)
      if (last === undefined) return problemResponse(problemOf(404, "not_found"))
      return Response.json(answer(last.input, pathname.slice(pathname.lastIndexOf("/") + 1)))
    }
  })

/** Its time runs faster than ours and must not overtake it: a pod that is Ready since tomorrow proves nothing. */
const cluster = makeSimulatedCluster({ namespaces: ["dev"], now: Date.now() - 14 * 60_000 })
const kubernetes = simulatedKubernetes(cluster)
const deployment = (name: string, image: string, replicas = 2): KubernetesObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, namespace: "dev" },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "app", image }] } }
  }
})
const release = (name: string, image: string, replicas?: number) =>
  Effect.runPromise(
    Kubernetes.use((port) =>
      port.apply({ resource: resources.Deployment, namespace: "dev", name }, deployment(name, image, replicas), {
        fieldManager: "test"
      })
    ).pipe(Effect.provide(kubernetes))
  )

let door: ReturnType<typeof startDoor>
let scheduler: Running
let turning: ReturnType<typeof setInterval>

beforeAll(async () => {
  door = startDoor()
  const keyFile = join(folder, "key.jwk")
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  writeFileSync(keyFile, JSON.stringify(privateKey.export({ format: "jwk" })))
  scheduler = await startScheduler(
    { kubernetes },
    {
      GATEWAY_URL: `http://127.0.0.1:${door.port}`,
      WORKLOAD_ID: "scheduler",
      WORKLOAD_KEY_FILE: keyFile,
      SCHEDULER_HEALTH_INTERVAL: "50 millis",
      SCHEDULER_HEALTH_CRASH_HOLD: "200 millis",
      SCHEDULER_HEALTH_KNOWN_GOOD: "0 millis"
    }
  )
  // The cluster's time flies: its pods crash while the watchman looks.
  turning = setInterval(() => cluster.advanceTo(Math.min(cluster.now() + 2000, Date.now())), 20)
}, 60_000)
afterAll(async () => {
  clearInterval(turning)
  await scheduler.stop()
  await door.stop(true)
  cluster.close()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const read = async <A>(path: string): Promise<A> => {
  const answer = await scheduler.ask(path)
  if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as A
}
const incidents = async (name: string) =>
  (await read<{ readonly items: ReadonlyArray<Incident> }>("/jobs/incidents")).items.filter((one) => one.name === name)
const theOne = (name: string, remedy: Incident["remedy"]) =>
  until(`${name} is ${remedy}`, async () => (await incidents(name)).find((one) => one.remedy === remedy))

/** A good release, then one that crashes. */
const breakIt = async (name: string) => {
  const { object } = await release(name, `${name}:1`)
  await until(`${name}:1 is known to be good`, async () => {
    const rows = await scheduler.database.query(
      `SELECT 1 FROM jobs.revision_health WHERE workload_uid = '${object.metadata.uid}' AND good_at IS NOT NULL`
    )
    return rows.length > 0
  })
  await release(name, `${name}:2-crash`)
}

describe("a release that crashes", () => {
  test("becomes one incident and one proposal with its evidence", async () => {
    await breakIt("web")
    const incident = await theOne("web", "proposed")
    expect(incident).toMatchObject({ class: "crash_loop", state: "open", impact: "none", revision: 2, podCount: 1 })
    const mine = asked.filter(({ input }) => input.target.name === "web")
    expect(mine).toHaveLength(1)
    expect(mine[0]?.key).toBe(`incident-${incident.id}-0`)
    expect(mine[0]?.input).toMatchObject({
      action: "undo",
      toRevision: 1,
      incidentId: incident.id,
      target: { namespace: "dev", kind: "Deployment", name: "web" },
      evidence: { container: "app", exitCode: 3, reason: "CrashLoopBackOff", revision: 2, lastGoodRevision: 1 }
    })
    expect(mine[0]?.input.evidence.previousLog.at(-1)).toBe("fatal: cannot open configuration")
    expect(mine[0]?.input.evidence.changes).toEqual([
      { path: "/spec/containers/0/image", before: '"web:2-crash"', after: '"web:1"' }
    ])
    expect(mine[0]?.input.evidence.events.length).toBeGreaterThan(0)
  })

  test("can be read as a chain", async () => {
    const [incident] = await incidents("web")
    const chain = await read<IncidentChain>(`/jobs/incidents/${incident?.id}`)
    expect(chain).toMatchObject({
      incident: { id: incident?.id },
      evidence: { exitCode: 3 },
      proposal: { state: "pending", toRevision: 1 },
      decision: null,
      action: null,
      verification: null
    })
    expect(chain.timeline.map(({ event }) => event)).toEqual(["opened", "evidence", "proposed"])
  })

  test("waits, visibly, while admin is away, and is proposed once when it is back", async () => {
    adminAway = true
    await breakIt("cart")
    const waiting = await theOne("cart", "proposal_pending")
    expect(waiting.proposalId).toBeNull()
    adminAway = false
    await theOne("cart", "proposed")
    expect(asked.filter(({ input }) => input.target.name === "cart")).toHaveLength(1)
  }, 60_000)

  test("of a workload that never worked is advice alone", async () => {
    await release("never", "never:1-crash")
    const incident = await theOne("never", "advice")
    expect(incident.advice).toContain("No earlier revision")
    expect(asked.filter(({ input }) => input.target.name === "never")).toEqual([])
  })
})

describe("a cluster that is away", () => {
  test("is said to be stale, and nothing is resolved or opened from the old picture", async () => {
    const health = () => read<WatchHealth>("/jobs/health")
    expect((await health()).watch.state).toBe("live")
    const before = (await incidents("web")).map(({ state }) => state)
    cluster.intercept(() => Promise.reject(new TypeError("connection refused")))
    cluster.cutWatches(true)
    const stale = await until("stale", async () => {
      const seen = await health()
      return seen.watch.state === "stale" ? seen : undefined
    })
    expect(stale.watch.since).not.toBeNull()
    expect((await incidents("web")).map(({ state }) => state)).toEqual(before)
    cluster.intercept(undefined)
    await until("live again", async () => (await health()).watch.state === "live")
    expect(await incidents("web")).toHaveLength(1)
    expect(asked.filter(({ input }) => input.target.name === "web")).toHaveLength(1)
  }, 60_000)
})

describe("people", () => {
  const act = (id: string, what: string, json?: unknown) =>
    scheduler.ask(`/jobs/incidents/${id}/${what}`, { method: "POST", ...(json === undefined ? {} : { json }) })
  const ahead = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()

  test("acknowledge and mute", async () => {
    const [incident] = await incidents("web")
    const id = incident!.id
    expect(((await (await act(id, "ack")).json()) as Incident).acknowledged?.actor.id).toBe("user")
    const until = ahead(1)
    const muted = await act(id, "mute", { until, reason: "known" })
    expect(((await muted.json()) as Incident).mutedUntil).toBe(until)
  })

  test("cannot mute into the past, for longer than thirty days, or without a reason", async () => {
    const [incident] = await incidents("web")
    const id = incident!.id
    for (const until of [ahead(-1), ahead(31), "tomorrow"]) {
      expect((await act(id, "mute", { until, reason: "r" })).status).toBe(400)
    }
    expect((await act(id, "mute", { until: ahead(1), reason: " " })).status).toBe(400)
    expect((await act(id, "mute", { until: ahead(1), reason: "r", more: 1 })).status).toBe(400)
  })

  test("are told that there is no such incident", async () => {
    for (const id of ["00000000-0000-7000-8000-000000000000", "x", "..%2f"]) {
      expect((await scheduler.ask(`/jobs/incidents/${id}`)).status).toBe(404)
      expect((await act(id, "ack")).status).toBe(404)
    }
  })

  test("need the right to write for it", async () => {
    const [incident] = await incidents("web")
    const answer = await scheduler.ask(`/jobs/incidents/${incident!.id}/ack`, {
      method: "POST",
      scope: "scheduler:read"
    })
    expect(answer.status).toBe(403)
  })

  test("filter and page the list, and bad questions are 400", async () => {
    const page = await read<{ readonly items: ReadonlyArray<Incident>; readonly nextCursor: string | null }>(
      "/jobs/incidents?limit=1&state=open"
    )
    expect(page.items).toHaveLength(1)
    expect(page.nextCursor).not.toBeNull()
    const advice = await read<{ readonly items: ReadonlyArray<Incident> }>("/jobs/incidents?proposal=advice")
    expect(advice.items.map(({ name }) => name).toSorted()).toEqual(["cluster", "never"])
    for (const query of ["limit=0", "limit=201", "cursor=x", "state=none", "since=yesterday", "what=1"]) {
      expect((await scheduler.ask(`/jobs/incidents?${query}`)).status).toBe(400)
    }
  })
})
