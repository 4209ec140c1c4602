/** What the watchman must not forget when its own process ends: the nodes' boots, and what was done to each workload. */
import { statements } from "#shared/sql.ts"

export const memory = statements(
  `CREATE TABLE node_boots (
    name text PRIMARY KEY,
    boot_id text NOT NULL,
    -- Null until a boot after the first one was seen.
    changed_at timestamptz
  )`,
  // An incident that opens again keeps only its last action; the daily limits count all of them.
  `CREATE TABLE remedy_actions (
    id text PRIMARY KEY,
    incident_id uuid NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    uid text NOT NULL,
    action text NOT NULL,
    acted_at timestamptz NOT NULL
  )`,
  `CREATE INDEX remedy_actions_workload ON remedy_actions (uid, acted_at)`,
  `INSERT INTO remedy_actions (id, incident_id, uid, action, acted_at)
    SELECT action->>'id', id, uid, wish->>'action', (action->>'createdAt')::timestamptz FROM incidents
    WHERE action->>'id' IS NOT NULL AND wish->>'action' IS NOT NULL ON CONFLICT DO NOTHING`
)
