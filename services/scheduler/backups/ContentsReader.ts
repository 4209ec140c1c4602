/** Reads what a database holds, table by table, in one session; must change nothing in it. */
import { Effect, Schema } from "effect"
import { queryRows, type Session, type SqlError } from "#shared/sql.ts"
import { Membership, type Reading, Role } from "./contents.ts"

const decodeRoles = Schema.decodeUnknownSync(Schema.Array(Role))
const decodeMemberships = Schema.decodeUnknownSync(Schema.Array(Membership))

/** Text forms must not depend on who connects: two sessions that differ here would hash the same row differently. */
const forms = [
  "SET datestyle = 'ISO, YMD'",
  "SET intervalstyle = 'postgres'",
  "SET timezone = 'UTC'",
  "SET extra_float_digits = 1",
  "SET bytea_output = 'hex'",
  "SET lc_monetary = 'C'",
  "SET search_path = pg_catalog",
  "SET statement_timeout = 0",
  "SET idle_in_transaction_session_timeout = 0",
  // A row that a policy hides would be missing from both: better an error.
  "SET row_security = off"
]

const ours = (column: string) => `${column} !~ '^pg_' AND ${column} <> 'information_schema'`

/** What belongs to an extension comes with the extension. */
const extensions = (catalogue: string, column: string) =>
  `NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '${catalogue}'::regclass AND d.objid = ${column} AND d.deptype = 'e')`

const tables = `
  SELECT n.nspname::text AS schema, c.relname::text AS name, format('%I.%I', n.nspname, c.relname) AS quoted
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ${ours("n.nspname")} AND ${extensions("pg_class", "c.oid")}
  ORDER BY 1, 2`

/** Summed, so that the order of rows does not matter: two halves of SHA-256 as 64-bit numbers. */
const hashOf = (quoted: string) => `
  SELECT count(*)::float8 AS rows,
    coalesce(sum(('x' || substr(h, 1, 16))::bit(64)::bigint), 0)::text || ':' ||
    coalesce(sum(('x' || substr(h, 17, 16))::bit(64)::bigint), 0)::text AS hash
  FROM (SELECT encode(sha256(convert_to(t::text, 'UTF8')), 'hex') AS h FROM ${quoted} AS t) AS hashed`

const sequences = `
  SELECT format('%I.%I', schemaname, sequencename) AS name, last_value::text AS last
  FROM pg_sequences WHERE ${ours("schemaname")} ORDER BY 1`

/** Not internal triggers, whose names hold numbers; not toast. */
const objects = `
  SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'
    WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'type' END
    || ' ' || format('%I.%I', n.nspname, c.relname) || CASE WHEN c.relrowsecurity THEN ' with row security' ELSE '' END
    || CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END AS line
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind <> 't' AND c.relpersistence <> 't' AND ${ours("n.nspname")} AND ${extensions("pg_class", "c.oid")}
  UNION ALL
  SELECT 'schema ' || quote_ident(nspname) || ' of ' || pg_get_userbyid(nspowner) FROM pg_namespace WHERE ${ours("nspname")}
  UNION ALL
  SELECT 'function ' || p.oid::regprocedure::text || ' ' || md5(coalesce(p.prosrc, ''))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${ours("n.nspname")} AND ${extensions("pg_proc", "p.oid")}
  UNION ALL
  SELECT 'constraint ' || quote_ident(conname) || ' on ' || conrelid::regclass::text FROM pg_constraint o
    JOIN pg_namespace n ON n.oid = o.connamespace WHERE ${ours("n.nspname")} AND conrelid <> 0
  UNION ALL
  SELECT 'trigger ' || quote_ident(tgname) || ' on ' || tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL
  SELECT 'policy ' || quote_ident(policyname) || ' on ' || format('%I.%I', schemaname, tablename) || ' ' || md5(policies::text)
  FROM pg_policies AS policies
  UNION ALL
  SELECT 'extension ' || quote_ident(extname) FROM pg_extension
  ORDER BY 1`

/** What an empty list of rights stands for is written out: restored, it may be the other of the two. */
const granted = (what: string, acl: string, owner: string, kind: "r" | "s" | "n" | "f" | "d") =>
  `SELECT ${what} AS object, pg_get_userbyid(${owner}) AS owner, coalesce(${acl}, acldefault('${kind}', ${owner})) AS acl`

const grants = `
  SELECT g.object || ' of ' || g.owner || ': ' ||
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END || ' may ' || a.privilege_type ||
    CASE WHEN a.is_grantable THEN ' and grant it' ELSE '' END AS line
  FROM (
    ${granted("'relation ' || format('%I.%I', n.nspname, c.relname)", "c.relacl", "c.relowner", "r")}
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND ${ours("n.nspname")}
    UNION ALL
    ${granted("'sequence ' || format('%I.%I', n.nspname, c.relname)", "c.relacl", "c.relowner", "s")}
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ${ours("n.nspname")}
    UNION ALL
    ${granted("'schema ' || quote_ident(n.nspname)", "n.nspacl", "n.nspowner", "n")}
      FROM pg_namespace n WHERE ${ours("n.nspname")}
    UNION ALL
    ${granted("'function ' || p.oid::regprocedure::text", "p.proacl", "p.proowner", "f")}
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${ours("n.nspname")} AND ${extensions("pg_proc", "p.oid")}
    UNION ALL
    ${granted("'database'", "d.datacl", "d.datdba", "d")} FROM pg_database d WHERE d.datname = current_database()
  ) AS g, aclexplode(g.acl) AS a
  UNION ALL
  -- The server's own functions belong to whoever made the cluster: only what was changed about others' rights counts.
  SELECT 'function ' || p.oid::regprocedure::text || ': ' ||
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END || ' may ' || a.privilege_type
  FROM pg_proc p LEFT JOIN pg_init_privs i ON i.objoid = p.oid AND i.classoid = 'pg_proc'::regclass AND i.objsubid = 0,
    aclexplode(p.proacl) AS a
  WHERE p.oid < 16384 AND p.proacl IS DISTINCT FROM i.initprivs AND a.grantee <> p.proowner
  ORDER BY 1`

const settings = `
  SELECT coalesce(r.rolname::text, 'all') || ': ' || setting AS line
  FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
    LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS setting
  ORDER BY 1`

const roles = `
  SELECT rolname::text AS name, rolsuper AS superuser, rolinherit AS inherit, rolcreaterole AS "createRole",
    rolcreatedb AS "createDb", rolcanlogin AS login, rolreplication AS replication, rolbypassrls AS "bypassRls",
    rolconnlimit AS "connectionLimit",
    ARRAY(SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0 ORDER BY 1) AS settings
  FROM pg_roles r WHERE rolname !~ '^pg_' ORDER BY 1`

const memberships = `
  SELECT r.rolname::text AS role, m.rolname::text AS member, a.admin_option AS admin, a.inherit_option AS inherit,
    a.set_option AS set
  FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
  WHERE m.rolname !~ '^pg_' ORDER BY 1, 2`

const migrators = `
  SELECT quote_ident(n.nspname) AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relname = 'effect_sql_migrations' AND c.relkind = 'r' ORDER BY 1`

const place = `
  SELECT current_database()::text AS name, (SELECT system_identifier::text FROM pg_control_system()) AS system`

const lines = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>) => rows.map(({ line }) => String(line))

/** Makes text forms the same in every session; first of all, before a transaction. */
export const prepare = (session: Session): Effect.Effect<void, SqlError.SqlError> =>
  Effect.forEach(forms, (form) => queryRows(session, form), { discard: true })

/**
 * Where the sequences are. They move outside transactions: read before a dump begins, they are what the dump has at least; read beside
 * it, they may be ahead of it.
 */
export const readSequences = (session: Session) =>
  Effect.map(queryRows(session, sequences), (rows) =>
    rows.map(({ last, name }) => ({ name: String(name), last: last === null ? null : String(last) }))
  )

/** All that the session's transaction sees, every row of every table. The session was prepared. */
export const readContents = Effect.fn("readContents")(function* (session: Session) {
  const query = (text: string) => queryRows(session, text)
  const where = (yield* query(place))[0]!
  const hashed = yield* Effect.forEach(yield* query(tables), ({ name, quoted, schema }) =>
    Effect.map(query(hashOf(String(quoted))), (rows) => ({
      schema: String(schema),
      name: String(name),
      rows: Number(rows[0]!["rows"]),
      hash: String(rows[0]!["hash"])
    }))
  )
  const migrations = yield* Effect.forEach(yield* query(migrators), ({ schema }) =>
    query(
      `SELECT '${String(schema)}: ' || migration_id || ' ' || name AS line FROM ${String(schema)}.effect_sql_migrations ORDER BY migration_id`
    )
  )
  const reading: Reading = {
    databaseName: String(where["name"]),
    systemIdentifier: String(where["system"]),
    tables: hashed,
    sequences: yield* readSequences(session),
    objects: lines(yield* query(objects)),
    grants: lines(yield* query(grants)),
    settings: lines(yield* query(settings)),
    roles: decodeRoles(yield* query(roles)),
    memberships: decodeMemberships(yield* query(memberships)),
    migrations: migrations.flatMap(lines)
  }
  return reading
})
