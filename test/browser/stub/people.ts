/** `/auth/*` from memory: people, roles, grants, sessions, tokens. */
import type { Role, Session, UserWithGrants } from "#shared/api/auth.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { makeRoles, makeSessions, makeUsers } from "../demoPeople.ts"
import { empty, notFound } from "./answers.ts"

export const makePeople = (environment: string) => {
  const users: Array<UserWithGrants> = makeUsers()
  const roles: Array<Role> = makeRoles()
  const sessions: Array<Session> = makeSessions()

  const drop = <A>(list: Array<A>, matches: (item: A) => boolean): Response => {
    const index = list.findIndex(matches)
    if (index === -1) return notFound()
    list.splice(index, 1)
    return empty()
  }

  const change = (method: string, [, kind, key]: ReadonlyArray<string>, body: string): Response => {
    switch (`${method} ${kind}`) {
      case "DELETE sessions":
        return drop(sessions, ({ id }) => id === key)
      case "POST token": {
        const form = new URLSearchParams(body)
        const scopes = (form.get("scope") ?? "").split(" ")
        const offline = scopes.includes("offline_access")
        return Response.json({
          access_token: `eyJhbGciOiJFUzI1NiJ9.${"c2FtcGxl".repeat(24)}.${"s".repeat(86)}`,
          token_type: "Bearer",
          expires_in: 600,
          scope: scopes.filter((scope) => scope !== "offline_access").join(" "),
          env: environment,
          ...(offline ? { refresh_token: "gthr_3kJ9mQ7xW2vN8pR4" } : {})
        })
      }
      case "PATCH users": {
        const index = users.findIndex(({ id }) => id === key)
        const { disabled } = JSON.parse(body) as { disabled: boolean }
        users[index] = { ...users[index]!, disabled }
        return empty()
      }
      case "POST grants": {
        const input = JSON.parse(body) as UserWithGrants["grants"][number]
        const index = users.findIndex(({ id }) => id === input.userId)
        const grant = { ...input, id: uuidv7(Date.now()) as UserWithGrants["grants"][number]["id"] }
        users[index] = { ...users[index]!, grants: [...users[index]!.grants, grant] }
        return Response.json(grant, { status: 201 })
      }
      case "DELETE grants":
        users.forEach((user, index) => {
          users[index] = { ...user, grants: user.grants.filter(({ id }) => id !== key) }
        })
        return empty()
      case "PUT roles": {
        const role = { ...(JSON.parse(body) as Role), name: key!, builtIn: false }
        const index = roles.findIndex(({ name }) => name === key)
        if (index === -1) roles.push(role)
        else roles[index] = { ...role, builtIn: roles[index]!.builtIn }
        return empty()
      }
      case "DELETE roles":
        return drop(roles, ({ name }) => name === key)
      default:
        return notFound()
    }
  }

  const read = ([, kind]: ReadonlyArray<string>, query: URLSearchParams): Response => {
    const q = (query.get("q") ?? "").toLowerCase()
    switch (kind) {
      case "sessions":
        return Response.json({ items: sessions, nextCursor: null })
      case "roles":
        return Response.json({ items: roles })
      case "users": {
        const found = users.filter(({ email, name }) => `${name} ${email ?? ""}`.toLowerCase().includes(q))
        const start = Number(query.get("cursor") ?? 0)
        const limit = Math.min(Number(query.get("limit") ?? 50), 6)
        const next = start + limit
        return Response.json({ items: found.slice(start, next), nextCursor: next < found.length ? String(next) : null })
      }
      default:
        return notFound()
    }
  }

  return { users, roles, sessions, change, read }
}
