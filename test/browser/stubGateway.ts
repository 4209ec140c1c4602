/** A gateway for browser tests: serves the real dashboard service and plays the API from memory, its streams under the test's control. */
import type { Me, Right } from "#shared/api/auth.ts"
import { make } from "#dashboard/service.ts"
import { identityHeader } from "#shared/auth.ts"
import { listen } from "#shared/bun.ts"
import { makeIdentityTokens } from "#test/dashboard/identityTokens.ts"
import { makeMe } from "./demoPeople.ts"
import { makeAdmin } from "./stub/admin.ts"
import { empty, notFound, refused } from "./stub/answers.ts"
import { makeHost } from "./stub/host.ts"
import { makeWatch } from "./stub/jobs.ts"
import { makePeople } from "./stub/people.ts"

export interface StubOptions {
  /** Folder of the built web app. */
  readonly assets: string
  readonly environment?: string
  /** Name of the user who is logged in. */
  readonly as?: string
  /** Rights beside those of their roles. */
  readonly rights?: ReadonlyArray<Right>
}

export interface Call {
  readonly method: string
  readonly path: string
  readonly body: string
  readonly idempotencyKey: string | null
}

const contentSecurityPolicy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
const services = new Set(["auth", "monitor", "admin", "jobs"])

export const startStubGateway = async ({
  as = "Olga Owner",
  assets,
  environment = "nightly",
  rights = []
}: StubOptions) => {
  const issuer = "https://gatehouse.test"
  const tokens = makeIdentityTokens(issuer, environment)
  const people = makePeople(environment)
  const host = makeHost()
  const person = people.users.find(({ name }) => name === as)!
  const known = makeMe(person, environment, people.roles)
  const me: Me = { ...known, rights: [...known.rights, ...rights] }
  const actor = { id: person.id, name: person.name }
  const admin = makeAdmin(environment, actor)
  const watch = makeWatch(environment, actor, admin.proposals)
  /** Every change, with its body. */
  const calls: Array<Call> = []
  const state = Object.assign(host.state, {
    loggedIn: true,
    /** Answered in the name of the gateway to the next change. */
    refusal: undefined as Response | undefined
  })

  const route = async (request: Request): Promise<Response> => {
    const url = new URL(request.url)
    const parts = url.pathname.slice(1).split("/")
    if (url.pathname === "/.well-known/jwks.json") return Response.json(tokens.jwks)
    if (url.pathname === "/auth/login") {
      return new Response("<!doctype html><title>Log in</title><h1>Log in</h1>", {
        headers: { "content-type": "text/html" }
      })
    }
    if (!services.has(parts[0]!)) {
      const forwarded = new Request(request, { headers: new Headers(request.headers) })
      forwarded.headers.set(identityHeader, tokens.token({ scope: "dashboard:read" }))
      return dashboard.fetch(forwarded)
    }
    if (!state.loggedIn) return refused(401, "unauthorized", "log in")
    if (request.method === "GET") {
      if (url.pathname === "/auth/me") return Response.json(me)
      if (parts[0] === "auth") return people.read(parts, url.searchParams)
      if (parts[0] === "monitor") return host.answer(request, url)
      if (parts[0] === "admin") return admin.read(request, parts, url.searchParams)
      return watch.read(request, parts, url.searchParams)
    }
    const body = await request.text()
    calls.push({
      method: request.method,
      path: url.pathname,
      body,
      idempotencyKey: request.headers.get("idempotency-key")
    })
    if (request.headers.get("origin") !== url.origin) return refused(403, "forbidden", "foreign origin")
    if (state.refusal !== undefined) return state.refusal.clone()
    if (url.pathname === "/auth/logout") {
      state.loggedIn = false
      return empty()
    }
    if (parts[0] === "admin") return admin.change(parts, body)
    if (parts[0] === "jobs") return watch.change(request.method, parts, body)
    return people.change(request.method, parts, body)
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
    admin,
    watch,
    histories: host.histories,
    users: people.users,
    roles: people.roles,
    sessions: people.sessions,
    /** Resolves when that many streams of host values are open. */
    untilStreams: host.streams.untilOpen,
    untilHistory: host.untilHistory,
    tick: host.tick,
    /** Cuts every open stream of host values, as a lost connection does. */
    cut: host.streams.cut,
    stop: async () => {
      for (const streams of [host.streams, ...admin.everyStream, ...watch.everyStream]) streams.end()
      await listener.stop(0)
      await dashboard.dispose()
    }
  }
}

export type StubGateway = Awaited<ReturnType<typeof startStubGateway>>
