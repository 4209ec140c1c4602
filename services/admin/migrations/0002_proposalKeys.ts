/** Which proposal an `Idempotency-Key` of its proposer has come to. */
import { statements } from "#shared/sql.ts"

export const proposalKeys = statements(
  `CREATE TABLE proposal_keys (
    caller text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    proposal_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
  )`,
  `CREATE INDEX proposal_keys_age ON proposal_keys (created_at)`
)
