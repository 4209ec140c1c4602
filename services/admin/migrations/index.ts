/** Admin's migrations in their order; forward only: a released one is never edited. */
import type { Migrations } from "#shared/sql.ts"
import { actions } from "./0001_actions.ts"
import { proposalKeys } from "./0002_proposalKeys.ts"

export const migrations: Migrations = {
  "0001_actions": actions,
  "0002_proposal_keys": proposalKeys
}
