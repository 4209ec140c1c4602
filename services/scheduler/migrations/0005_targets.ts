/** What a job is about and what its search reads, with the indexes by which a list of a million is found, sorted and searched. */
import { statements } from "#shared/sql.ts"

export const targets = statements(
  // Null for jobs made before, and by a replica of the version before.
  `ALTER TABLE jobs ADD COLUMN target text`,
  `CREATE INDEX jobs_target ON jobs (target, id DESC) WHERE target IS NOT NULL`,
  `CREATE INDEX jobs_kind_finished ON jobs (kind, finished_at DESC, id DESC) WHERE finished_at IS NOT NULL`,
  // A search reads an index alone, and only of those that have something to say; cut so that an index can hold it.
  `ALTER TABLE jobs ADD COLUMN said text NOT NULL GENERATED ALWAYS AS (lower(left(reason, 500))) STORED`,
  `CREATE INDEX jobs_said ON jobs (id DESC) INCLUDE (said) WHERE said <> ''`,
  `ALTER TABLE job_attempts ADD COLUMN said text NOT NULL GENERATED ALWAYS AS (lower(left(error, 500))) STORED`,
  `CREATE INDEX job_attempts_said ON job_attempts (job_id DESC) INCLUDE (said) WHERE said <> ''`
)
