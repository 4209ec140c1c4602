/** Kills schedulers at random under load: every job that was accepted ends, none is lost, and one that kills its worker is parked; the last line is what was seen. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { JobDetail } from "#shared/api/scheduler.ts"
import { requestOf, startKeys } from "#test/scheduler/callers.ts"
import { freshDatabase } from "#test/shared/postgres.ts"

const kills = 20
const poisonAttempts = 3
/** Seconds that all may take after the last kill. */
const patience = 60

const seed = Number(process.env["DRILL_SEED"] ?? Math.floor(Math.random() * 2 ** 31))
console.log(`seed ${seed} (DRILL_SEED repeats it)`)
/** Mulberry32: the same seed gives the same times and sizes. */
let state = seed
const random = () => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
const between = (low: number, high: number) => low + Math.floor(random() * (high - low + 1))
const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const folder = mkdtempSync(join(tmpdir(), "gatehouse-drill-"))
const record = join(folder, "record")
writeFileSync(record, "")
const keys = startKeys()
const database = await freshDatabase("logging", "scheduler")

interface Replica {
  readonly port: number
  readonly child: Bun.Subprocess
}

const startReplica = (): Promise<Replica> =>
  new Promise((resolve, reject) => {
    const child = Bun.spawn([process.execPath, `${import.meta.dir}/scheduler.process.ts`], {
      env: {
        ...process.env,
        ...keys.env,
        DRILL_RECORD: record,
        SCHEDULER_DATABASE_URL: database.url,
        SCHEDULER_LEASE: "2 seconds",
        SCHEDULER_SWEEP: "500 millis",
        LOG_LEVEL: "Error"
      },
      stdio: ["ignore", "inherit", "inherit"],
      ipc: ({ port }: { readonly port: number }) => resolve({ port, child }),
      onExit: (_, code) => reject(new Error(`a scheduler ended before it served: ${code}`))
    })
  })

/** Two replicas; whichever has died, by our hand or a job's, is started again. */
const replicas: Array<Replica | undefined> = [undefined, undefined]
const isAlive = (replica: Replica | undefined): replica is Replica =>
  replica !== undefined && replica.child.exitCode === null && replica.child.signalCode === null
const alive = () => replicas.filter(isAlive)
let starts = 0
const keepAlive = () =>
  Promise.all(
    replicas.map(async (replica, index) => {
      if (isAlive(replica)) return
      starts += 1
      replicas[index] = await startReplica()
    })
  )

const ask = async (path: string, init: Parameters<typeof requestOf>[3] = {}) => {
  const serving = alive()
  if (serving.length === 0) throw new Error("nobody serves")
  const replica = serving[between(0, serving.length - 1)]!
  return fetch(requestOf(keys, `http://127.0.0.1:${replica.port}`, path, init))
}

const accepted = new Map<string, string>()
let refused = 0
/** Asks for a job until it is accepted, with one key: an answer that a kill swallowed is asked for again. */
const enqueue = async (kind: string, maxAttempts: number) => {
  const key = crypto.randomUUID()
  let last = ""
  const json = { kind, payload: { millis: between(0, 300) }, maxAttempts }
  for (const until = performance.now() + patience * 1000; performance.now() < until;) {
    const answer = await ask("/jobs", { method: "POST", json, headers: { "idempotency-key": key } }).catch(
      () => undefined
    )
    if (answer?.status === 201 || answer?.status === 200) {
      accepted.set(((await answer.json()) as { readonly id: string }).id, kind)
      return
    }
    refused += 1
    last = answer === undefined ? "no answer" : `${answer.status} ${await answer.text().catch(() => "")}`
    await sleep(50)
  }
  throw new Error(`a job was never accepted; at last: ${last}`)
}

const began = performance.now()
await keepAlive()
let loading = true
/** Requests under way at most: a load, not a pile. */
const hands = 8
const load = Array.from({ length: hands }, async () => {
  while (loading) {
    await enqueue("drill.work", 30)
    await sleep(between(20, 200))
  }
})
const guard = (async () => {
  while (loading) {
    await keepAlive()
    await sleep(10)
  }
})()
const poison = [enqueue("drill.poison", poisonAttempts), enqueue("drill.poison", poisonAttempts)]
let done = 0
while (done < kills) {
  while (alive().length < replicas.length) await sleep(10)
  await sleep(between(0, 700))
  // Now and then all at once: nobody is left to take over.
  const one = between(0, 1)
  const victims = random() < 0.2 ? alive() : alive().slice(one, one + 1)
  if (victims.length === 0) continue
  for (const { child } of victims) child.kill("SIGKILL")
  console.log(`killed ${victims.length} after ${Math.round(performance.now() - began)} ms, ${accepted.size} accepted`)
  done += victims.length
}
loading = false
await Promise.all([guard, ...load, ...poison])
const lastKill = performance.now()

const ended = new Set(["succeeded", "failed", "cancelled"])
const details = new Map<string, JobDetail>()
while (details.size < accepted.size && performance.now() - lastKill < patience * 1000) {
  await keepAlive()
  for (const id of accepted.keys()) {
    if (details.has(id)) continue
    const answer = await ask(`/jobs/${id}`).catch(() => undefined)
    if (answer === undefined || !answer.ok) break
    const detail = (await answer.json()) as JobDetail
    if (!ended.has(detail.job.state)) break
    details.set(id, detail)
  }
  await sleep(50)
}
const allEndedAfter = performance.now() - lastKill

const noted = new Map<string, number>()
const lines = readFileSync(record, "utf8").trim().split("\n")
for (const line of lines) {
  const [what, id] = line.split(" ") as [string, string]
  if (what === "start") noted.set(id, (noted.get(id) ?? 0) + 1)
}
const known = await database.query(`SELECT id FROM jobs.jobs`)
const ids = new Set(known.map((row) => String(row["id"])))
const open = [...accepted.keys()].filter((id) => !details.has(id))
const work = [...details].filter(([id]) => accepted.get(id) === "drill.work")
const poisoned = [...details].filter(([id]) => accepted.get(id) === "drill.poison")

const longest = [...details.values()].toSorted((one, other) =>
  (other.job.finishedAt ?? "").localeCompare(one.job.finishedAt ?? "")
)[0]
const seen = {
  drill: "jobs-survive-kill",
  seed,
  kills: done,
  starts,
  accepted: accepted.size,
  refusedAndAskedAgain: refused,
  succeeded: work.filter(([, { job }]) => job.state === "succeeded").length,
  lost: [...accepted.keys()].filter((id) => !ids.has(id)).length,
  unknown: [...ids].filter((id) => !accepted.has(id)).length,
  open: open.length,
  failedWork: work.filter(([, { job }]) => job.state !== "succeeded").length,
  startedAgain: work.filter(([id]) => (noted.get(id) ?? 0) > 1).length,
  crashedAttempts: work.reduce(
    (sum, [, { attempts }]) => sum + attempts.filter((one) => one.state === "crashed").length,
    0
  ),
  /** A start is noted by the job itself, so it can be at most as often as attempts are counted. */
  uncountedStarts: [...details].filter(([id, { attempts }]) => (noted.get(id) ?? 0) > attempts.length).length,
  poison: poisoned.map(([id, { job }]) => ({ state: job.state, reason: job.reason, starts: noted.get(id) ?? 0 })),
  /** Of the job that ended last: its back-off after so many crashes is what all wait for. */
  attemptsOfLast: longest?.attempts.length ?? 0,
  allEndedAfterMs: Math.round(allEndedAfter),
  seconds: Math.round((performance.now() - began) / 1000)
}
const held =
  seen.lost === 0 &&
  seen.unknown === 0 &&
  seen.open === 0 &&
  seen.failedWork === 0 &&
  seen.uncountedStarts === 0 &&
  seen.succeeded > 0 &&
  seen.crashedAttempts > 0 &&
  seen.poison.length === 2 &&
  // The other replica may take one, and a kill of ours may come before its start is noted.
  seen.poison.every(
    ({ reason, starts, state }) => state === "failed" && reason === "max_attempts" && starts <= poisonAttempts
  )

for (const replica of replicas) replica?.child.kill("SIGKILL")
await keys.stop()
rmSync(folder, { recursive: true, force: true })
console.log(JSON.stringify({ ...seen, held }))
process.exit(held ? 0 : 1)
