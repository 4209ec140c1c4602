/** Pick-up latency and jobs a second of our queue beside pg-boss and graphile-worker, on the same Postgres in the same run (scheduler spec 39). */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Logger, ManagedRuntime, Redacted, Schema } from "effect"
import { Logger as WorkerLogger, makeWorkerUtils, run as runGraphile } from "graphile-worker"
import { PgBoss } from "pg-boss"
import { Database } from "#shared/sql.ts"
import { startPostgres } from "#dev/postgres.ts"
import { Audit } from "#scheduler/Audit.ts"
import { done, JobHandlers } from "#scheduler/JobHandler.ts"
import { JobLogs } from "#scheduler/JobLogs.ts"
import { JobLogStore } from "#scheduler/JobLogStore.ts"
import { Jobs } from "#scheduler/Jobs.ts"
import { JobSignals } from "#scheduler/JobSignals.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import { postgresJobStore } from "#scheduler/PostgresJobStore.ts"
import { Workers } from "#scheduler/Workers.ts"

const picked = 60
const singles = 500
const drained = 1500
/** Jobs under way and connections of every engine alike. */
const concurrency = 20
const connections = 10
const rounds = 3

/** One engine under test: its handler calls `ran` with the number that the job was made with. */
interface Engine {
  readonly name: string
  readonly enqueue: (number: number) => Promise<unknown>
  readonly work: () => Promise<void>
  readonly rest: () => Promise<void>
  readonly stop: () => Promise<void>
}
type Ran = (number: number) => void

const payload = Schema.Struct({ number: Schema.Int })

const gatehouse = async (url: string, ran: Ran): Promise<Engine> => {
  const handlers = Layer.effectDiscard(
    JobHandlers.use((all) =>
      all.register({
        kind: "bench",
        version: 1,
        description: "for a benchmark",
        payload,
        run: ({ number }) => Effect.sync(() => (ran(number), done()))
      })
    )
  ).pipe(Layer.provideMerge(JobHandlers.layer))
  const queue = Layer.mergeAll(Jobs.layer, JobLogs.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(JobSignals.layer, JobLogStore.layer, postgresJobStore, Audit.layer)),
    Layer.provideMerge(handlers),
    Layer.provideMerge(
      Database.layer({
        name: "bench",
        url: Redacted.make(url),
        applicationName: "gatehouse-bench",
        migrations,
        maxConnections: connections
      })
    ),
    Layer.provideMerge(Logger.layer([]))
  )
  const runtime = ManagedRuntime.make(queue)
  await runtime.runPromise(
    Effect.retry(
      Database.use((one) => one.ready),
      { times: 50 }
    )
  )
  const context = await runtime.context()
  let workers: ManagedRuntime.ManagedRuntime<Workers, never> | undefined
  return {
    name: "gatehouse",
    enqueue: (number) =>
      runtime.runPromise(Jobs.use((jobs) => jobs.enqueue({ kind: "bench", payload: { number }, by: "bench" }))),
    work: async () => {
      const options = { name: "bench", concurrency, leaseSeconds: 20, sweepSeconds: 4, graceSeconds: 5 }
      workers = ManagedRuntime.make(Workers.layer(options).pipe(Layer.provide(Layer.succeedContext(context))))
      await workers.context()
    },
    rest: async () => workers?.dispose(),
    stop: () => runtime.dispose()
  }
}

const pgBoss = async (url: string, ran: Ran): Promise<Engine> => {
  const boss = new PgBoss({ connectionString: url, max: connections, useListenNotify: true, schedule: false })
  boss.on("error", (error) => console.error("pg-boss:", error.message))
  await boss.start()
  await boss.createQueue("bench", { notify: true })
  return {
    name: "pg-boss",
    enqueue: (number) => boss.send("bench", { number }),
    work: async () => {
      await boss.work<{ number: number }>(
        "bench",
        {
          batchSize: concurrency,
          pollingIntervalSeconds: 0.5,
          notifyPollingIntervalSeconds: 0.5,
          burstWhenBatchFull: true
        },
        async (jobs) => {
          for (const { data } of jobs) ran(data.number)
        }
      )
    },
    rest: () => boss.offWork("bench"),
    stop: () => boss.stop({ graceful: false })
  }
}

const graphile = async (url: string, ran: Ran): Promise<Engine> => {
  const logger = new WorkerLogger(() => () => {})
  // It has two pools: together as large as the others' one.
  const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: connections / 2, logger })
  await utils.migrate()
  let runner: Awaited<ReturnType<typeof runGraphile>> | undefined
  return {
    name: "graphile-worker",
    enqueue: (number) => utils.addJob("bench", { number }),
    work: async () => {
      runner = await runGraphile({
        connectionString: url,
        maxPoolSize: connections / 2,
        concurrency,
        noHandleSignals: true,
        logger,
        taskList: { bench: async (data) => ran(Schema.decodeUnknownSync(payload)(data).number) }
      })
    },
    rest: async () => runner?.stop(),
    stop: async () => utils.release()
  }
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))
const quantile = (values: ReadonlyArray<number>, q: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))]!
const median = (values: ReadonlyArray<number>) => quantile(values, 0.5)
const rounded = (value: number) => Math.round(value * 10) / 10

/** Waits for so many runs, and knows when each was. */
const makeCounter = () => {
  let waiting: { readonly count: number; readonly resolve: () => void } | undefined
  const at = new Map<number, number>()
  return {
    ran: (number: number) => {
      at.set(number, performance.now())
      if (waiting !== undefined && at.size >= waiting.count) waiting.resolve()
    },
    at,
    all: (count: number) =>
      new Promise<void>((resolve) => {
        waiting = { count, resolve }
        if (at.size >= count) resolve()
      })
  }
}

interface Figures {
  readonly pickUpP50Ms: number
  readonly pickUpP95Ms: number
  readonly singlePerSecond: number
  readonly drainPerSecond: number
  /** Processor time of this process, clients and workers, for one job from enqueue to end: what a busy machine does not distort. */
  readonly cpuMsPerJob: number
}

let counter = makeCounter()
const ran: Ran = (number) => counter.ran(number)

/** As many enqueues under way as an engine has hands. */
const enqueueAll = async (engine: Engine, count: number) => {
  let next = 0
  const hand = async () => {
    while (next < count) await engine.enqueue(next++)
  }
  await Promise.all(Array.from({ length: concurrency }, hand))
}

const measure = async (engine: Engine): Promise<Figures> => {
  counter = makeCounter()
  await enqueueAll(engine, drained)
  const beforeDrain = performance.now()
  await engine.work()
  await counter.all(drained)
  const drainPerSecond = (drained / (performance.now() - beforeDrain)) * 1000

  counter = makeCounter()
  const beforeSingles = performance.now()
  const cpuBefore = process.cpuUsage()
  await enqueueAll(engine, singles)
  await counter.all(singles)
  const singlePerSecond = (singles / (performance.now() - beforeSingles)) * 1000
  const { system, user } = process.cpuUsage(cpuBefore)
  const cpuMsPerJob = (system + user) / 1000 / singles

  counter = makeCounter()
  const latencies: Array<number> = []
  for (let number = 0; number < picked; number++) {
    await sleep(20 + (number % 7) * 5)
    await engine.enqueue(number)
    const kept = performance.now()
    await counter.all(number + 1)
    latencies.push(Math.max(0, counter.at.get(number)! - kept))
  }
  await engine.rest()
  return {
    pickUpP50Ms: median(latencies),
    pickUpP95Ms: quantile(latencies, 0.95),
    singlePerSecond,
    drainPerSecond,
    cpuMsPerJob
  }
}

const main = Effect.gen(function* () {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  const postgres = yield* startPostgres({ dataDir: folder })
  const results = yield* Effect.promise(async () => {
    // Each where its rights are: ours in its schema, the others as owners of a database.
    const engines = [
      await gatehouse(postgres.url("logging", "scheduler"), ran),
      await pgBoss(postgres.url("data", "data"), ran),
      await graphile(postgres.url("gateway", "gateway"), ran)
    ]
    const all = new Map(engines.map(({ name }) => [name, [] as Array<Figures>]))
    for (let round = 0; round < rounds; round++) {
      for (const engine of engines) {
        const figures = await measure(engine)
        console.log(engine.name, Object.values(figures).map(rounded).join(" "))
        all.get(engine.name)!.push(figures)
      }
    }
    for (const engine of engines) await engine.stop()
    return Object.fromEntries(
      [...all].map(([name, figures]) => {
        const of = (key: keyof Figures) => rounded(median(figures.map((one) => one[key])))
        return [
          name,
          {
            pickUpP50Ms: of("pickUpP50Ms"),
            pickUpP95Ms: of("pickUpP95Ms"),
            singlePerSecond: of("singlePerSecond"),
            drainPerSecond: of("drainPerSecond"),
            cpuMsPerJob: of("cpuMsPerJob")
          }
        ]
      })
    )
  })
  console.table(results)
  const [ours, boss, worker] = [results["gatehouse"]!, results["pg-boss"]!, results["graphile-worker"]!]
  const ratio = (one: number, other: number) => Math.round((one / other) * 100) / 100
  console.log(
    JSON.stringify({
      benchmark: "scheduler",
      rounds,
      concurrency,
      results,
      ratios: {
        singleToPgBoss: ratio(ours.singlePerSecond, boss.singlePerSecond),
        singleToGraphileWorker: ratio(ours.singlePerSecond, worker.singlePerSecond),
        drainToPgBoss: ratio(ours.drainPerSecond, boss.drainPerSecond),
        drainToGraphileWorker: ratio(ours.drainPerSecond, worker.drainPerSecond)
      },
      met: {
        pickUpP95Within100Ms: ours.pickUpP95Ms <= 100,
        single200PerSecond: ours.singlePerSecond >= 200,
        drainAtLeastPgBoss: ours.drainPerSecond >= boss.drainPerSecond
      }
    })
  )
})

await Effect.runPromise(Effect.scoped(main))
process.exit(0)
