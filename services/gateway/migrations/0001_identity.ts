/** Users, roles, grants, sessions, logins under way, refresh tokens, signing keys, and the audit of all that; creates the built-in roles. */
import { Effect } from "effect"
import { builtInRoles } from "#shared/domain/rights.ts"
import { SqlClient, statements } from "#shared/sql.ts"

const schema = statements(
  `CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    provider text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    email text,
    disabled boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz,
    UNIQUE (provider, issuer, subject)
  )`,
  `CREATE TABLE roles (
    name text PRIMARY KEY,
    description text NOT NULL,
    built_in boolean NOT NULL DEFAULT false
  )`,
  `CREATE TABLE role_rights (
    role text NOT NULL REFERENCES roles (name) ON DELETE CASCADE,
    position integer NOT NULL,
    environment text NOT NULL,
    service text NOT NULL,
    action text NOT NULL,
    effect text NOT NULL CHECK (effect IN ('allow', 'deny')),
    PRIMARY KEY (role, position)
  )`,
  `CREATE TABLE grants (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL REFERENCES roles (name),
    environment text NOT NULL,
    expires_at timestamptz,
    reason text,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text,
    UNIQUE (user_id, role, environment),
    UNIQUE (created_by, idempotency_key)
  )`,
  `CREATE INDEX grants_role ON grants (role)`,
  // What a seed has given once, so that a grant which an owner removed does not come back with the next login.
  `CREATE TABLE applied_seeds (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL,
    environment text NOT NULL,
    PRIMARY KEY (user_id, role, environment)
  )`,
  // One row that changes with every change of users, roles or grants: the cheapest question a cache can ask.
  `CREATE TABLE rights_version (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), version bigint NOT NULL)`,
  `INSERT INTO rights_version (version) VALUES (1)`,
  `CREATE FUNCTION rights_changed() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE rights_version SET version = version + 1;
    PERFORM pg_notify('rights', '');
    RETURN NULL;
  END $$`,
  ...["roles", "role_rights", "grants"].map(
    (table) =>
      `CREATE TRIGGER rights_changed AFTER INSERT OR UPDATE OR DELETE ON ${table}
       FOR EACH STATEMENT EXECUTE FUNCTION rights_changed()`
  ),
  `CREATE TRIGGER rights_changed AFTER INSERT OR DELETE OR UPDATE OF disabled, name ON users
   FOR EACH STATEMENT EXECUTE FUNCTION rights_changed()`,
  `CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    kind text NOT NULL CHECK (kind IN ('browser', 'token')),
    label text NOT NULL,
    secret_hash text UNIQUE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider text NOT NULL,
    idp_sid text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    auth_time timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    user_agent text,
    ip text
  )`,
  `CREATE INDEX sessions_user ON sessions (user_id)`,
  `CREATE INDEX sessions_expiry ON sessions (expires_at)`,
  `CREATE FUNCTION session_ended() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM pg_notify('sessions', OLD.id::text);
    RETURN NULL;
  END $$`,
  `CREATE TRIGGER session_ended AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION session_ended()`,
  `CREATE TABLE login_attempts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    browser text NOT NULL,
    state_hash text NOT NULL UNIQUE,
    provider text NOT NULL,
    nonce text NOT NULL,
    verifier text NOT NULL,
    return_to text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
  )`,
  `CREATE INDEX login_attempts_browser ON login_attempts (browser, created_at)`,
  `CREATE TABLE refresh_tokens (
    hash text PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    scope text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
  )`,
  `CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id)`,
  `CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('next', 'current', 'previous')),
    public_jwk jsonb NOT NULL,
    sealed_private_jwk text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    promoted_at timestamptz,
    retired_at timestamptz
  )`,
  `CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (state) WHERE state = 'next'`,
  `CREATE UNIQUE INDEX signing_keys_one_current ON signing_keys (state) WHERE state = 'current'`,
  `CREATE TABLE audit (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    actor uuid,
    subject text,
    session_id uuid,
    request_id text,
    ip text,
    detail jsonb NOT NULL DEFAULT '{}'
  )`,
  `CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'the audit is append-only';
  END $$`,
  `CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
   FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()`
)

const roles = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const role of builtInRoles) {
    yield* sql`INSERT INTO roles ${sql.insert({ name: role.name, description: role.description, built_in: true })}`
    for (const [position, right] of role.rights.entries()) {
      yield* sql`INSERT INTO role_rights ${sql.insert({ role: role.name, position, ...right })}`
    }
  }
})

export const identity = Effect.andThen(schema, roles)
