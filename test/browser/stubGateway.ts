/** A gateway for browser tests: serves the real dashboard service and plays the API from memory, its stream under the test's control. */
import type { Me, Right, Role, Session, UserWithGrants } from "#shared/api/auth.ts"
import type { HistoryMetric, HostSnapshot } from "#shared/api/monitor.ts"
import { make } from "#dashboard/service.ts"
import { identityHeader } from "#shared/auth.ts"
import { listen } from "#shared/bun.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { problemOf, problemResponse } from "#shared/problem.ts"
import { makeIdentityTokens } from "#test/dashboard/identityTokens.ts"
import { historyOf, snapshotAt } from "./demoHost.ts"
import { makeMe, makeRoles, makeSessions, makeUsers } from "./demoPeople.ts"

export interface StubOptions {
  /** Folder of the built web app. */
  readonly assets: string
  readonly environment?: string
  /** Name of the user who is logged in. */
  readonly as?: string
  /** Rights beside those of their roles. */
  readonly rights?: ReadonlyArray<Right>
}

const empty = () => new Response(null, { status: 204 })
const notFound = () => problemResponse(problemOf(404, "not_found", "no such thing"))
const contentSecurityPolicy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

export const startStubGateway = async ({
  as = "Olga Owner",
  assets,
  environment = "nightly",
  rights = []
}: StubOptions) => {
  const issuer = "https://gatehouse.test"
  const tokens = makeIdentityTokens(issuer, environment)
  const users: Array<UserWithGrants> = makeUsers()
  const roles: Array<Role> = makeRoles()
  const sessions: Array<Session> = makeSessions()
  const known = makeMe(
    users.find(({ name }) => name === as)!,
    environment,
    roles
  )
  const me: Me = { ...known, rights: [...known.rights, ...rights] }
  const streams = new Set<ReadableStreamDefaultController<Uint8Array>>()
  const waiting = new Set<() => void>()
  /** Every request that asks for history, by its query; and every change, with its body. */
  const histories: Array<URLSearchParams> = []
  const calls: Array<{ readonly method: string; readonly path: string; readonly body: string }> = []
  const state = {
    loggedIn: true,
    /** What the stream and the snapshot answer instead: 503 as when the monitor is away. */
    monitorStatus: 200,
    /** Answered in the name of the gateway to the next change. */
    refusal: undefined as Response | undefined,
    hole: undefined as readonly [number, number] | undefined,
    at: Math.floor(Date.now() / 1000)
  }

  const until = (holds: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!holds()) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
    })

  const stream = () => {
    let mine: ReadableStreamDefaultController<Uint8Array>
    return new Response(
      new ReadableStream<Uint8Array>({
        start: (controller) => {
          mine = controller
          streams.add(controller)
          controller.enqueue(eventOf(snapshotAt(state.at)))
          for (const look of waiting) look()
        },
        cancel: () => {
          streams.delete(mine)
          for (const look of waiting) look()
        }
      }),
      { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } }
    )
  }
  const eventOf = (snapshot: HostSnapshot) =>
    new TextEncoder().encode(`event: host\nid: ${snapshot.at}\ndata: ${JSON.stringify(snapshot)}\n\n`)

  const monitor = (url: URL): Response => {
    if (state.monitorStatus !== 200) return problemResponse(problemOf(state.monitorStatus, "upstream_unready"))
    const query = url.searchParams
    switch (url.pathname) {
      case "/monitor/stream":
        return stream()
      case "/monitor/host":
        return Response.json(snapshotAt(state.at))
      case "/monitor/history":
        histories.push(query)
        for (const look of waiting) look()
        return Response.json(
          historyOf(
            {
              metric: query.get("metric") as HistoryMetric,
              from: Math.floor(Date.parse(query.get("from")!) / 1000),
              to: state.at,
              step: Number(query.get("step") ?? 10),
              agg: query.get("agg") === "max" ? "max" : "avg"
            },
            state.hole
          )
        )
      default:
        return notFound()
    }
  }

  const drop = <A>(list: Array<A>, matches: (item: A) => boolean): Response => {
    const index = list.findIndex(matches)
    if (index === -1) return notFound()
    list.splice(index, 1)
    return empty()
  }

  const change = (method: string, [, kind, key]: ReadonlyArray<string>, body: string): Response => {
    switch (`${method} ${kind}`) {
      case "POST logout":
        state.loggedIn = false
        return empty()
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
      case "me":
        return Response.json(me)
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

  const route = async (request: Request): Promise<Response> => {
    const url = new URL(request.url)
    const parts = url.pathname.slice(1).split("/")
    if (url.pathname === "/.well-known/jwks.json") return Response.json(tokens.jwks)
    if (url.pathname === "/auth/login") {
      return new Response("<!doctype html><title>Log in</title><h1>Log in</h1>", {
        headers: { "content-type": "text/html" }
      })
    }
    if (parts[0] !== "auth" && parts[0] !== "monitor") {
      const forwarded = new Request(request, { headers: new Headers(request.headers) })
      forwarded.headers.set(identityHeader, tokens.token({ scope: "dashboard:read" }))
      return dashboard.fetch(forwarded)
    }
    if (!state.loggedIn) return problemResponse(problemOf(401, "unauthorized"))
    if (parts[0] === "monitor") return monitor(url)
    if (request.method === "GET") return read(parts, url.searchParams)
    const body = await request.text()
    calls.push({ method: request.method, path: url.pathname, body })
    if (request.headers.get("origin") !== url.origin)
      return problemResponse(problemOf(403, "forbidden", "foreign origin"))
    if (state.refusal !== undefined) return state.refusal.clone()
    return change(request.method, parts, body)
  }

  const listener = listen(
    {
      name: "stub gateway",
      fetch: async (request) => {
        const response = await route(request)
        response.headers.set("content-security-policy", contentSecurityPolicy)
        return response
      },
      internal: async () => notFound(),
      drain: () => {},
      dispose: async () => {}
    },
    { hostname: "127.0.0.1", port: 0 }
  )
  const origin = `http://127.0.0.1:${listener.port}`
  const dashboard = await make({
    DASHBOARD_ASSETS: assets,
    ENVIRONMENT: environment,
    IDENTITY_ISSUER: issuer,
    IDENTITY_JWKS_URL: `${origin}/.well-known/jwks.json`
  })

  return {
    origin,
    state,
    calls,
    histories,
    users,
    roles,
    sessions,
    /** Resolves when that many streams are open. */
    untilStreams: (count: number) => until(() => streams.size === count),
    /** Resolves when history was asked that often, by questions that match. */
    untilHistory: (count: number, matches: (query: URLSearchParams) => boolean = () => true) =>
      until(() => histories.filter(matches).length >= count),
    /** Sends the next snapshot, `seconds` after the last one. */
    tick: (seconds = 2, change: (snapshot: HostSnapshot) => HostSnapshot = (snapshot) => snapshot) => {
      state.at += seconds
      for (const controller of streams) controller.enqueue(eventOf(change(snapshotAt(state.at))))
    },
    /** Cuts every open stream, as a lost connection does. */
    cut: () => {
      for (const controller of streams) controller.error(new Error("cut"))
      streams.clear()
    },
    stop: async () => {
      for (const controller of streams) controller.close()
      await listener.stop(0)
      await dashboard.dispose()
    }
  }
}

export type StubGateway = Awaited<ReturnType<typeof startStubGateway>>
