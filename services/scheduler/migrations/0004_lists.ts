/** Indexes by which lists find the few among a million: what waits, and what is of one time. */
import { statements } from "#shared/sql.ts"

export const lists = statements(
  `CREATE INDEX jobs_waiting_state ON jobs (state, id DESC) WHERE state IN ('available', 'retryable')`,
  `CREATE INDEX jobs_created ON jobs (created_at)`
)
