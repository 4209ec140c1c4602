/** What a database held at the moment of its backup, and how a restored copy differs from that; must know no connection and no file. */
import { Schema } from "effect"

const text = Schema.String
/** A count beyond a double's whole numbers stays exact. */
const digits = Schema.String.check(Schema.isPattern(/^-?\d+$/u))

export const Table = Schema.Struct({
  schema: text,
  name: text,
  rows: Schema.Int,
  /** Of all rows, whatever their order. */
  hash: text
})
export type Table = typeof Table.Type

export const Role = Schema.Struct({
  name: text,
  superuser: Schema.Boolean,
  inherit: Schema.Boolean,
  createRole: Schema.Boolean,
  createDb: Schema.Boolean,
  login: Schema.Boolean,
  replication: Schema.Boolean,
  bypassRls: Schema.Boolean,
  connectionLimit: Schema.Int,
  /** In every database, as the catalogue keeps them: `statement_timeout=30s`. */
  settings: Schema.Array(text)
})
export type Role = typeof Role.Type

export const Membership = Schema.Struct({
  role: text,
  member: text,
  admin: Schema.Boolean,
  inherit: Schema.Boolean,
  set: Schema.Boolean
})
export type Membership = typeof Membership.Type

/** Sealed beside the dump: row counts and hashes tell of what is in a database. Passwords of roles are never in it. */
export const Contents = Schema.Struct({
  format: Schema.Literals([1]),
  /** Of the set that this belongs to. */
  set: text,
  database: text,
  /** As the server calls it. */
  databaseName: text,
  /** Of the source's cluster: a restore into the same one is refused. */
  systemIdentifier: digits,
  tables: Schema.Array(Table),
  /** Where each sequence was at least. */
  sequences: Schema.Array(Schema.Struct({ name: text, last: Schema.NullOr(digits) })),
  /** Relations, functions, constraints, triggers, policies: `table jobs.jobs`. */
  objects: Schema.Array(text),
  /** Who may do what: `table jobs.jobs: scheduler may SELECT`. */
  grants: Schema.Array(text),
  /** Settings of the database and of roles in it: `scheduler: search_path=jobs`. */
  settings: Schema.Array(text),
  roles: Schema.Array(Role),
  memberships: Schema.Array(Membership),
  /** What Gatehouse's migrators have done: `jobs: 5 targets`. */
  migrations: Schema.Array(text)
})
export type Contents = typeof Contents.Type

/** What is read of a database, whichever set it belongs to. */
export type Reading = Omit<Contents, "format" | "set" | "database">

export const rowsOf = ({ tables }: Pick<Contents, "tables">): number => tables.reduce((sum, { rows }) => sum + rows, 0)

/** Faults that are told one by one; a wholly wrong copy would tell thousands. */
const shown = 20

const lacking = (
  what: string,
  recorded: ReadonlyArray<string>,
  found: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const [before, after] = [new Set(recorded), new Set(found)]
  return [
    ...recorded.filter((one) => !after.has(one)).map((one) => `${what} is missing: ${one}`),
    ...found.filter((one) => !before.has(one)).map((one) => `${what} was not in the source: ${one}`)
  ]
}

const nameOf = ({ name, schema }: Table) => `${schema}.${name}`

const tableFaults = (recorded: Contents, found: Reading): ReadonlyArray<string> => {
  const restored = new Map(found.tables.map((table) => [nameOf(table), table]))
  return recorded.tables.flatMap((table) => {
    const copy = restored.get(nameOf(table))
    if (copy === undefined) return []
    if (copy.rows !== table.rows) return [`table ${nameOf(table)} has ${copy.rows} rows, not ${table.rows}`]
    return copy.hash === table.hash ? [] : [`table ${nameOf(table)} has other rows than the source had`]
  })
}

const sequenceFaults = (recorded: Contents, found: Reading): ReadonlyArray<string> => {
  const restored = new Map(found.sequences.map(({ last, name }) => [name, last]))
  // Sequences move outside transactions: the dump may have seen a later value than the snapshot's.
  return recorded.sequences.flatMap(({ last, name }) =>
    last !== null && BigInt(restored.get(name) ?? "-9223372036854775808") < BigInt(last)
      ? [`sequence ${name} is behind ${last}`]
      : []
  )
}

const roleNames = ({ roles }: Pick<Contents, "roles">) => roles.map((role) => JSON.stringify(role))
const memberNames = ({ memberships }: Pick<Contents, "memberships">) => memberships.map((one) => JSON.stringify(one))

/** How a restored copy differs from what was recorded; empty where it is the same. */
export const differences = (recorded: Contents, found: Reading): ReadonlyArray<string> => {
  const faults = [
    ...lacking("a table", recorded.tables.map(nameOf), found.tables.map(nameOf)),
    ...tableFaults(recorded, found),
    ...sequenceFaults(recorded, found),
    ...lacking("an object", recorded.objects, found.objects),
    ...lacking("a role", roleNames(recorded), roleNames(found)),
    ...lacking("a membership", memberNames(recorded), memberNames(found)),
    ...lacking("a grant", recorded.grants, found.grants),
    ...lacking("a setting", recorded.settings, found.settings),
    ...lacking("a migration", recorded.migrations, found.migrations)
  ]
  const more = faults.length - shown
  return more > 0 ? [...faults.slice(0, shown), `and ${more} more`] : faults
}

/** Settings whose kept form is a list that is already quoted; any other's is plain text. */
const lists = new Set(["search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"])
const quotedList = /^(?:[\w$.]+|"(?:[^"]|"")*")(?:, ?(?:[\w$.]+|"(?:[^"]|"")*"))*$/u

const literal = (value: string) => `'${value.replaceAll("'", "''")}'`

const settingStatement = (role: string, setting: string) => {
  const at = setting.indexOf("=")
  const [name, value] = [setting.slice(0, at), setting.slice(at + 1)]
  const given = lists.has(name) && quotedList.test(value) ? value : literal(value)
  return `ALTER ROLE ${identifier(role)} SET ${name.split(".").map(identifier).join(".")} TO ${given}`
}

const identifier = (name: string) => `"${name.replaceAll('"', '""')}"`

/** Statements that make the roles; without passwords, which are the Secrets' to give. */
export const roleStatements = ({
  memberships,
  roles
}: Pick<Contents, "memberships" | "roles">): ReadonlyArray<string> => {
  const word = (on: boolean, name: string) => `${on ? "" : "NO"}${name}`
  return [
    ...roles.map(
      (role) =>
        `CREATE ROLE ${identifier(role.name)} WITH ${word(role.superuser, "SUPERUSER")} ${word(role.inherit, "INHERIT")} ` +
        `${word(role.createRole, "CREATEROLE")} ${word(role.createDb, "CREATEDB")} ${word(role.login, "LOGIN")} ` +
        `${word(role.replication, "REPLICATION")} ${word(role.bypassRls, "BYPASSRLS")} CONNECTION LIMIT ${role.connectionLimit}`
    ),
    ...roles.flatMap(({ name, settings }) => settings.map((setting) => settingStatement(name, setting))),
    ...memberships.map(
      ({ admin, inherit, member, role, set }) =>
        `GRANT ${identifier(role)} TO ${identifier(member)} WITH ADMIN ${admin}, INHERIT ${inherit}, SET ${set}`
    )
  ]
}
