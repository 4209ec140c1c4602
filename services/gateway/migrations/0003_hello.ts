/** The sample service came: its rights for the built-in roles that have none of it yet, and the role of a team's own services. */
import { Effect } from "effect"
import { builtInRoles, type Right } from "#shared/domain/rights.ts"
import { SqlClient } from "#shared/sql.ts"

const give = Effect.fnUntraced(function* (role: string, rights: ReadonlyArray<Right>, first: number) {
  const sql = yield* SqlClient.SqlClient
  for (const [index, right] of rights.entries()) {
    yield* sql`INSERT INTO role_rights ${sql.insert({ role, position: first + index, ...right })}`
  }
})

/** A new DB has them all from the first migration; a role that somebody has made by such a name stays what it is. */
export const hello = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const { description, name, rights } of builtInRoles) {
    const made = yield* sql`INSERT INTO roles ${sql.insert({ name, description, built_in: true })}
      ON CONFLICT DO NOTHING RETURNING name`
    if (made.length > 0) {
      yield* give(name, rights, 0)
      continue
    }
    const [known] = yield* sql<{ readonly next: number; readonly here: boolean }>`
      SELECT coalesce(max(position), -1)::int + 1 AS next, coalesce(bool_or(service = 'hello'), false) AS here
      FROM roles LEFT JOIN role_rights ON role = name WHERE name = ${name} AND built_in GROUP BY name`
    // One that an owner has emptied stays empty.
    if (known === undefined || known.here || known.next === 0) continue
    const missing = rights.filter(({ service }) => service === "hello")
    yield* give(name, missing, known.next)
  }
})
