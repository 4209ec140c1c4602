/** The sample service's migrations in their order; forward only. */
import type { Migrations } from "#shared/sql.ts"
import { greetings } from "./0001_greetings.ts"

export const migrations: Migrations = { "0001_greetings": greetings }
