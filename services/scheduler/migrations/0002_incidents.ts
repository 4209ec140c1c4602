/** Incidents with their chain of remedy, their timeline, and what is known of each revision's health. */
import { statements } from "#shared/sql.ts"

/** States of a remedy in which something is still to come. */
const open = `('proposal_pending', 'proposed', 'approved', 'acting', 'verifying')`

export const incidents = statements(
  `CREATE TABLE incidents (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    key text NOT NULL,
    class text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved')),
    namespace text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    uid text NOT NULL,
    generation bigint NOT NULL,
    revision bigint,
    revision_uid text,
    pod text,
    container text,
    reason text NOT NULL,
    exit_code integer,
    impact text NOT NULL,
    pod_count integer NOT NULL,
    restarts integer NOT NULL,
    flaps integer NOT NULL DEFAULT 0,
    first_seen_at timestamptz NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    acknowledged jsonb,
    muted_until timestamptz,
    remedy text NOT NULL DEFAULT 'none',
    remedy_at timestamptz NOT NULL DEFAULT now(),
    -- How often something was proposed: part of the key that makes a proposal happen once.
    round integer NOT NULL DEFAULT 0,
    advice text NOT NULL DEFAULT '',
    wish jsonb,
    evidence jsonb,
    proposal jsonb,
    action jsonb,
    verification jsonb
  )`,
  `CREATE UNIQUE INDEX incidents_open ON incidents (key) WHERE state = 'open'`,
  `CREATE INDEX incidents_key ON incidents (key, resolved_at)`,
  `CREATE INDEX incidents_workload ON incidents (uid, remedy_at)`,
  // The promise "one open proposal per workload" is the database's to keep, not a reader's.
  `CREATE UNIQUE INDEX incidents_one_remedy ON incidents (uid) WHERE remedy IN ${open}`,
  `CREATE TABLE incident_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id uuid NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    detail text NOT NULL DEFAULT '',
    actor jsonb
  )`,
  `CREATE INDEX incident_events_incident ON incident_events (incident_id, id)`,
  `CREATE TABLE revision_health (
    revision_uid text PRIMARY KEY,
    workload_uid text NOT NULL,
    revision bigint NOT NULL,
    good_at timestamptz,
    bad_at timestamptz
  )`,
  `CREATE INDEX revision_health_workload ON revision_health (workload_uid)`
)
