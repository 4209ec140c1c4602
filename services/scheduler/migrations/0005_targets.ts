/** What a job is about, and the indexes by which one list of a million is found, sorted and searched. */
import { statements } from "#shared/sql.ts"

export const targets = statements(
  // Null for jobs made before, and by a replica of the version before.
  `ALTER TABLE jobs ADD COLUMN target text`,
  `CREATE INDEX jobs_target ON jobs (target, id DESC) WHERE target IS NOT NULL`,
  `CREATE INDEX jobs_finished ON jobs (finished_at DESC, id DESC) WHERE finished_at IS NOT NULL`,
  // Most jobs succeed and say nothing: a search reads only those that have something to say.
  `CREATE INDEX jobs_reason ON jobs (id DESC) WHERE reason <> ''`,
  `CREATE INDEX job_attempts_error ON job_attempts (job_id DESC) WHERE error <> ''`
)
