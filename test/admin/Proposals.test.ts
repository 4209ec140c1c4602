/** Proposals on a simulated cluster: kept once, decided once, executed through the write path, never on a workload that has changed. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { Proposal, type Workload } from "#shared/api/admin.ts"
import {
  type Admin,
  approver,
  deployment,
  elsewhere,
  inNamespace,
  operator,
  owner,
  type Person,
  scheduler,
  startAdmin
} from "#test/admin/callers.ts"
import { until } from "#test/shared/until.ts"

let admin: Admin
let made = 0
let name = ""
beforeAll(async () => {
  admin = await startAdmin()
})
afterAll(() => admin.stop())
beforeEach(async () => {
  name = `job-${made++}`
  await broken("dev")
})
afterEach(async () => {
  admin.cluster.intercept(undefined)
  // The storm limit counts what the tests before have proposed.
  await admin.query("UPDATE actions.proposals SET created_at = created_at - interval '1 day'")
})

/** A Deployment with a good revision 1 and a crashing revision 2. */
const broken = async (namespace: string) => {
  await elsewhere(admin.cluster).create(namespace, deployment(name, "registry.test/web:1"))
  await elsewhere(admin.cluster).patch(namespace, "Deployment", name, {
    spec: { template: { spec: { containers: [{ name: "main", image: "registry.test/crash:2" }] } } }
  })
  admin.written()
}

const targetOf = async (namespace = "dev") => {
  const workload = await until("the workload is seen", async () => {
    const { body } = await admin.ask(`/admin/ns/${namespace}/workloads`, { as: inAll(owner, namespace) })
    return (body["items"] as ReadonlyArray<Workload>).find((one) => one.name === name && one.generation === 2)
  })
  const { generation, kind, uid } = workload
  return { namespace, kind, name, uid, generation }
}
const inAll = (person: Person, namespace: string) => (namespace === "dev" ? person : inNamespace(person, namespace))

const evidence = {
  class: "crash_loop",
  container: "main",
  exitCode: 3,
  reason: "CrashLoopBackOff",
  restarts: 5,
  podCount: 1,
  firstSeenAt: "2026-01-01T00:00:00.000Z",
  previousLog: ["fatal: cannot open configuration"],
  events: [],
  revision: 2,
  lastGoodRevision: 1,
  changes: []
}
const inputOf = async (
  more: { readonly target?: object; readonly [field: string]: unknown } = {},
  namespace = "dev"
) => ({
  action: "undo",
  target: more.target ?? (await targetOf(namespace)),
  toRevision: 1,
  summary: `${name} crashes since revision 2`,
  incidentId: null,
  evidence,
  ...more
})
const propose = async (more: Parameters<typeof inputOf>[0] = {}, namespace = "dev", as = scheduler) =>
  admin.ask("/admin/proposals", { as: inAll(as, namespace), body: await inputOf(more, namespace) })
const proposed = async (more: Parameters<typeof inputOf>[0] = {}, namespace = "dev") => {
  const { body, status } = await propose(more, namespace)
  if (status !== 201) throw new Error(JSON.stringify(body))
  return Schema.decodeUnknownSync(Proposal)(body)
}
const decide = (id: string, verb: "approve" | "reject", body: object, as: Person = approver) =>
  admin.ask(`/admin/proposals/${id}/${verb}`, { as, body: { reason: "seen", ...body } })
const stateOf = async (id: string) => (await admin.ask(`/admin/proposals/${id}`)).body["state"]
const moves = async (id: string) =>
  (await admin.query(`SELECT event FROM actions.action_events WHERE proposal_id = '${id}' ORDER BY seq`)).map(
    ({ event }) => event
  )

describe("a proposal", () => {
  test("is kept pending with a digest and twelve hours, and does nothing", async () => {
    const proposal = await proposed()
    expect(proposal).toMatchObject({
      state: "pending",
      action: "undo",
      toRevision: 1,
      proposer: { id: "scheduler" },
      decision: null
    })
    expect(proposal.digest).toMatch(/^[0-9a-f]{64}$/u)
    expect(Date.parse(proposal.expiresAt) - Date.parse(proposal.createdAt)).toBe(12 * 3600 * 1000)
    expect(admin.written()).toEqual([])
    expect((await admin.ask("/admin/proposals?state=pending")).body["items"]).toContainEqual(proposal)
  })

  test("for the same workload and action is the one that is open, also at the same time", async () => {
    const body = await inputOf()
    const answers = await Promise.all([1, 2, 3].map(() => admin.ask("/admin/proposals", { as: scheduler, body })))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 200, 201])
    expect(new Set(answers.map(({ body: one }) => one["id"])).size).toBe(1)
    expect((await propose({ action: "restart", toRevision: undefined })).status).toBe(201)
  })

  test("sent again with its key is the same one, also when it has been carried out since", async () => {
    const body = await inputOf()
    const key = `lost-answer-${name}`
    const send = (more: object = {}, as = scheduler) =>
      admin.ask("/admin/proposals", { as, body: { ...body, ...more }, key })
    const both = await Promise.all([send(), send()])
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 201])
    const { digest, id } = Schema.decodeUnknownSync(Proposal)(both[0].body)
    expect((await decide(id, "approve", { digest })).status).toBe(202)
    await until("it is carried out", async () => (await stateOf(id)) === "succeeded")
    // By now revision 1 is another's number, and the workload not what was proposed for.
    const again = await send()
    expect([again.status, again.body["id"], again.body["state"]]).toEqual([200, id, "succeeded"])
    expect((await send({ summary: "something else" })).status).toBe(422)
    expect((await admin.ask("/admin/proposals", { as: scheduler, body })).status).toBe(404)
    expect((await send({}, owner)).status).toBe(404)
    expect(await admin.query(`SELECT 1 FROM actions.proposals WHERE name = '${name}'`)).toHaveLength(1)
  })

  test("for a workload that has changed since takes the place of the old one", async () => {
    const old = await proposed()
    await elsewhere(admin.cluster).patch("dev", "Deployment", name, { spec: { replicas: 2 } })
    const target = { ...old.target, generation: 3 }
    const fresh = await propose({ target })
    expect([fresh.status, fresh.body["id"] === old.id]).toEqual([201, false])
    expect([await stateOf(old.id), await moves(old.id)]).toEqual([
      "superseded",
      ["proposal.pending", "proposal.superseded"]
    ])
    expect((await decide(old.id, "approve", { digest: old.digest })).body["code"]).toBe("stale")
  })

  test("for a workload that is another, has changed, or is not there is refused", async () => {
    const target = await targetOf()
    const codes = await Promise.all(
      [
        { ...target, generation: 1 },
        { ...target, uid: "another" },
        { ...target, name: "absent" }
      ].map(
        async (one) =>
          (await admin.ask("/admin/proposals", { as: scheduler, body: { ...(await inputOf()), target: one } })).status
      )
    )
    expect(codes).toEqual([409, 409, 404])
    expect((await propose({ toRevision: 7 })).body["code"]).toBe("revision_not_found")
    for (const bad of [
      { ttlSeconds: 59 },
      { ttlSeconds: 604_801 },
      { toRevision: 0 },
      { extra: 1 },
      { action: "apply" }
    ]) {
      expect([bad, (await propose(bad)).status]).toEqual([bad, 422])
    }
  })

  test("security: does not keep the password of a URL that a crashed container printed", async () => {
    const canary = "c4n4ry-p4ssw0rd"
    const previousLog = [`cannot connect to postgres://app:${canary}@db/app`]
    const { id } = await proposed({ summary: `https://x:${canary}@h`, evidence: { ...evidence, previousLog } })
    const rows = await admin.query(`SELECT evidence, summary FROM actions.proposals WHERE id = '${id}'`)
    const events = await admin.query("SELECT content FROM actions.action_events")
    const shown = await admin.ask(`/admin/proposals/${id}`)
    expect(JSON.stringify([rows, events, shown])).not.toContain(canary)
    expect(JSON.stringify(shown)).toContain("postgres://app:***@db/app")
  })

  test("expires, and is 410 then", async () => {
    const { digest, id } = await proposed({ ttlSeconds: 60 })
    await admin.query(`UPDATE actions.proposals SET expires_at = now() - interval '1 second' WHERE id = '${id}'`)
    const { body, status } = await decide(id, "approve", { digest })
    expect([status, body["code"], await stateOf(id)]).toEqual([410, "proposal_expired", "expired"])
    expect((await propose()).status).toBe(201)
    expect(admin.written()).toEqual([])
  })

  test("beyond the storm limit is not kept, and the storm is recorded once", async () => {
    await admin.query(`INSERT INTO actions.proposals (id, state, action, namespace, kind, name, uid, generation, summary,
        evidence, digest, proposer_id, proposer_name, created_at, expires_at)
      SELECT uuidv7(), 'expired', 'undo', 'dev', 'Deployment', 'other-' || n, 'x', 1, '', '{}', '', 's', 's', now(), now()
      FROM generate_series(1, 20) n`)
    const answers = [await propose(), await propose()]
    await admin.query("DELETE FROM actions.proposals WHERE uid = 'x'")
    expect(answers.map(({ body, status }) => [status, body["code"]])).toEqual([
      [429, "proposal_storm"],
      [429, "proposal_storm"]
    ])
    expect(await admin.query("SELECT count(*)::int AS n FROM actions.action_events WHERE event = 'storm'")).toEqual([
      { n: 1 }
    ])
  })
})

describe("an approval", () => {
  test("runs the proposed action once, with proposer and approver, and is recorded move by move", async () => {
    const { digest, id } = await proposed()
    const { body, status } = await decide(id, "approve", { digest })
    expect([status, body]).toMatchObject([
      202,
      {
        action: "undo",
        state: "succeeded",
        actor: { id: "scheduler" },
        approver: { id: "approver" },
        proposalId: id,
        reason: "seen",
        undo: { toRevision: 1 }
      }
    ])
    expect(admin.written()).toHaveLength(1)
    expect((await admin.ask(`/admin/proposals/${id}`)).body).toMatchObject({
      state: "succeeded",
      actionId: body["id"],
      decision: { decision: "approved", actor: { id: "approver" }, reason: "seen" }
    })
    expect(await moves(id)).toEqual([
      "proposal.pending",
      "proposal.approved",
      "proposal.executing",
      "intent",
      "outcome",
      "proposal.succeeded"
    ])
    expect(await elsewhere(admin.cluster).get("dev", "Deployment", name)).toMatchObject({
      spec: { template: { spec: { containers: [{ image: "registry.test/web:1" }] } } }
    })
  })

  test("with its Idempotency-Key again is the same action", async () => {
    const { digest, id } = await proposed()
    const approve = () =>
      admin.ask(`/admin/proposals/${id}/approve`, {
        as: approver,
        body: { digest, reason: "seen" },
        key: `approve-${id}`
      })
    const [one, two] = [await approve(), await approve()]
    expect([one.status, two.status, two.body["id"]]).toEqual([202, 202, one.body["id"]])
    expect(admin.written()).toHaveLength(1)
  })

  test("of two at the same time, and every later one, runs it once", async () => {
    const { digest, id } = await proposed()
    const both = await Promise.all([decide(id, "approve", { digest }), decide(id, "approve", { digest }, owner)])
    expect(both.map(({ status }) => status).toSorted()).toEqual([202, 409])
    const later = await decide(id, "approve", { digest })
    expect([later.status, later.body["code"]]).toEqual([409, "proposal_decided"])
    expect((await decide(id, "reject", {})).status).toBe(409)
    expect(admin.written()).toHaveLength(1)
  })

  test("security: of another digest than the proposal's is refused and leaves it pending", async () => {
    const { digest, id } = await proposed()
    const { body, status } = await decide(id, "approve", { digest: "0".repeat(64) })
    expect([status, body["code"], await stateOf(id)]).toEqual([409, "stale", "pending"])
    expect(admin.written()).toEqual([])
    expect((await decide(id, "approve", { digest })).status).toBe(202)
  })

  test("security: of a workload that was changed, replaced or removed since changes nothing and ends the proposal", async () => {
    const change = [
      () => elsewhere(admin.cluster).patch("dev", "Deployment", name, { spec: { replicas: 2 } }),
      async () => {
        const path = `http://localhost/apis/apps/v1/namespaces/dev/deployments/${name}`
        await admin.cluster.fetch(new Request(path, { method: "DELETE" }))
        admin.cluster.advance(5)
      },
      async () => {
        const path = `http://localhost/apis/apps/v1/namespaces/dev/deployments/${name}`
        await admin.cluster.fetch(new Request(path, { method: "DELETE" }))
        admin.cluster.advance(5)
        await broken("dev")
      }
    ]
    for (const [index, make] of change.entries()) {
      name = `changed-${index}`
      await broken("dev")
      const { digest, id } = await proposed()
      await make()
      admin.written()
      const { body, status } = await decide(id, "approve", { digest })
      expect([index, status, body["code"], await stateOf(id)]).toEqual([index, 409, "stale", "stale"])
      expect(admin.written()).toEqual([])
    }
  })

  test("survives a status that changes all the time: a crash loop is not stale", async () => {
    const { digest, id } = await proposed()
    admin.cluster.advance(600)
    expect((await decide(id, "approve", { digest })).status).toBe(202)
  })

  test("security: of one's own proposal is refused where four eyes are needed, and only there", async () => {
    const self: Person = { id: "one-person", scope: "admin:*" }
    await broken("prod")
    const inProd = await propose({}, "prod", self)
    expect(inProd.status).toBe(201)
    const { digest, id } = Schema.decodeUnknownSync(Proposal)(inProd.body)
    const refused = await decide(id, "approve", { digest }, inNamespace(self, "prod"))
    expect([refused.status, refused.body["code"]]).toEqual([403, "self_approval"])
    expect(admin.written()).toEqual([])
    expect((await decide(id, "approve", { digest }, inNamespace(approver, "prod"))).status).toBe(202)
    const inDev = Schema.decodeUnknownSync(Proposal)((await propose({}, "dev", self)).body)
    expect((await decide(inDev.id, "approve", { digest: inDev.digest }, self)).status).toBe(202)
  })

  test("security: needs the right to approve in the proposal's namespace", async () => {
    const { digest, id } = await proposed()
    for (const person of [scheduler, operator, inNamespace(approver, "prod")]) {
      expect((await decide(id, "approve", { digest }, person)).body["code"]).toBe("scope_missing")
      expect((await decide(id, "reject", {}, person)).body["code"]).toBe("scope_missing")
    }
    expect([await stateOf(id), admin.written()]).toEqual(["pending", []])
  })

  test("that cannot be backed up, or finds the workload locked, leaves the proposal pending", async () => {
    const { digest, id } = await proposed()
    await admin.query(`INSERT INTO actions.write_locks (namespace, kind, name, action_id, owner, expires_at) VALUES
      ('dev', 'Deployment', '${name}', gen_random_uuid(), gen_random_uuid(), now() + interval '1 hour')`)
    const locked = await decide(id, "approve", { digest })
    expect([locked.status, locked.body["code"], await stateOf(id)]).toEqual([409, "locked", "pending"])
    await admin.query("DELETE FROM actions.write_locks")
    expect((await decide(id, "approve", { digest })).status).toBe(202)
  })

  test("whose write the API server refuses makes the proposal failed, with its words", async () => {
    const { digest, id } = await proposed()
    const refusal = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "Forbidden",
      code: 403,
      message: "no right"
    }
    admin.cluster.intercept((request) =>
      request.method === "PATCH" ? Response.json(refusal, { status: 403 }) : undefined
    )
    expect((await decide(id, "approve", { digest })).status).toBe(503)
    expect((await admin.ask(`/admin/proposals/${id}`)).body).toMatchObject({ state: "failed", message: "no right" })
  })
})

describe("a rejection", () => {
  test("and a new proposal that would supersede it at the same time do not block each other", async () => {
    for (let round = 0; round < 8; round++) {
      name = `both-${round}`
      await broken("dev")
      const { id, target } = await proposed()
      await elsewhere(admin.cluster).patch("dev", "Deployment", name, { spec: { replicas: 2 } })
      const body = await inputOf({ target: { ...target, generation: 3 } })
      const [rejected, fresh] = await Promise.all([
        decide(id, "reject", {}),
        admin.ask("/admin/proposals", { as: scheduler, body })
      ])
      expect([
        [200, 409],
        [409, 201]
      ]).toContainEqual([rejected.status, fresh.status])
    }
  })

  test("needs a reason, closes the proposal, and holds off the same for an hour", async () => {
    const { digest, id } = await proposed()
    for (const reason of ["", "  ", undefined]) expect((await decide(id, "reject", { reason })).status).toBe(422)
    const { body, status } = await decide(id, "reject", { reason: "known, ignore" })
    expect([status, body]).toMatchObject([200, { state: "rejected", decision: { reason: "known, ignore" } }])
    expect((await decide(id, "approve", { digest })).body["code"]).toBe("proposal_decided")
    const again = await propose()
    expect([again.status, again.body["code"]]).toEqual([409, "proposal_cooling_down"])
    await admin.query(`UPDATE actions.proposals SET decided_at = decided_at - interval '1 hour' WHERE id = '${id}'`)
    expect((await propose()).status).toBe(201)
    expect(admin.written()).toEqual([])
  })
})

describe("the live feed", () => {
  test("tells a proposal's moves and its action", async () => {
    const client = new AbortController()
    const response = await admin.send("/admin/stream?namespace=dev", { signal: client.signal })
    const { digest, id } = await proposed()
    await decide(id, "approve", { digest })
    const seen: Array<string> = []
    let text = ""
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      for (const [, event, data] of text.matchAll(/event: (\w+)\n(?:id: .*\n)?data: (.*)\n\n/gu)) {
        if (event === "proposal" && data!.includes(id)) seen.push((JSON.parse(data!) as { state: string }).state)
      }
      if (seen.includes("succeeded")) break
    }
    client.abort()
    expect([seen.includes("pending"), seen.includes("succeeded")]).toEqual([true, true])
  })
})
