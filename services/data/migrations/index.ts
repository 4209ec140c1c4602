/** The data service's migrations in their order; forward only. */
import type { Migrations } from "#shared/sql.ts"
import { claimsAndDatasets } from "./0001_claims.ts"

export const migrations: Migrations = { "0001_claims": claimsAndDatasets }
