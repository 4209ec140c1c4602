/** Workloads beside people: their kind of session, the assertions they have used up, and the built-in roles that came since. */
import { Effect } from "effect"
import { builtInRoles } from "#shared/domain/rights.ts"
import { SqlClient, statements } from "#shared/sql.ts"

const schema = statements(
  `ALTER TABLE sessions DROP CONSTRAINT sessions_kind_check`,
  `ALTER TABLE sessions ADD CONSTRAINT sessions_kind_check CHECK (kind IN ('browser', 'token', 'workload'))`,
  // However often a workload exchanges its identity, and at however many gateways at once.
  `CREATE UNIQUE INDEX sessions_one_per_workload ON sessions (user_id) WHERE kind = 'workload'`,
  `CREATE TABLE used_assertions (hash text PRIMARY KEY, expires_at timestamptz NOT NULL)`,
  `CREATE INDEX used_assertions_expiry ON used_assertions (expires_at)`
)

/** A new DB has them all from the first migration; a role that somebody has made by such a name stays what it is. */
const newRoles = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const role of builtInRoles) {
    const made =
      yield* sql`INSERT INTO roles ${sql.insert({ name: role.name, description: role.description, built_in: true })}
      ON CONFLICT DO NOTHING RETURNING name`
    if (made.length === 0) continue
    for (const [position, right] of role.rights.entries()) {
      yield* sql`INSERT INTO role_rights ${sql.insert({ role: role.name, position, ...right })}`
    }
  }
})

export const workloads = Effect.andThen(schema, newRoles)
