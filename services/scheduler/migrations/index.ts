/** The scheduler's migrations in their order; forward only. */
import type { Migrations } from "#shared/sql.ts"
import { jobs } from "./0001_jobs.ts"
import { incidents } from "./0002_incidents.ts"
import { memory } from "./0003_memory.ts"
import { listing } from "./0004_listing.ts"

export const migrations: Migrations = {
  "0001_jobs": jobs,
  "0002_incidents": incidents,
  "0003_memory": memory,
  "0004_listing": listing
}
