/** The monitor's migrations in their order; forward only. */
import type { Migrations } from "#shared/sql.ts"
import { history } from "./0001_history.ts"

export const migrations: Migrations = { "0001_history": history }
