/** The write path on a simulated cluster: what is recorded and kept before anything is sent, once whatever is repeated, and what a fault leaves. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { type Admin, type Answered, deployment, elsewhere, operator, owner, startAdmin } from "#test/admin/callers.ts"
import { privatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

let admin: Admin
let made = 0
let web = ""
beforeAll(async () => {
  admin = await startAdmin()
})
afterAll(() => admin.stop())
beforeEach(async () => {
  web = `web-${made++}`
  await elsewhere(admin.cluster).create("dev", deployment(web, "registry.test/web:1"))
  admin.written()
})
afterEach(() => admin.cluster.intercept(undefined))

const restart = (name = web) => ({ kind: "Deployment", name, reason: "a test" })
const intents = async () =>
  Number((await admin.query("SELECT count(*)::int AS n FROM actions.action_events WHERE event = 'intent'"))[0]!["n"])
const isPatch = (request: Request) => request.method === "PATCH"

/** Holds every patch until it is let go. */
const hold = () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const seen = Promise.withResolvers<void>()
  let passing = false
  admin.cluster.intercept((request) => {
    if (!isPatch(request) || passing) return undefined
    seen.resolve()
    return promise.then(() => {
      passing = true
      return admin.cluster.fetch(request)
    })
  })
  return { seen: seen.promise, letGo: resolve }
}

describe("a write", () => {
  test("is recorded with who, why and what came of it", async () => {
    const { body, status } = await admin.ask("/admin/ns/dev/restart", { as: operator, body: restart() })
    expect([status, body]).toMatchObject([
      202,
      {
        state: "succeeded",
        action: "restart",
        actor: { id: "operator" },
        approver: null,
        reason: "a test",
        message: `deployment.apps/${web} restarted`,
        upstreamStatus: 200
      }
    ])
    expect(admin.written()).toEqual([expect.objectContaining({ method: "PATCH", path: expect.stringContaining(web) })])
    expect((await admin.ask(`/admin/actions/${String(body["id"])}`)).body).toEqual(body)
  })

  test("finds its intent committed and its backup on disk before the API server is asked", async () => {
    let seen: ReadonlyArray<unknown> = []
    admin.cluster.intercept((request) => {
      if (!isPatch(request) || seen.length > 0) return undefined
      const look = async () => {
        const rows = await admin.query(
          `SELECT content::jsonb ->> 'reason' AS reason FROM actions.action_events WHERE event = 'intent' AND name = '${web}'`
        )
        seen = [rows, readdirSync(join(admin.backups, "dev", "Deployment", web)).length]
        return admin.cluster.fetch(request)
      }
      return look()
    })
    await admin.ask("/admin/ns/dev/restart", { body: restart() })
    expect(seen).toEqual([[{ reason: "a test" }], 2])
  })

  test("keeps what was live, for its owner alone, so that it can be applied again", async () => {
    const { body } = await admin.ask("/admin/ns/dev/restart", { body: restart() })
    const file = join(admin.backups, String(body["backup"]))
    const text = readFileSync(file, "utf8")
    expect(text).toContain("image: registry.test/web:1")
    expect(text).not.toMatch(/managedFields|resourceVersion|uid:|^status:|creationTimestamp|generation:/mu)
    expect([statSync(file).mode & 0o777, statSync(dirname(file)).mode & 0o777]).toEqual([0o600, 0o700])
    const hash = createHash("sha256").update(text).digest("hex")
    expect(readFileSync(`${file}.sha256`, "utf8")).toStartWith(hash)
    expect(String(body["backup"])).toMatch(
      new RegExp(`^dev/Deployment/${web}/\\d{8}T\\d{9}Z-${String(body["id"])}\\.yaml$`, "u")
    )
  })

  test("goes on when the client leaves", async () => {
    const held = hold()
    const client = new AbortController()
    const asked = admin.send("/admin/ns/dev/restart", { body: restart(), signal: client.signal })
    await held.seen
    client.abort()
    await asked
    held.letGo()
    const action = await until("the outcome", async () => {
      const { body } = await admin.ask(`/admin/actions?name=${web}`)
      const [found] = body["items"] as ReadonlyArray<Record<string, unknown>>
      return found?.["state"] === "succeeded" ? found : undefined
    })
    expect(action["message"]).toBe(`deployment.apps/${web} restarted`)
  })

  test("is waited for by a service that ends", async () => {
    const own = await startAdmin({ cluster: admin.cluster })
    const held = hold()
    const asked = own.send("/admin/ns/dev/restart", { body: restart() })
    await held.seen
    const ended = own.service.dispose()
    held.letGo()
    await Promise.all([asked, ended])
    const rows = await own.query(
      "SELECT content::jsonb ->> 'state' AS state FROM actions.action_events WHERE event = 'outcome'"
    )
    await own.stop()
    expect(rows).toEqual([{ state: "succeeded" }])
  })

  test("is counted by what came of it", async () => {
    await admin.ask("/admin/ns/dev/restart", { body: restart() })
    const text = await (await admin.service.internal(new Request("http://localhost/metrics"))).text()
    expect(text).toMatch(/^gatehouse_admin_actions_total\{.*action="restart".*result="succeeded".*\} [1-9]/mu)
    expect(text).toMatch(/^gatehouse_admin_action_seconds_count\{.*action="restart".*\} [1-9]/mu)
  })

  test("that changes nothing is recorded and not sent", async () => {
    const pause = { kind: "Deployment", name: web, reason: "a test" }
    expect((await admin.ask("/admin/ns/dev/pause", { body: pause })).status).toBe(202)
    admin.written()
    const again = await admin.ask("/admin/ns/dev/pause", { body: pause })
    expect([again.status, again.body["state"], again.body["backup"]]).toEqual([200, "unchanged", null])
    expect(admin.written()).toEqual([])
  })

  test("that the API server refuses is recorded as failed, in its words", async () => {
    const refusal = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "Forbidden",
      code: 403,
      message: "no right to patch"
    }
    admin.cluster.intercept((request) => (isPatch(request) ? Response.json(refusal, { status: 403 }) : undefined))
    const { body, status } = await admin.ask("/admin/ns/dev/restart", { body: restart() })
    expect([status, body["code"]]).toEqual([503, "upstream_forbidden"])
    const items = (await admin.ask(`/admin/actions?name=${web}`)).body["items"]
    expect(items).toMatchObject([{ state: "failed", upstreamStatus: 403, message: "no right to patch" }])
  })
})

describe("many writes at once", () => {
  test("all come through, each recorded, and the chain holds", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `${web}-${index}`)
    for (const name of names) await elsewhere(admin.cluster).create("dev", deployment(name, "registry.test/web:1"))
    const rounds = ["restart", "pause", "resume", "pause"]
    const answers = await Promise.all(
      names.map(async (name) => {
        const seen: Array<number> = []
        for (const verb of rounds) seen.push((await admin.ask(`/admin/ns/dev/${verb}`, { body: restart(name) })).status)
        return seen
      })
    )
    expect(answers).toEqual(names.map(() => [202, 202, 202, 202]))
    expect((await admin.ask("/admin/actions/verify")).body["ok"]).toBe(true)
  })
})

describe("a race", () => {
  test("with somebody else's change is lost by the undo: stale, recorded as failed, nothing overwritten", async () => {
    const image = (tag: number) => ({
      spec: { template: { spec: { containers: [{ name: "main", image: `registry.test/web:${tag}` }] } } }
    })
    await elsewhere(admin.cluster).patch("dev", "Deployment", web, image(2))
    let raced = false
    admin.cluster.intercept((request) => {
      if (!isPatch(request) || raced) return undefined
      raced = true
      return elsewhere(admin.cluster)
        .patch("dev", "Deployment", web, image(3))
        .then(() => admin.cluster.fetch(request))
    })
    const { body, status } = await admin.ask("/admin/ns/dev/undo", { body: restart() })
    expect([status, body["code"]]).toEqual([409, "stale"])
    expect(await elsewhere(admin.cluster).get("dev", "Deployment", web)).toMatchObject(image(3))
    expect((await admin.ask(`/admin/actions?name=${web}`)).body["items"]).toMatchObject([{ state: "failed" }])
  })
})

describe("an undo that is only asked about", () => {
  const preview = () => admin.ask("/admin/ns/dev/undo", { body: { ...restart(), dryRun: true } })

  test("shows what it would do, and is neither sent, kept nor recorded", async () => {
    await elsewhere(admin.cluster).patch("dev", "Deployment", web, {
      spec: { template: { spec: { containers: [{ name: "main", image: "registry.test/web:2" }] } } }
    })
    admin.written()
    const before = await intents()
    const { body, status } = await preview()
    expect([status, body["fromRevision"], body["toRevision"], body["skipped"]]).toEqual([200, 2, 1, false])
    expect([admin.written(), await intents()]).toEqual([[], before])
    expect((await admin.ask(`/admin/actions?name=${web}`)).body["items"]).toEqual([])
  })

  test("is refused in the API server's words where it validates and says no", async () => {
    await elsewhere(admin.cluster).patch("dev", "Deployment", web, {
      spec: { template: { spec: { containers: [{ name: "main", image: "registry.test/web:2" }] } } }
    })
    const refusal = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "Invalid",
      code: 422,
      message: "a webhook says no"
    }
    admin.cluster.intercept((request) => (isPatch(request) ? Response.json(refusal, { status: 422 }) : undefined))
    const { body, status } = await preview()
    expect([status, body["code"], body["detail"]]).toEqual([
      422,
      "upstream_refused",
      "the API server refused: a webhook says no"
    ])
  })
})

describe("an Idempotency-Key", () => {
  test("makes a repeated request one action and one patch, also at the same time", async () => {
    const asked = () =>
      admin.ask("/admin/ns/dev/restart", { body: restart(), key: `key of ${web}`.replaceAll(" ", "-") })
    const both = await Promise.all([asked(), asked()])
    const later = await asked()
    expect([...both, later].map(({ status }) => status)).toEqual([202, 202, 202])
    expect(new Set([...both, later].map(({ body }) => body["id"])).size).toBe(1)
    expect(admin.written()).toHaveLength(1)
  })

  test("with another body is refused, and is another's own for another caller", async () => {
    const key = `k-${web}`
    const first = await admin.ask("/admin/ns/dev/restart", { as: operator, body: restart(), key })
    const other = await admin.ask("/admin/ns/dev/restart", {
      as: operator,
      body: { ...restart(), reason: "else" },
      key
    })
    expect([other.status, other.body["code"]]).toEqual([422, "key_reused"])
    const pause = await admin.ask("/admin/ns/dev/pause", { as: owner, body: restart(), key })
    expect([pause.status, pause.body["id"] === first.body["id"]]).toEqual([202, false])
  })

  test("of a write that was refused before its intent can be used again", async () => {
    const key = `refused-${web}`
    const absent = await admin.ask("/admin/ns/dev/restart", { body: restart("nothing-here"), key })
    expect(absent.status).toBe(404)
    await elsewhere(admin.cluster).create("dev", deployment(`late-${web}`, "registry.test/web:1"))
    expect((await admin.ask("/admin/ns/dev/restart", { body: restart(`late-${web}`), key })).status).toBe(202)
  })
})

describe("a lock", () => {
  test("lets one write at a time go to an object and names the one that runs", async () => {
    const held = hold()
    const first = admin.ask("/admin/ns/dev/restart", { body: restart() })
    await held.seen
    const second = await admin.ask("/admin/ns/dev/pause", { body: restart() })
    held.letGo()
    const { body } = await first
    expect([second.status, second.body["code"]]).toEqual([409, "locked"])
    expect(String(second.body["detail"])).toContain(String(body["id"]))
    expect(admin.written().filter(({ path }) => path.endsWith(web))).toHaveLength(2)
    expect((await admin.ask("/admin/ns/dev/pause", { body: restart() })).status).toBe(202)
  })

  test("is taken by an undo while a rollout goes on: only a write holds it", async () => {
    await elsewhere(admin.cluster).patch("dev", "Deployment", web, {
      spec: { template: { spec: { containers: [{ name: "main", image: "registry.test/crash:2" }] } } }
    })
    const { body, status } = await admin.ask("/admin/ns/dev/undo", { body: restart() })
    expect([status, body["state"], body["undo"]]).toMatchObject([202, "succeeded", { fromRevision: 2, toRevision: 1 }])
  })

  test("of a dead process runs out", async () => {
    const takes = (expires: string) =>
      admin.query(`INSERT INTO actions.write_locks (namespace, kind, name, action_id, owner, expires_at) VALUES
        ('dev', 'Deployment', '${web}', gen_random_uuid(), gen_random_uuid(), now() ${expires})`)
    await takes("+ interval '1 hour'")
    expect((await admin.ask("/admin/ns/dev/restart", { body: restart() })).body["code"]).toBe("locked")
    await admin.query("UPDATE actions.write_locks SET expires_at = now() - interval '1 second'")
    expect((await admin.ask("/admin/ns/dev/restart", { body: restart() })).status).toBe(202)
  })
})

describe("an answer that is lost", () => {
  const outcome = (state: string) =>
    until(`the action is ${state}`, async () => {
      const { body } = await admin.ask(`/admin/actions?name=${web}`)
      const [found] = body["items"] as ReadonlyArray<Record<string, unknown>>
      return found?.["state"] === state && found["finishedAt"] !== null ? found : undefined
    })
  const losing = (carriedOut: boolean) => {
    let lost = false
    admin.cluster.intercept((request) => {
      if (!isPatch(request) || lost) return undefined
      lost = true
      const broken = () => Promise.reject(new Error("connection reset"))
      return carriedOut ? admin.cluster.fetch(request).then(broken) : broken()
    })
  }

  test("to a write that took place makes it unknown, then succeeded, and is not sent again", async () => {
    losing(true)
    const { body, status } = await admin.ask("/admin/ns/dev/restart", { body: restart() })
    expect([status, ["unknown", "succeeded"].includes(String(body["state"]))]).toEqual([202, true])
    expect((await outcome("succeeded"))["message"]).toContain("found by recovery")
    expect(admin.written().filter(({ method }) => method === "PATCH").length).toBeLessThanOrEqual(2)
  })

  test("to a write that did not take place makes it not_applied", async () => {
    losing(false)
    await admin.ask("/admin/ns/dev/scale", { body: { ...restart(), replicas: 3 } })
    await outcome("not_applied")
    expect(await elsewhere(admin.cluster).get("dev", "Deployment", web)).toMatchObject({ spec: { replicas: 1 } })
  })

  test("to an undo is found out by the template", async () => {
    await elsewhere(admin.cluster).patch("dev", "Deployment", web, {
      spec: { template: { spec: { containers: [{ name: "main", image: "registry.test/web:2" }] } } }
    })
    losing(true)
    await admin.ask("/admin/ns/dev/undo", { body: restart() })
    await outcome("succeeded")
  })
})

describe("security: nothing changes in the cluster, and the answer says why", () => {
  const refused = ({ body, status }: Answered) => [status, body["code"], String(body["detail"])]

  test("when the backup folder cannot be written", async () => {
    const own = await startAdmin({ cluster: admin.cluster, env: { ADMIN_BACKUP_DIR: "/dev/null/backups" } })
    admin.written()
    const answer = await own.ask("/admin/ns/dev/restart", { body: restart() })
    const events = await own.query("SELECT event FROM actions.action_events WHERE event <> 'refused'")
    await own.stop()
    expect(refused(answer)).toEqual([503, "backup_failed", expect.stringContaining("nothing was changed")])
    expect([admin.written(), events]).toEqual([[], []])
  })

  test("when the disk is full", async () => {
    const own = await startAdmin({ cluster: admin.cluster, env: { ADMIN_BACKUP_MIN_FREE_BYTES: String(2 ** 52) } })
    admin.written()
    const answer = await own.ask("/admin/ns/dev/restart", { body: restart() })
    await own.stop()
    expect(refused(answer)).toEqual([503, "backup_failed", expect.stringContaining("ENOSPC")])
    expect(admin.written()).toEqual([])
  })

  test("when the logging DB is down, before and while the service runs; reads go on and a later write works", async () => {
    const postgres = privatePostgres()
    await postgres.start()
    const own = await startAdmin({ cluster: admin.cluster, databaseUrl: postgres.url("logging", "admin") })
    expect((await own.ask("/admin/ns/dev/restart", { body: restart() })).status).toBe(202)
    await postgres.stop()
    admin.written()
    const answer = await own.ask("/admin/ns/dev/restart", { body: restart() })
    const read = await own.ask("/admin/ns/dev/workloads")
    const ready = await own.service.internal(new Request("http://localhost/readyz"))
    const live = await own.service.internal(new Request("http://localhost/livez"))
    const sent = admin.written()
    await postgres.start()
    const later = await until("a write after the DB is back", async () => {
      const found = await own.ask("/admin/ns/dev/pause", { body: restart() })
      return found.status === 202 ? found : undefined
    })
    await own.stop()
    await postgres.dispose()
    expect(refused(answer)).toEqual([503, "audit_unavailable", expect.stringContaining("nothing was changed")])
    expect(sent).toEqual([])
    expect([read.status, ready.status, live.status, later.status]).toEqual([200, 503, 200, 202])
  }, 60_000)

  test("that is not recorded: an outcome waits for a logging DB that went away during the API call", async () => {
    const postgres = privatePostgres()
    await postgres.start()
    const own = await startAdmin({ cluster: admin.cluster, databaseUrl: postgres.url("logging", "admin") })
    let stopped = false
    admin.cluster.intercept((request) => {
      if (!isPatch(request) || stopped) return undefined
      stopped = true
      return postgres.stop().then(() => admin.cluster.fetch(request))
    })
    const answer = await own.ask("/admin/ns/dev/restart", { body: restart() })
    await postgres.start()
    const action = await until("the outcome is recorded", async () => {
      const { body } = await own.ask(`/admin/actions/${String(answer.body["id"])}`)
      return body["state"] === "succeeded" ? body : undefined
    })
    await own.stop()
    await postgres.dispose()
    expect([answer.status, action["upstreamStatus"], admin.written().length]).toEqual([202, 200, 2])
  }, 60_000)

  test("when the logging DB goes away between the lock and the intent", async () => {
    await admin.query(`CREATE FUNCTION actions.gone() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$`)
    await admin.query(`CREATE TRIGGER gone BEFORE INSERT ON actions.action_events FOR EACH ROW
      WHEN (NEW.event = 'intent') EXECUTE FUNCTION actions.gone()`)
    const before = await intents()
    const answer = await admin.ask("/admin/ns/dev/restart", { body: restart() })
    await admin.query("DROP TRIGGER gone ON actions.action_events")
    await admin.query("DROP FUNCTION actions.gone")
    expect(refused(answer)[1]).toBe("audit_unavailable")
    expect([admin.written(), await intents()]).toEqual([[], before])
    expect((await admin.ask("/admin/ns/dev/restart", { body: restart() })).status).toBe(202)
  })

  test("when a path leads out of the backup folder: the name is refused", async () => {
    writeFileSync(join(dirname(admin.backups), "outside"), "")
    for (const name of ["../../outside", "a/b", "..", "."]) {
      expect((await admin.ask("/admin/ns/dev/restart", { body: restart(name) })).status).toBe(422)
    }
    expect(admin.written()).toEqual([])
  })
})
