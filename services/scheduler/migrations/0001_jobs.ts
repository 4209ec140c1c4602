/** The queue's tables: jobs, their finished attempts, their log by day, schedules with their slots, and the audit chain. */
import { statements } from "#shared/sql.ts"

export const jobs = statements(
  // A job that is not due yet is `available` with a later `run_at`. Room in each page keeps the many updates of a row local.
  `CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    version integer NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('available', 'running', 'retryable', 'succeeded', 'cancelled', 'failed', 'expired')),
    priority smallint NOT NULL,
    run_at timestamptz NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    fence bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    lease_owner text,
    attempt_at timestamptz,
    unique_key text,
    after_job uuid,
    schedule text,
    retry_of uuid,
    created_by text NOT NULL,
    idempotency_key text,
    request_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    result jsonb,
    reason text NOT NULL DEFAULT '',
    cancel_reason text
  ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05)`,
  // What may be claimed, in the order of claiming.
  `CREATE INDEX jobs_due ON jobs (priority DESC, run_at, id)
    WHERE state IN ('available', 'retryable') AND after_job IS NULL`,
  // When the next one will be due.
  `CREATE INDEX jobs_next ON jobs (run_at) WHERE state IN ('available', 'retryable') AND after_job IS NULL`,
  `CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running'`,
  `CREATE INDEX jobs_waiting ON jobs (after_job) WHERE after_job IS NOT NULL`,
  `CREATE UNIQUE INDEX jobs_unique_key ON jobs (unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('available', 'retryable', 'running')`,
  `CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL`,
  // Lists go by id, newest first; these find what is rare among a million.
  `CREATE INDEX jobs_ended_badly ON jobs (state, id DESC) WHERE state IN ('cancelled', 'failed', 'expired')`,
  `CREATE INDEX jobs_kind ON jobs (kind, id DESC)`,
  `CREATE INDEX jobs_schedule ON jobs (schedule, id DESC) WHERE schedule IS NOT NULL`,

  // A run that has ended. The one that has not is the job's own row.
  `CREATE TABLE job_attempts (
    job_id uuid NOT NULL,
    fence bigint NOT NULL,
    attempt integer NOT NULL,
    state text NOT NULL CHECK (state IN ('succeeded', 'failed', 'crashed', 'cancelled', 'released')),
    worker text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (job_id, fence)
  )`,

  // Partitions are dropped whole; the default one holds what came on a day that has none.
  `CREATE TABLE job_logs (
    job_id uuid NOT NULL,
    id bigint NOT NULL,
    attempt integer NOT NULL,
    level text NOT NULL CHECK (level IN ('debug', 'info', 'warn', 'error')),
    at timestamptz NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (job_id, id, at)
  ) PARTITION BY RANGE (at)`,
  `CREATE TABLE job_logs_default PARTITION OF job_logs DEFAULT`,

  `CREATE TABLE schedules (
    name text PRIMARY KEY,
    cron text,
    every_seconds integer,
    time_zone text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    overlap text NOT NULL,
    missed text NOT NULL,
    catch_up_max integer NOT NULL,
    dst_gap text NOT NULL,
    dst_fold text NOT NULL,
    jitter_seconds integer NOT NULL,
    enabled boolean NOT NULL,
    built_in boolean NOT NULL DEFAULT false,
    last_slot timestamptz,
    next_slot timestamptz,
    missed_count integer NOT NULL DEFAULT 0,
    last_job uuid,
    CHECK ((cron IS NULL) <> (every_seconds IS NULL))
  )`,
  `CREATE INDEX schedules_due ON schedules (next_slot) WHERE enabled`,
  // One row per slot that was judged; without a job it was left out by a policy. Outlives its schedule.
  `CREATE TABLE schedule_slots (
    schedule text NOT NULL,
    slot timestamptz NOT NULL,
    job_id uuid,
    PRIMARY KEY (schedule, slot)
  )`,

  `CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    request_id text NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL
  )`
)
