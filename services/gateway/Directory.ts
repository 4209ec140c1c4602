/** The people and what they may do: users, roles and grants as rows that owners edit (R5, R25); every change and its audit row are one transaction. */
import { Context, Effect, Layer } from "effect"
import type { GrantInput, RoleInput, User, UserWithGrants } from "#shared/api/auth.ts"
import type { Page } from "#shared/api/paging.ts"
import { Conflict, InvalidInput, MalformedRequest, NotFound, type Unavailable } from "#shared/domain/errors.ts"
import { UserId } from "#shared/domain/ids.ts"
import type { Grant, Role } from "#shared/domain/rights.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { Audit } from "./Audit.ts"
import { Rights } from "./Rights.ts"
import { workloadProvider } from "./settingsFile.ts"

/** Who changes something, for the audit. */
export interface Actor {
  readonly userId: string
  readonly requestId: string
}

/** A person as an identity provider has just vouched for them, or a workload as it has proved itself; `email` only if verified. */
export interface Vouched {
  readonly provider: string
  readonly issuer: string
  readonly subject: string
  readonly name: string
  readonly email: string | undefined
}

/** A grant that configuration gives once to the person it means. */
export interface Seed {
  readonly role: string
  readonly environment: string
}

interface UserRow extends Omit<User, "createdAt" | "lastLoginAt"> {
  readonly createdAt: Date
  readonly lastLoginAt: Date | null
}
interface GrantRow extends Omit<Grant, "expiresAt"> {
  readonly expiresAt: Date | null
}

export class Directory extends Context.Service<
  Directory,
  {
    /** Finds or makes the user of (provider, issuer, subject), refreshes the labels, applies seeds not applied yet. A disabled one gets nothing. */
    readonly welcome: (person: Vouched, seeds: ReadonlyArray<Seed>) => Effect.Effect<User, Unavailable>
    readonly user: (id: string) => Effect.Effect<User, NotFound | Unavailable>
    readonly users: (query: {
      readonly limit: number
      readonly cursor: string | undefined
      readonly search: string | undefined
    }) => Effect.Effect<Page<UserWithGrants>, MalformedRequest | Unavailable>
    readonly setDisabled: (
      id: UserId,
      disabled: boolean,
      actor: Actor
    ) => Effect.Effect<User, NotFound | Conflict | Unavailable>
    readonly roles: Effect.Effect<ReadonlyArray<Role>, Unavailable>
    readonly putRole: (name: string, input: RoleInput, actor: Actor) => Effect.Effect<Role, Conflict | Unavailable>
    readonly deleteRole: (name: string, actor: Actor) => Effect.Effect<void, NotFound | Conflict | Unavailable>
    readonly grants: (query: {
      readonly limit: number
      readonly cursor: string | undefined
      readonly userId: string | undefined
    }) => Effect.Effect<Page<Grant>, MalformedRequest | Unavailable>
    readonly grant: (
      input: GrantInput,
      actor: Actor,
      idempotencyKey: string | undefined
    ) => Effect.Effect<{ readonly grant: Grant; readonly created: boolean }, InvalidInput | Conflict | Unavailable>
    readonly revoke: (id: string, actor: Actor) => Effect.Effect<void, NotFound | Conflict | Unavailable>
  }
>()("gatehouse/gateway/Directory") {
  static readonly layer = (options: { readonly environment: string }) =>
    Layer.effect(Directory, makeDirectory(options.environment))
}

const toUser = (row: UserRow): User => ({
  ...row,
  id: UserId.make(row.id),
  createdAt: row.createdAt.toISOString(),
  lastLoginAt: row.lastLoginAt?.toISOString() ?? null
})
const toGrant = (row: GrantRow): Grant => ({ ...row, expiresAt: row.expiresAt?.toISOString() ?? null })

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/iu
const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/u
const cursorOf = (cursor: string | undefined) =>
  cursor === undefined || uuid.test(cursor)
    ? Effect.succeed(cursor ?? "00000000-0000-0000-0000-000000000000")
    : Effect.fail(new MalformedRequest({ detail: "the cursor is not one of ours" }))

const makeDirectory = (environment: string) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const audit = yield* Audit
    const rights = yield* Rights

    const userColumns = sql.unsafe(
      `id, provider, issuer, subject, name, email, disabled, created_at AS "createdAt", last_login_at AS "lastLoginAt"`
    )
    const grantColumns = sql.unsafe(`id, user_id AS "userId", role, environment, expires_at AS "expiresAt", reason`)

    const findUser = Effect.fnUntraced(function* (id: string) {
      const rows = uuid.test(id) ? yield* sql<UserRow>`SELECT ${userColumns} FROM users WHERE id = ${id}` : []
      if (rows[0] === undefined) return yield* new NotFound({ resource: "user" })
      return toUser(rows[0])
    })

    /**
     * Changes rights in one transaction, one change at a time, and takes it back if it would leave nobody who can change
     * rights, or take that from the actor: the lock makes two owners who remove each other at once leave one.
     */
    const change = <A, E>(actor: Actor, edit: Effect.Effect<A, E>) =>
      Effect.gen(function* () {
        const result = yield* database.transaction(
          Effect.gen(function* () {
            yield* sql`SELECT pg_advisory_xact_lock(hashtext('directory'))`
            const before = yield* ownersInTransaction
            const value = yield* edit
            const after = yield* ownersInTransaction
            if (before.length > 0 && after.length === 0) {
              return yield* new Conflict({ detail: "this would leave nobody who may change rights" })
            }
            if (before.includes(actor.userId) && !after.includes(actor.userId)) {
              return yield* new Conflict({ detail: "this would take your own right to change rights" })
            }
            return value
          })
        )
        yield* Effect.ignore(rights.refresh)
        return result
      })

    /** People alone: a workload that may change rights is nobody to turn to. */
    const ownersInTransaction = Effect.gen(function* () {
      const rows = yield* sql<{ id: string }>`
        SELECT DISTINCT u.id FROM users u JOIN grants g ON g.user_id = u.id JOIN role_rights x ON x.role = g.role
        WHERE NOT u.disabled AND u.provider <> ${workloadProvider} AND g.expires_at IS NULL AND g.environment IN ('*', ${environment})
          AND x.environment IN ('*', ${environment}) AND x.service IN ('*', 'auth') AND x.action IN ('*', 'write')
          AND x.effect = 'allow' AND NOT EXISTS (
            SELECT FROM grants dg JOIN role_rights d ON d.role = dg.role
            WHERE dg.user_id = u.id AND d.effect = 'deny' AND (dg.expires_at IS NULL OR dg.expires_at > now())
              AND dg.environment IN ('*', ${environment}) AND d.environment IN ('*', ${environment})
              AND d.service IN ('*', 'auth') AND d.action IN ('*', 'write'))`
      return rows.map((row) => row.id)
    })

    const record = (event: string, actor: Actor, subject: string, detail?: Record<string, unknown>) =>
      audit.record({ event, actor: actor.userId, subject, requestId: actor.requestId, detail })

    return Directory.of({
      welcome: Effect.fn("Directory.welcome")(function* (person, seeds) {
        const user = yield* database.transaction(
          Effect.gen(function* () {
            // Whose labels are as they were changes nothing that any cache remembers.
            const known = yield* sql<UserRow>`
              UPDATE users SET last_login_at = CASE WHEN disabled THEN last_login_at ELSE now() END
              WHERE provider = ${person.provider} AND issuer = ${person.issuer} AND subject = ${person.subject}
                AND name = ${person.name} AND email IS NOT DISTINCT FROM ${person.email ?? null} RETURNING ${userColumns}`
            const rows =
              known.length > 0
                ? known
                : yield* sql<UserRow>`
              INSERT INTO users (provider, issuer, subject, name, email, last_login_at)
              VALUES (${person.provider}, ${person.issuer}, ${person.subject}, ${person.name}, ${person.email ?? null}, now())
              ON CONFLICT (provider, issuer, subject) DO UPDATE
              SET name = excluded.name, email = excluded.email,
                last_login_at = CASE WHEN users.disabled THEN users.last_login_at ELSE now() END
              RETURNING ${userColumns}`
            const user = toUser(rows[0]!)
            if (user.disabled) return user
            for (const seed of seeds) {
              const fresh = yield* sql`INSERT INTO applied_seeds (user_id, role, environment)
                SELECT ${user.id}, name, ${seed.environment} FROM roles WHERE name = ${seed.role}
                ON CONFLICT DO NOTHING RETURNING role`
              if (fresh.length === 0) continue
              yield* sql`INSERT INTO grants (user_id, role, environment, reason)
                VALUES (${user.id}, ${seed.role}, ${seed.environment}, 'given by configuration') ON CONFLICT DO NOTHING`
              yield* audit.record({ event: "grant.seeded", subject: user.id, detail: { ...seed } })
            }
            return user
          })
        )
        yield* Effect.ignore(rights.refresh)
        return user
      }),
      user: (id) => database.run(findUser(id)),
      users: Effect.fn("Directory.users")(function* ({ cursor, limit, search }) {
        const after = yield* cursorOf(cursor)
        const pattern = `%${(search ?? "").replaceAll(/[\\%_]/gu, (char) => `\\${char}`)}%`
        const { grants, rows } = yield* database.run(
          Effect.gen(function* () {
            const rows = yield* sql<UserRow>`SELECT ${userColumns} FROM users WHERE id > ${after}
              AND (name ILIKE ${pattern} OR email ILIKE ${pattern} OR subject ILIKE ${pattern}) ORDER BY id LIMIT ${limit + 1}`
            const ids = rows.map((row) => row.id)
            const grants =
              ids.length === 0
                ? []
                : yield* sql<GrantRow>`SELECT ${grantColumns} FROM grants WHERE ${sql.in("user_id", ids)} ORDER BY id`
            return { rows, grants }
          })
        )
        const items = rows.slice(0, limit).map((row) => ({
          ...toUser(row),
          grants: grants.filter((grant) => grant.userId === row.id).map(toGrant)
        }))
        return { items, nextCursor: rows.length > limit ? items[items.length - 1]!.id : null }
      }),
      setDisabled: Effect.fn("Directory.setDisabled")(function* (id, disabled, actor) {
        return yield* change(
          actor,
          Effect.gen(function* () {
            yield* findUser(id)
            yield* sql`UPDATE users SET disabled = ${disabled} WHERE id = ${id}`
            if (disabled) yield* sql`DELETE FROM sessions WHERE user_id = ${id}`
            yield* record(disabled ? "user.disabled" : "user.enabled", actor, id)
            return yield* findUser(id)
          })
        )
      }),
      roles: Effect.map(rights.snapshot, (snapshot) => [...snapshot.roles.values()]),
      putRole: Effect.fn("Directory.putRole")(function* (name, input, actor) {
        return yield* change(
          actor,
          Effect.gen(function* () {
            const rows = yield* sql<{
              builtIn: boolean
            }>`INSERT INTO roles (name, description) VALUES (${name}, ${input.description})
              ON CONFLICT (name) DO UPDATE SET description = excluded.description RETURNING built_in AS "builtIn"`
            yield* sql`DELETE FROM role_rights WHERE role = ${name}`
            for (const [position, { action, effect, environment, service }] of input.rights.entries()) {
              yield* sql`INSERT INTO role_rights ${sql.insert({ role: name, position, environment, service, action, effect })}`
            }
            yield* record("role.saved", actor, name, { rights: input.rights })
            return { name, builtIn: rows[0]!.builtIn, ...input }
          })
        )
      }),
      deleteRole: Effect.fn("Directory.deleteRole")(function* (name, actor) {
        yield* change(
          actor,
          Effect.gen(function* () {
            // A grant that has run out is as if it were not there.
            yield* sql`DELETE FROM grants WHERE role = ${name} AND expires_at <= now()`
            const rows = yield* sql<{ builtIn: boolean; held: boolean }>`SELECT built_in AS "builtIn",
              EXISTS (SELECT FROM grants WHERE role = name) AS held FROM roles WHERE name = ${name}`
            if (rows[0] === undefined) return yield* new NotFound({ resource: "role" })
            if (rows[0].builtIn) return yield* new Conflict({ detail: "a built-in role can be edited, not deleted" })
            if (rows[0].held) return yield* new Conflict({ detail: "somebody holds this role" })
            yield* sql`DELETE FROM roles WHERE name = ${name}`
            return yield* record("role.deleted", actor, name)
          })
        )
      }),
      grants: Effect.fn("Directory.grants")(function* ({ cursor, limit, userId }) {
        const after = yield* cursorOf(cursor)
        if (userId !== undefined && !uuid.test(userId)) return { items: [], nextCursor: null }
        const rows = yield* database.run(
          userId === undefined
            ? sql<GrantRow>`SELECT ${grantColumns} FROM grants WHERE id > ${after} ORDER BY id LIMIT ${limit + 1}`
            : sql<GrantRow>`SELECT ${grantColumns} FROM grants WHERE id > ${after} AND user_id = ${userId}
                ORDER BY id LIMIT ${limit + 1}`
        )
        const items = rows.slice(0, limit).map(toGrant)
        return { items, nextCursor: rows.length > limit ? items[items.length - 1]!.id : null }
      }),
      grant: Effect.fn("Directory.grant")(function* (input, actor, idempotencyKey) {
        const expiresAt = input.expiresAt == null ? null : new Date(input.expiresAt)
        return yield* change(
          actor,
          Effect.gen(function* () {
            const faults: Array<{ pointer: string; detail: string }> = []
            if (expiresAt !== null && (!rfc3339.test(input.expiresAt!) || Number.isNaN(expiresAt.getTime()))) {
              faults.push({ pointer: "/expiresAt", detail: "Expected an RFC 3339 time" })
            } else if (expiresAt !== null) {
              const past = yield* sql`SELECT 1 WHERE ${expiresAt}::timestamptz <= now()`
              if (past.length > 0) faults.push({ pointer: "/expiresAt", detail: "Expected a time in the future" })
            }
            if ((yield* sql`SELECT 1 FROM users WHERE id = ${input.userId}`).length === 0) {
              faults.push({ pointer: "/userId", detail: "Expected an existing user" })
            }
            if ((yield* sql`SELECT 1 FROM roles WHERE name = ${input.role}`).length === 0) {
              faults.push({ pointer: "/role", detail: "Expected an existing role" })
            }
            if (faults.length > 0) return yield* new InvalidInput({ errors: faults })
            if (idempotencyKey !== undefined) {
              const seen = yield* sql<GrantRow>`SELECT ${grantColumns} FROM grants
                WHERE created_by = ${actor.userId} AND idempotency_key = ${idempotencyKey}`
              if (seen[0] !== undefined) {
                const known = toGrant(seen[0])
                const same =
                  known.userId === input.userId &&
                  known.role === input.role &&
                  known.environment === input.environment &&
                  known.expiresAt === (expiresAt?.toISOString() ?? null) &&
                  known.reason === (input.reason ?? null)
                if (same) return { grant: known, created: false }
                return yield* new Conflict({ detail: "this Idempotency-Key was used for another grant" })
              }
            }
            // One that has run out is as if it were not there.
            yield* sql`DELETE FROM grants WHERE user_id = ${input.userId} AND role = ${input.role}
              AND environment = ${input.environment} AND expires_at <= now()`
            const rows = yield* sql<GrantRow>`
              INSERT INTO grants (user_id, role, environment, expires_at, reason, created_by, idempotency_key)
              VALUES (${input.userId}, ${input.role}, ${input.environment}, ${expiresAt}, ${input.reason ?? null},
                ${actor.userId}, ${idempotencyKey ?? null})
              ON CONFLICT (user_id, role, environment) DO NOTHING RETURNING ${grantColumns}`
            if (rows[0] === undefined) return yield* new Conflict({ detail: "this user has this role there already" })
            yield* record("grant.created", actor, input.userId, { role: input.role, environment: input.environment })
            return { grant: toGrant(rows[0]), created: true }
          })
        )
      }),
      revoke: Effect.fn("Directory.revoke")(function* (id, actor) {
        yield* change(
          actor,
          Effect.gen(function* () {
            const rows = uuid.test(id)
              ? yield* sql<GrantRow>`DELETE FROM grants WHERE id = ${id} RETURNING ${grantColumns}`
              : []
            if (rows[0] === undefined) return yield* new NotFound({ resource: "grant" })
            return yield* record("grant.revoked", actor, rows[0].userId, {
              role: rows[0].role,
              environment: rows[0].environment
            })
          })
        )
      })
    })
  })
