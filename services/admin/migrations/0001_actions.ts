/** What admin did: the append-only chain of events, and beside it what is under way: locks, idempotency keys, proposals. */
import { statements } from "#shared/sql.ts"

export const actions = statements(
  // `content` is the JSON text that was hashed: jsonb would not give back the same bytes.
  `CREATE TABLE action_events (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    event text NOT NULL,
    action_id uuid,
    proposal_id uuid,
    namespace text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    actor text NOT NULL,
    content text NOT NULL,
    previous text NOT NULL,
    hash text NOT NULL
  )`,
  `CREATE UNIQUE INDEX action_events_one_intent ON action_events (action_id) WHERE event = 'intent'`,
  `CREATE UNIQUE INDEX action_events_one_outcome ON action_events (action_id) WHERE event = 'outcome'`,
  `CREATE INDEX action_events_action ON action_events (action_id, event, seq)`,
  `CREATE INDEX action_events_target ON action_events (namespace, kind, name, seq) WHERE event = 'intent'`,
  `CREATE INDEX action_events_proposal ON action_events (proposal_id, seq) WHERE proposal_id IS NOT NULL`,
  `CREATE FUNCTION action_events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'the record of actions is append-only';
  END $$`,
  `CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON action_events
   FOR EACH STATEMENT EXECUTE FUNCTION action_events_are_append_only()`,
  // The owner of a table keeps what nobody takes away.
  `REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON action_events FROM CURRENT_USER`,
  // The end of the chain: its row lock is what puts events in one order, its hash what shows that the last ones are gone.
  `CREATE TABLE action_chain (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq bigint NOT NULL,
    hash text NOT NULL
  )`,
  `INSERT INTO action_chain (seq, hash) VALUES (0, repeat('0', 64))`,
  // Intents without outcome: what recovery has to look at.
  `CREATE TABLE open_actions (action_id uuid PRIMARY KEY)`,
  // What each action changed, by uid: names are used again.
  `CREATE TABLE action_objects (
    uid text NOT NULL,
    action_id uuid NOT NULL,
    PRIMARY KEY (uid, action_id)
  )`,
  `CREATE TABLE write_locks (
    namespace text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    action_id uuid NOT NULL,
    owner uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, kind, name)
  )`,
  `CREATE INDEX write_locks_action ON write_locks (action_id)`,
  `CREATE TABLE idempotency_keys (
    caller text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    action_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
  )`,
  `CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at)`,
  // By the uid of the ReplicaSet or ControllerRevision: revision numbers are used again after an undo.
  `CREATE TABLE revision_actions (
    workload_uid text NOT NULL,
    revision_uid text NOT NULL,
    action_id uuid NOT NULL,
    PRIMARY KEY (workload_uid, revision_uid)
  )`,
  `CREATE TABLE good_revisions (
    workload_uid text NOT NULL,
    revision_uid text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workload_uid, revision_uid)
  )`,
  `CREATE TABLE proposals (
    id uuid PRIMARY KEY,
    state text NOT NULL,
    action text NOT NULL,
    namespace text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    uid text NOT NULL,
    generation bigint NOT NULL,
    to_revision bigint,
    summary text NOT NULL,
    incident_id text,
    evidence text NOT NULL,
    digest text NOT NULL,
    proposer_id text NOT NULL,
    proposer_name text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    decision text,
    decided_by_id text,
    decided_by_name text,
    decision_reason text,
    decided_at timestamptz,
    action_id uuid,
    message text NOT NULL DEFAULT ''
  )`,
  `CREATE UNIQUE INDEX proposals_one_open ON proposals (namespace, kind, name, action)
   WHERE state IN ('pending', 'approved', 'executing')`,
  `CREATE INDEX proposals_created ON proposals (namespace, created_at)`,
  `CREATE INDEX proposals_action ON proposals (action_id) WHERE action_id IS NOT NULL`
)
