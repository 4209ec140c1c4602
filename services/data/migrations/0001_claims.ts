/** Signed claims, who belongs to which tenant, what is published to callers, and the service's own records. */
import { statements } from "#shared/sql.ts"

/**
 * The claims of a request reach the policies through the parameter `gw.claims`, which whoever can send SQL could set. So they
 * are worth nothing unless they carry the service's signature, which binds them to this backend and an end:
 * `<hex of JSON>.<hex of HMAC-SHA256>`, HMAC written out (RFC 2104) because the core has only SHA-256. The key's two padded
 * forms are in a table of the owner's that no caller's role may read.
 */
const claims = `CREATE FUNCTION gw.claims() RETURNS jsonb LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
  DECLARE
    token text := nullif(current_setting('gw.claims', true), '');
    payload text := split_part(token, '.', 1);
    padded gw.signing_key;
    body jsonb;
  BEGIN
    IF token IS NULL THEN RAISE EXCEPTION 'no claims' USING ERRCODE = '28000'; END IF;
    SELECT * INTO STRICT padded FROM gw.signing_key;
    IF split_part(token, '.', 2) IS DISTINCT FROM
        encode(sha256(padded.outer_pad || sha256(padded.inner_pad || convert_to(payload, 'UTF8'))), 'hex') THEN
      RAISE EXCEPTION 'claims are not signed by this service' USING ERRCODE = '28000';
    END IF;
    body := convert_from(decode(payload, 'hex'), 'UTF8')::jsonb;
    IF body ->> 'challenge' IS DISTINCT FROM gw.challenge() THEN
      RAISE EXCEPTION 'claims of another session' USING ERRCODE = '28000';
    END IF;
    IF (body ->> 'exp')::float8 IS NOT NULL AND (body ->> 'exp')::float8 > extract(epoch FROM clock_timestamp()) THEN
      RETURN body;
    END IF;
    RAISE EXCEPTION 'claims have expired' USING ERRCODE = '28000';
  END $$`

/** The tenants of the caller; for who belongs to all, those that the column may hold are not known, hence the second function. */
const tenants = [
  `CREATE FUNCTION gw.tenants() RETURNS text[] LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$ SELECT ARRAY(SELECT jsonb_array_elements_text(gw.claims() -> 'tenants')) $$`,
  `CREATE FUNCTION gw.every_tenant() RETURNS boolean LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$ SELECT gw.claims() -> 'tenants' @> '"*"' $$`
]

/** For authors of datasets: rows of \`target\` belong to the tenant that \`tenant_column\` names. Calls are in subselects so that they run once. */
const protect = `CREATE FUNCTION gw.protect(target regclass, tenant_column name) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
  DECLARE
    condition text := format('(SELECT gw.every_tenant()) OR %I = ANY ((SELECT gw.tenants())::text[])', tenant_column);
  BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY tenant ON %s USING (%s) WITH CHECK (%s)', target, condition, condition);
    EXECUTE format('CREATE INDEX ON %s (%I)', target, tenant_column);
  END $$`

/**
 * Every relation of the owner's schemas (a service that keeps its own tables here has a schema of its own) and why callers
 * may not have it, null if they may. A materialised view, a foreign
 * table and a view with its owner's rights go round the policies of what they are made of; a partition is not covered by
 * those of its parent.
 */
const relations = `CREATE VIEW gw.relation AS
  SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relowner AS owner,
    CASE
      WHEN c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = 'data') THEN 'not_owned'
      WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) THEN 'partition'
      WHEN c.relkind IN ('m', 'f') THEN 'policy_not_enforceable'
      WHEN c.relkind = 'v' AND NOT EXISTS (
        SELECT FROM pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker' AND option_value::boolean
      ) THEN 'policy_not_enforceable'
    END AS withheld
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('gw', 'public')
    AND n.nspowner = (SELECT oid FROM pg_roles WHERE rolname = 'data')`

/** Gives callers' roles what they may have and takes what they may not, whatever an author of a dataset did. */
const publish = `CREATE FUNCTION gw.publish() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
  DECLARE one record;
  BEGIN
    FOR one IN SELECT DISTINCT n.oid, n.nspname AS name FROM pg_namespace n
        JOIN gw.relation r ON r.schema = n.nspname LOOP
      IF has_schema_privilege('data_query', one.oid, 'CREATE') OR has_schema_privilege('data_write', one.oid, 'CREATE') THEN
        EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, data_query, data_write', one.name);
      END IF;
      IF NOT has_schema_privilege('data_query', one.oid, 'USAGE') OR NOT has_schema_privilege('data_write', one.oid, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO data_query, data_write', one.name);
      END IF;
    END LOOP;
    FOR one IN SELECT r.*, c.relrowsecurity AND NOT c.relforcerowsecurity AS unforced, c.relkind IN ('r', 'p') AS written,
        has_table_privilege('data_query', r.oid, 'SELECT') AS readable,
        has_any_column_privilege('data_query', r.oid, 'SELECT') OR has_any_column_privilege('data_write', r.oid, 'SELECT') AS any_column,
        has_table_privilege('data_query', r.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') AS writable,
        has_table_privilege('data_write', r.oid, 'INSERT') AS fillable
        FROM gw.relation r JOIN pg_class c ON c.oid = r.oid WHERE r.withheld IS DISTINCT FROM 'not_owned' LOOP
      IF one.unforced AND one.written THEN EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', one.oid::regclass); END IF;
      IF one.withheld IS NOT NULL THEN
        IF one.any_column OR one.fillable THEN
          EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, data_query, data_write', one.oid::regclass);
        END IF;
      ELSE
        IF one.writable THEN EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, data_query', one.oid::regclass); END IF;
        IF NOT one.readable OR one.writable THEN
          EXECUTE format('GRANT SELECT ON %s TO data_query, data_write', one.oid::regclass);
        END IF;
        IF one.written AND NOT one.fillable THEN
          EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO data_write', one.oid::regclass);
        END IF;
      END IF;
    END LOOP;
    FOR one IN SELECT c.oid::regclass AS sequence FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE CASE WHEN c.relkind = 'S' AND c.relowner = 'data'::regrole AND n.nspname NOT IN ('gw', 'public')
          THEN NOT has_sequence_privilege('data_write', c.oid, 'USAGE') END LOOP
      EXECUTE format('GRANT USAGE ON SEQUENCE %s TO data_write', one.sequence);
    END LOOP;
    FOR one IN SELECT p.oid::regprocedure AS signature FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE NOT p.prosecdef AND p.proowner = 'data'::regrole AND n.nspname NOT IN ('gw', 'public')
          AND NOT (has_function_privilege('data_query', p.oid, 'EXECUTE') AND has_function_privilege('data_write', p.oid, 'EXECUTE')) LOOP
      EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO data_query, data_write', one.signature);
    END LOOP;
    -- A function with its owner's rights would read past the policies for whoever calls it.
    FOR one IN SELECT p.oid::regprocedure AS signature FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prosecdef AND p.proowner = 'data'::regrole AND n.nspname <> 'gw'
          AND has_function_privilege('data_query', p.oid, 'EXECUTE') LOOP
      EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC, data_query, data_write', one.signature);
    END LOOP;
  END $$`

export const claimsAndDatasets = statements(
  "CREATE SCHEMA IF NOT EXISTS gw",
  `CREATE TABLE gw.signing_key (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    inner_pad bytea NOT NULL,
    outer_pad bytea NOT NULL
  )`,
  `CREATE TABLE gw.membership (
    kind text NOT NULL CHECK (kind IN ('user', 'role')),
    name text NOT NULL,
    tenant text NOT NULL,
    PRIMARY KEY (kind, name, tenant)
  )`,
  `CREATE TABLE gw.definition (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
  )`,
  `CREATE TABLE gw.freshness (
    schema text NOT NULL,
    name text NOT NULL,
    last_write timestamptz NOT NULL,
    PRIMARY KEY (schema, name)
  )`,
  `CREATE TABLE gw.ingest (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    answer jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
  )`,
  "CREATE INDEX ingest_at ON gw.ingest (at)",
  "GRANT SELECT, INSERT, DELETE ON gw.ingest TO data_write",
  "GRANT SELECT, INSERT, UPDATE ON gw.freshness TO data_write",
  claims,
  ...tenants,
  protect,
  relations,
  publish,
  "REVOKE EXECUTE ON FUNCTION gw.protect, gw.publish FROM PUBLIC",
  "GRANT EXECUTE ON FUNCTION gw.claims, gw.tenants, gw.every_tenant TO data_query, data_write"
)
