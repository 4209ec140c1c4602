/** Live rights: a snapshot of users, roles and grants from the gateway DB, never more than 5 s old, and the decision over it (spec R5); must not change anything. */
import { Clock, Context, Effect, Layer, Schedule, Semaphore, Stream } from "effect"
import { BoundedMap } from "#shared/BoundedMap.ts"
import { Unavailable } from "#shared/domain/errors.ts"
import {
  decide,
  type Decision,
  type Demand,
  type Grant,
  type Right,
  type Role,
  rightsOf
} from "#shared/domain/rights.ts"
import { Database, SqlClient } from "#shared/sql.ts"

/** Milliseconds a snapshot may serve without the DB having confirmed it. */
export const freshFor = 5000

interface UserRights {
  readonly name: string
  readonly disabled: boolean
  readonly grants: ReadonlyArray<Grant>
}

/** What the DB said at one version. */
export interface Snapshot {
  /** Changes with every change of users, roles or grants, and when a grant of it expires. */
  readonly version: string
  readonly roles: ReadonlyMap<string, Role>
  readonly users: ReadonlyMap<string, UserRights>
  /** Undefined for an unknown or disabled user. */
  readonly rights: (userId: string) => ReadonlyArray<Right> | undefined
  readonly roleNames: (userId: string) => ReadonlyArray<string>
  readonly decide: (userId: string, demand: Demand) => Decision
}

export class Rights extends Context.Service<
  Rights,
  {
    /** The snapshot if it is fresh enough to decide by; synchronous for the data path. */
    readonly peek: () => Snapshot | undefined
    /** The snapshot, asked of the DB if need be; Unavailable rather than old. */
    readonly snapshot: Effect.Effect<Snapshot, Unavailable>
    /** Asks the DB now: the caller sees its own change. */
    readonly refresh: Effect.Effect<Snapshot, Unavailable>
  }
>()("gatehouse/gateway/Rights") {
  static readonly layer = Layer.effect(
    Rights,
    Effect.suspend(() => makeRights)
  )
}

interface RoleRow extends Omit<Right, "effect"> {
  readonly name: string
  readonly description: string
  readonly builtIn: boolean
  readonly effect: Right["effect"] | null
}
interface UserRow {
  readonly id: string
  readonly name: string
  readonly disabled: boolean
}
interface GrantRow extends Omit<Grant, "expiresAt"> {
  readonly expiresAt: Date | null
}

const readRoles = (rows: ReadonlyArray<RoleRow>): ReadonlyMap<string, Role> => {
  const roles = new Map<string, { -readonly [K in keyof Role]: Role[K] }>()
  for (const { action, builtIn, description, effect, environment, name, service } of rows) {
    const role = roles.get(name) ?? { name, description, builtIn, rights: [] }
    if (effect !== null) role.rights = [...role.rights, { environment, service, action, effect }]
    roles.set(name, role)
  }
  return roles
}

/** Builds a snapshot valid until its first grant expires; `now` in milliseconds. */
export const makeSnapshot = (
  version: string,
  roles: ReadonlyMap<string, Role>,
  users: ReadonlyMap<string, UserRights>,
  now: number
): Snapshot => {
  const held = new Map<string, ReadonlyArray<Right>>()
  const decisions = new BoundedMap<Map<string, Decision>>(5000)
  const rights = (userId: string) => {
    const user = users.get(userId)
    if (user === undefined || user.disabled) return undefined
    const known = held.get(userId)
    if (known !== undefined) return known
    const found = rightsOf(user.grants, roles, now)
    held.set(userId, found)
    return found
  }
  return {
    version,
    roles,
    users,
    rights,
    roleNames: (userId) => [
      ...new Set(
        (users.get(userId)?.grants ?? [])
          .filter((grant) => grant.expiresAt === null || Date.parse(grant.expiresAt) > now)
          .map((grant) => grant.role)
      )
    ],
    decide: (userId, demand) => {
      let mine = decisions.get(userId)
      if (mine === undefined) {
        mine = new Map()
        decisions.set(userId, mine)
      }
      // Demands come from routes and routes from configuration: there are few of them for each user.
      const key = `${demand.service}:${demand.action}@${demand.environment}`
      const known = mine.get(key)
      if (known !== undefined) return known
      const decision = decide(rights(userId) ?? [], demand)
      mine.set(key, decision)
      return decision
    }
  }
}

const makeRights = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const clock = yield* Clock.Clock
  const one = yield* Semaphore.make(1)
  const unavailable = new Unavailable({ dependency: "the gateway DB", retryAfterSeconds: 2 })
  let loaded: { readonly roles: ReadonlyMap<string, Role>; readonly users: ReadonlyMap<string, UserRights> } | undefined
  let version = ""
  let snapshot: Snapshot | undefined
  let confirmedAt = Number.NEGATIVE_INFINITY
  let nextExpiry = Number.POSITIVE_INFINITY

  /** A grant that has run out changes what the snapshot says without any change in the DB. */
  const rebuild = (now: number) => {
    if (loaded === undefined) return
    const expiries = [...loaded.users.values()]
      .flatMap((user) => user.grants)
      .map((grant) => (grant.expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(grant.expiresAt)))
      .filter((expiry) => expiry > now)
    nextExpiry = Math.min(Number.POSITIVE_INFINITY, ...expiries)
    snapshot = makeSnapshot(`${version}@${nextExpiry}`, loaded.roles, loaded.users, now)
  }

  const read = Effect.gen(function* () {
    const found = yield* sql<{ version: string }>`SELECT version::text AS version FROM rights_version`
    if (loaded !== undefined && found[0]?.version === version) return
    const roles =
      yield* sql<RoleRow>`SELECT r.name, r.description, r.built_in AS "builtIn", x.environment, x.service, x.action,
      x.effect FROM roles r LEFT JOIN role_rights x ON x.role = r.name ORDER BY r.name, x.position`
    const people = yield* sql<UserRow>`SELECT id, name, disabled FROM users`
    const grants =
      yield* sql<GrantRow>`SELECT id, user_id AS "userId", role, environment, expires_at AS "expiresAt", reason
      FROM grants ORDER BY id`
    const users = new Map(people.map((user) => [user.id, { ...user, grants: [] as Array<Grant> }]))
    for (const grant of grants) {
      users.get(grant.userId)?.grants.push({ ...grant, expiresAt: grant.expiresAt?.toISOString() ?? null })
    }
    loaded = { roles: readRoles(roles), users }
    version = found[0]?.version ?? ""
    snapshot = undefined
  })

  const check = (since: number) =>
    one
      .withPermit(
        Effect.gen(function* () {
          // Whoever waited for the permit while another asked has the other's answer.
          if (confirmedAt >= since && snapshot !== undefined) return
          const asked = yield* Clock.currentTimeMillis
          // One transaction, so that version, roles and grants are of one moment.
          yield* database.transaction(
            Effect.andThen(sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`, read)
          )
          if (snapshot === undefined) rebuild(asked)
          confirmedAt = asked
        })
      )
      .pipe(
        // Many wait for one answer, and none of them longer than for an own one.
        Effect.timeoutOrElse({ duration: "3 seconds", orElse: () => Effect.fail(unavailable) })
      )

  const peek = () => {
    const now = clock.currentTimeMillisUnsafe()
    if (now - confirmedAt > freshFor) return undefined
    if (now >= nextExpiry) rebuild(now)
    return snapshot
  }

  const current = Effect.suspend(() => {
    const found = peek()
    return found === undefined ? Effect.fail(unavailable) : Effect.succeed(found)
  })
  const refresh = Clock.currentTimeMillis.pipe(
    Effect.flatMap((now) => check(now)),
    Effect.andThen(current)
  )

  yield* database.notifications("rights").pipe(
    Stream.runForEach(() => Effect.ignore(refresh)),
    Effect.tapCause((cause) => Effect.logError("no longer listening for changes of rights", cause)),
    Effect.forkScoped
  )
  // The safety net under LISTEN: a lost notification costs two seconds, not the change.
  yield* Effect.ignore(refresh).pipe(Effect.repeat(Schedule.spaced("2 seconds")), Effect.forkScoped)

  return Rights.of({
    peek,
    snapshot: Effect.suspend(() => (peek() === undefined ? refresh : current)),
    refresh
  })
})
