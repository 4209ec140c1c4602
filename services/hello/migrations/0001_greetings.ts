/** The guest book: one row per greeting, in the order in which they were written. */
import { statements } from "#shared/sql.ts"

export const greetings = statements(
  `CREATE TABLE greetings (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    at timestamptz NOT NULL DEFAULT now(),
    user_id text NOT NULL,
    name text NOT NULL,
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 200),
    idempotency_key text,
    UNIQUE (user_id, idempotency_key)
  )`
)
