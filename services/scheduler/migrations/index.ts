/** The scheduler's migrations in their order; forward only. */
import type { Migrations } from "#shared/sql.ts"
import { jobs } from "./0001_jobs.ts"
import { incidents } from "./0002_incidents.ts"
import { memory } from "./0003_memory.ts"
import { lists } from "./0004_lists.ts"
import { targets } from "./0005_targets.ts"

export const migrations: Migrations = {
  "0001_jobs": jobs,
  "0002_incidents": incidents,
  "0003_memory": memory,
  "0004_lists": lists,
  "0005_targets": targets
}
