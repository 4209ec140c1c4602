/** What the data instance's superuser does before the service starts: roles, limits, and functions taken from PUBLIC; must stay safe to repeat on every start. */

/** Owns datasets and the service's own tables; runs no text of a caller. */
export const ownerRole = "data"
/** Runs callers' SQL: reads only, member of nothing. */
export const queryRole = "data_query"
/** Runs the service's own writes for callers, under the same policies. */
export const writeRole = "data_write"
/**
 * May call what `takenFromPublic` takes away; nobody logs in as it. A role that backs the database up needs membership
 * (pg_dump calls `set_config`).
 */
export const trustedRole = "data_trusted"

/** Harmless though volatile: they read a clock or draw lots. */
const harmless = [
  "array_sample",
  "array_shuffle",
  "clock_timestamp",
  "gen_random_uuid",
  "random",
  "random_normal",
  "timeofday",
  "uuidv4",
  "uuidv7"
]

/**
 * Functions that a SELECT can leave its limits with, whatever its transaction and its role: they set parameters or the role
 * (`set_config`), run text as SQL (`query_to_xml`, `ts_stat`), wait, lock, notify, signal other backends, touch files, large
 * objects and sequences, take transaction ids, or show what others run. Nearly all of them are what the catalogue calls
 * volatile, so every volatile function is taken, and what comes with an extension or a later version with it.
 */
const takenFromPublic = `
  SELECT p.oid::regprocedure AS signature, p.prokind
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prorettype <> 'trigger'::regtype AND p.prorettype <> 'event_trigger'::regtype AND (
      n.nspname = 'pg_catalog' AND p.provolatile = 'v' AND NOT p.proname = ANY ('{${harmless.join(",")}}')
      OR n.nspname = 'pg_catalog' AND p.proname ~ '^(pg_stat_get_|pg_current_xact_id|txid_current|pg_ls_|pg_get_replication_slots)'
      OR n.nspname = 'pg_catalog' AND p.proname ~ '_to_xml(schema|_and_xmlschema)?$'
      OR n.nspname = 'pg_catalog' AND p.proname IN ('ts_rewrite', 'ts_stat', 'pg_cursor', 'pg_prepared_statement',
        'pg_show_all_settings', 'pg_listening_channels', 'pg_mcv_list_items', 'inet_server_addr', 'inet_server_port',
        'pg_postmaster_start_time', 'pg_conf_load_time', 'pg_config')
      OR p.proname ~ '^(dblink|lo_|pg_read_)'
    )
    AND EXISTS (
      SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'
    )`

/** Limits that hold for a bare connection of the role; the service lowers them for each request. */
const limitsOf = (role: string, limits: Readonly<Record<string, string>>) =>
  Object.entries(limits).map(([key, value]) => `ALTER ROLE ${role} SET ${key} = '${value}'`)

/** Statements for the superuser, connected to the data service's own database, in their order. */
export const instanceStatements: ReadonlyArray<string> = [
  `DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['${ownerRole}', '${queryRole}', '${writeRole}'] LOOP
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN EXECUTE format('CREATE ROLE %I LOGIN', name); END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${trustedRole}') THEN CREATE ROLE ${trustedRole} NOLOGIN; END IF;
  END $$`,
  ...[ownerRole, queryRole, writeRole].map(
    (role) => `ALTER ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS`
  ),
  `ALTER ROLE ${queryRole} NOINHERIT CONNECTION LIMIT 40`,
  `DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT m.roleid::regrole AS granted FROM pg_auth_members m WHERE m.member = '${queryRole}'::regrole LOOP
      EXECUTE format('REVOKE %s FROM ${queryRole}', one.granted);
    END LOOP;
  END $$`,
  `GRANT ${trustedRole} TO ${ownerRole}, ${writeRole}`,
  ...limitsOf(queryRole, {
    default_transaction_read_only: "on",
    statement_timeout: "30s",
    lock_timeout: "2s",
    idle_in_transaction_session_timeout: "60s",
    temp_file_limit: "64MB",
    work_mem: "4MB",
    search_path: "pg_catalog",
    max_parallel_workers_per_gather: "0"
  }),
  ...limitsOf(writeRole, {
    statement_timeout: "60s",
    lock_timeout: "5s",
    idle_in_transaction_session_timeout: "60s",
    search_path: "pg_catalog"
  }),
  `DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO ${ownerRole}', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ${queryRole}', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO ${writeRole}', current_database());
  END $$`,
  "REVOKE ALL ON SCHEMA public FROM PUBLIC",
  // A function of an author's is nobody's before the service has looked at whose rights it runs with.
  `ALTER DEFAULT PRIVILEGES FOR ROLE ${ownerRole} REVOKE EXECUTE ON ROUTINES FROM PUBLIC`,
  `CREATE SCHEMA IF NOT EXISTS gw AUTHORIZATION ${ownerRole}`,
  `DO $$ DECLARE one record; BEGIN
    FOR one IN ${takenFromPublic} LOOP
      EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', one.signature);
      EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO ${trustedRole}', one.signature);
    END LOOP;
  END $$`,
  // Of a backend only its start is unlike every other's with the same pid, and only the superuser may ask for that.
  `CREATE OR REPLACE FUNCTION gw.challenge() RETURNS text LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT pid || ':' || (extract(epoch FROM backend_start) * 1000000)::bigint
      FROM pg_stat_get_activity(pg_backend_pid()) $$`,
  `GRANT USAGE ON SCHEMA gw TO ${queryRole}, ${writeRole}`
]
