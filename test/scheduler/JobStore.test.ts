/** The job store's contract, held by Postgres and by the fake. */
import { Layer, Redacted } from "effect"
import { Database } from "#shared/sql.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import { postgresJobStore } from "#scheduler/PostgresJobStore.ts"
import { jobStoreContract } from "./jobStoreContract.ts"
import { makeMemoryJobStore } from "./memoryJobStore.ts"
import { freshDatabase, migrated } from "#test/shared/postgres.ts"

jobStoreContract("in memory", async () => ({ ...makeMemoryJobStore(), dispose: async () => {} }))

jobStoreContract("Postgres", async () => {
  const database = await freshDatabase("logging", "scheduler")
  const layer = postgresJobStore.pipe(
    Layer.provideMerge(
      Database.layer({
        name: "logging DB",
        url: Redacted.make(database.url),
        applicationName: "test",
        migrations,
        maxConnections: 8
      })
    )
  )
  return {
    layer: Layer.effectDiscard(migrated).pipe(Layer.provideMerge(layer), Layer.orDie),
    elapse: async (seconds) => {
      const back = `- interval '${seconds} seconds'`
      await database.query(`UPDATE jobs.jobs SET run_at = run_at ${back}, lease_until = lease_until ${back}`)
    },
    dispose: database.drop
  }
})
