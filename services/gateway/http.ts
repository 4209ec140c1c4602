/** The gateway's own routes (`/auth`, `/.well-known`): login, sessions, tokens, users, roles and grants; one line of Effect per route. */
import { randomBytes } from "node:crypto"
import { jwt } from "@elysiajs/jwt"
import { Context, Effect, Schema } from "effect"
import type { JWTVerifyOptions } from "jose"
import { GrantInput, RoleInput, sessionGrantType, UserPatch } from "#shared/api/auth.ts"
import { PageQuery } from "#shared/api/paging.ts"
import { Forbidden, MalformedRequest, Unauthorized } from "#shared/domain/errors.ts"
import { SessionId, UserId } from "#shared/domain/ids.ts"
import { RoleName } from "#shared/domain/rights.ts"
import { accept, adoptRequestId, describeApp, makeApp, makeRun, readText } from "#shared/http.ts"
import type { Paths } from "#shared/openApi.ts"
import { problemContentType, problemOf } from "#shared/problem.ts"
import type { Built } from "#shared/service.ts"
import { errorAnswer, loginAnswer, prefersHtml } from "./answers.ts"
import { isWithin } from "./canonicalPath.ts"
import { cookieValues, loginCookie, redirectCookie, sessionCookie, setCookie } from "./cookies.ts"
import { crossSite } from "./crossOrigin.ts"
import type { Visit } from "./dataPath.ts"
import { Directory } from "./Directory.ts"
import { type Caller, credentialOf, Gate, type Identified } from "./Gate.ts"
import { Keys } from "./Keys.ts"
import { Logins } from "./Logins.ts"
import type { makeOpenApi } from "./openApi.ts"
import { loginPage, logoutPage, styleSheet } from "./pages.ts"
import { Providers } from "./Providers.ts"
import { safeReturnTo } from "./returnTo.ts"
import { Rights } from "./Rights.ts"
import { routeDetails } from "./routeDetails.ts"
import { Sessions } from "./Sessions.ts"
import { tokenRoutes } from "./tokenEndpoint.ts"
import { Tokens } from "./Tokens.ts"
import type { Workloads } from "./Workloads.ts"

export type Services = Directory | Gate | Keys | Logins | Providers | Rights | Sessions | Tokens | Workloads

/** Own paths that ask by themselves who calls, if they ask at all. */
const withoutLogin = [
  "/auth/login",
  "/auth/callback",
  "/auth/logout",
  "/auth/style.css",
  "/auth/token",
  "/auth/revoke",
  "/.well-known"
]

interface Options {
  readonly publicUrl: string
  readonly environment: string
  /** HMAC key of the login cookie. */
  readonly loginCookieSecret: string
  /** Seconds a session cookie is kept by the browser: the session's absolute limit. */
  readonly sessionSeconds: number
  /** OpenAPI descriptions of all services as one document, by the gateway's own paths and the caller. */
  readonly openapi: ReturnType<typeof makeOpenApi>
}

const SessionsQuery = PageQuery
const UsersQuery = Schema.Struct({
  ...PageQuery.fields,
  q: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^\P{Cc}{0,200}$/u, { expected: "at most 200 printable characters" }))
  )
})
const GrantsQuery = Schema.Struct({ ...PageQuery.fields, userId: Schema.optionalKey(Schema.String) })
const text = Schema.optionalKey(Schema.String.check(Schema.isMaxLength(8192)))
const LoginQuery = Schema.Struct({ provider: text, return_to: text, login_hint: text })
const byId = <S extends Schema.Top>(id: S) => Schema.Struct({ id })

const noStore = { "cache-control": "no-store" }
const html = (body: string, headers: Record<string, string> = {}) =>
  new Response(body, { headers: { "content-type": "text/html; charset=utf-8", ...noStore, ...headers } })
const redirect = (location: string, cookies: ReadonlyArray<string>) => {
  const headers = new Headers({ location, ...noStore })
  for (const cookie of cookies) headers.append("set-cookie", cookie)
  return new Response(null, { status: 302, headers })
}
const loginAudience = "gatehouse-login"
type Verify = (token: string, options: JWTVerifyOptions) => Promise<Readonly<Record<string, unknown>> | false>

/** The random name that the login cookie gives this browser. */
const browserOf = async (request: Request, verify: Verify): Promise<string | undefined> => {
  const values = cookieValues(request.headers.get("cookie"), loginCookie)
  if (values.length !== 1) return undefined
  const claims = await verify(values[0]!, {
    algorithms: ["HS256"],
    audience: loginAudience,
    requiredClaims: ["aud", "exp"]
  })
  return claims !== false && typeof claims["browser"] === "string" ? claims["browser"] : undefined
}

/** JSON that no cache keeps; `status` 200 unless told. */
const json = (value: unknown, status = 200) => Response.json(value, { status, headers: noStore })
const noContent = () => new Response(null, { status: 204, headers: noStore })
const idempotencyKey = (request: Request) =>
  Effect.suspend(() => {
    const key = request.headers.get("idempotency-key") ?? undefined
    const sound = key === undefined || /^[\x21-\x7e]{1,200}$/u.test(key)
    return sound
      ? Effect.succeed(key)
      : Effect.fail(new MalformedRequest({ detail: "Idempotency-Key: 1 to 200 printable characters" }))
  })

/** The handler of the gateway's own paths. Requests come through the data path, which has judged host, path and method. */
export const makeHttp = (built: Built<Services>, options: Options) => {
  const visits = new WeakMap<Request, Visit>()
  const visitOf = (request: Request): Visit => visits.get(request)!
  const run = makeRun(built.runtime)
  const origin = new URL(options.publicUrl).origin

  /** The caller of an own route; a change by cookie must come from our own pages. */
  const callerOf = Effect.fnUntraced(function* (request: Request) {
    const gate = yield* Gate
    const identified = yield* gate.identify(credentialOf(request.headers))
    if (identified._tag === "Anonymous")
      return yield* new Unauthorized({ detail: "this needs a login", challenge: "Bearer" })
    if (identified._tag === "Stale") {
      const challenge =
        identified.via === "bearer"
          ? `Bearer error="invalid_token", error_description="${identified.reason}"`
          : "Bearer"
      return yield* new Unauthorized({ detail: identified.reason, challenge })
    }
    if (identified.caller.via === "cookie" && crossSite(request.method, request.headers, origin)) {
      return yield* new Forbidden({ detail: "this request comes from another site's page" })
    }
    return identified.caller
  })

  /** The caller if they hold `auth:<action>` here. */
  const allowed = Effect.fnUntraced(function* (request: Request, action: string) {
    const caller = yield* callerOf(request)
    const gate = yield* Gate
    const snapshot = yield* Rights.use((rights) => rights.snapshot)
    if (!gate.allows(snapshot, caller, { environment: options.environment, service: "auth", action })) {
      return yield* new Forbidden({ detail: `needs the right auth:${action} in ${options.environment}` })
    }
    return { userId: caller.userId, requestId: visitOf(request).requestId }
  })

  /** A token that is confined to some scope may not manage the sessions of its user. */
  const ownSessions = Effect.fnUntraced(function* (request: Request) {
    const caller = yield* callerOf(request)
    if (caller.scope !== undefined && !caller.scope.has("*:*") && !caller.scope.has("auth:*")) {
      return yield* new Forbidden({ detail: "this token is confined to other services" })
    }
    return caller
  })

  const me = Effect.fnUntraced(function* (caller: Caller) {
    const user = yield* Directory.use((directory) => directory.user(caller.userId))
    const snapshot = yield* Rights.use((rights) => rights.snapshot)
    const found = yield* Sessions.use((sessions) => sessions.findById(caller.sessionId))
    if (found._tag === "None") return yield* new Unauthorized({ detail: "the session has ended", challenge: "Bearer" })
    const session = found.value
    return json({
      user,
      environment: options.environment,
      roles: snapshot.roleNames(caller.userId),
      rights: snapshot.rights(caller.userId) ?? [],
      session: {
        id: session.id,
        kind: session.kind,
        authTime: new Date(session.authTime).toISOString(),
        expiresAt: new Date(session.expiresAt).toISOString()
      }
    })
  })

  const logout = Effect.fnUntraced(function* (request: Request) {
    const byToken = request.headers.has("authorization")
    // Also without a session: another site's form comes without the cookie, and its answer would still take it away.
    if (!byToken && crossSite(request.method, request.headers, origin)) {
      return yield* new Forbidden({ detail: "this request comes from another site's page" })
    }
    const caller = yield* Effect.catchTag(ownSessions(request), "Unauthorized", (error) =>
      // Whose session has ended already wants the cookie gone all the same.
      byToken ? Effect.fail(error) : Effect.succeed(undefined)
    )
    if (caller !== undefined) {
      yield* Effect.catchTag(
        Sessions.use((sessions) => sessions.end(caller.userId, caller.sessionId, "logout")),
        "NotFound",
        () => Effect.void
      )
    }
    const cookies = [setCookie(sessionCookie, "", 0), setCookie(redirectCookie, "", 0)]
    const answer = prefersHtml(request.headers) ? redirect("/auth/login", cookies) : noContent()
    if (answer.status === 204) for (const cookie of cookies) answer.headers.append("set-cookie", cookie)
    else answer.headers.set("location", "/auth/login")
    answer.headers.set("clear-site-data", '"cache"')
    return answer.status === 302 ? new Response(null, { status: 303, headers: answer.headers }) : answer
  })

  const app = makeApp({
    name: "gateway",
    runtime: built.runtime,
    ownBody: ["/auth/logout", "/auth/token", "/auth/revoke"]
  })
    .use(jwt({ name: "loginJwt", secret: options.loginCookieSecret, exp: "10m", aud: loginAudience }))
    .get(
      "/auth/style.css",
      () =>
        new Response(styleSheet, {
          headers: { "content-type": "text/css; charset=utf-8", "cache-control": "public, max-age=3600" }
        }),
      { detail: routeDetails.style }
    )
    .get(
      "/auth/login",
      async ({ loginJwt, query, request }) => {
        const browser = (await browserOf(request, loginJwt.verify)) ?? randomBytes(16).toString("base64url")
        const cookie = setCookie(loginCookie, await loginJwt.sign({ browser, aud: loginAudience }), 600)
        const { login_hint, provider, return_to } = query
        if (provider === undefined) {
          return run(
            request,
            Effect.gen(function* () {
              // Who is logged in by now, in another tab perhaps, goes where they wanted to; with the DB away the page is shown.
              const who = yield* Effect.option(Gate.use((gate) => gate.identify(credentialOf(request.headers))))
              if (who._tag === "Some" && who.value._tag === "Caller")
                return redirect(safeReturnTo(return_to, origin), [])
              const { list } = yield* Providers
              const choices = yield* Effect.forEach(list, ({ available, id, label }) =>
                Effect.map(available, (is) => ({ id, label, available: is }))
              )
              return html(loginPage(options.environment, choices, safeReturnTo(return_to, origin)), {
                "set-cookie": cookie
              })
            })
          )
        }
        const hints: Record<string, string> = login_hint === undefined ? {} : { login_hint }
        return run(
          request,
          Effect.map(
            Logins.use((logins) => logins.begin({ provider, browser, returnTo: return_to, hints })),
            (url) => redirect(url.href, [cookie])
          )
        )
      },
      { query: accept(LoginQuery, "/query"), detail: routeDetails.login }
    )
    .get(
      "/auth/callback/:provider",
      async ({ loginJwt, params, request }) => {
        const browser = await browserOf(request, loginJwt.verify)
        const visit = visitOf(request)
        const query = new URLSearchParams(visit.target.query)
        const one = (name: string) => (query.getAll(name).length === 1 ? query.get(name)! : undefined)
        return run(
          request,
          Effect.gen(function* () {
            const previous = yield* Gate.use((gate) => gate.identify(credentialOf(request.headers))).pipe(
              Effect.map((who) => (who._tag === "Caller" && who.caller.via === "cookie" ? who.caller : undefined)),
              Effect.orElseSucceed(() => undefined)
            )
            const done = yield* Logins.use((logins) =>
              logins.complete({
                provider: params.provider,
                browser,
                repeated: [...query.keys()].some((name) => query.getAll(name).length > 1),
                state: one("state"),
                code: one("code"),
                error: one("error"),
                iss: one("iss"),
                userAgent: request.headers.get("user-agent"),
                ip: visit.clientAddress,
                requestId: visit.requestId,
                previous: previous && { userId: previous.userId, id: previous.sessionId }
              })
            )
            return redirect(done.returnTo, [
              setCookie(sessionCookie, done.secret, options.sessionSeconds),
              setCookie(redirectCookie, "", 0),
              ...(done.pending ? [] : [setCookie(loginCookie, "", 0)])
            ])
          })
        )
      },
      { detail: routeDetails.callback }
    )
    .get("/auth/logout", () => html(logoutPage(options.environment)), { detail: routeDetails.logoutPage })
    .post("/auth/logout", ({ request }) => run(request, logout(request)), { detail: routeDetails.logout })
    .get("/auth/me", ({ request }) => run(request, Effect.flatMap(callerOf(request), me)), { detail: routeDetails.me })
    .get(
      "/auth/sessions",
      ({ query, request }) =>
        run(
          request,
          Effect.gen(function* () {
            const caller = yield* ownSessions(request)
            const limit = query.limit ?? 50
            if (query.cursor !== undefined && !Schema.is(SessionId)(query.cursor)) {
              return yield* new MalformedRequest({ detail: "the cursor is not one of ours" })
            }
            const rows = yield* Sessions.use((sessions) =>
              sessions.list(caller.userId, caller.sessionId, limit + 1, query.cursor)
            )
            const items = rows.slice(0, limit)
            return json({ items, nextCursor: rows.length > limit ? items[items.length - 1]!.id : null })
          })
        ),
      { query: accept(SessionsQuery, "/query"), detail: routeDetails.sessions }
    )
    .delete(
      "/auth/sessions/:id",
      ({ params, request }) =>
        run(
          request,
          Effect.flatMap(ownSessions(request), (caller) =>
            Sessions.use((sessions) => sessions.end(caller.userId, params.id, "ended by its user"))
          ).pipe(Effect.map(noContent))
        ),
      { params: accept(byId(SessionId), "/params"), detail: routeDetails.endSession }
    )
    .post("/auth/token", ({ request }) => run(request, endpoint.token(request, visitOf(request))), {
      detail: routeDetails.token
    })
    .post("/auth/revoke", ({ request }) => run(request, endpoint.revoke(request, visitOf(request))), {
      detail: routeDetails.revoke
    })
    .get(
      "/auth/users",
      ({ query, request }) =>
        run(
          request,
          Effect.andThen(
            allowed(request, "read"),
            Effect.map(
              Directory.use((d) => d.users({ limit: query.limit ?? 50, cursor: query.cursor, search: query.q })),
              (page) => json(page)
            )
          )
        ),
      { query: accept(UsersQuery, "/query"), detail: routeDetails.users }
    )
    .patch(
      "/auth/users/:id",
      ({ body, params, request }) =>
        run(
          request,
          Effect.flatMap(allowed(request, "write"), (actor) =>
            Directory.use((d) => d.setDisabled(params.id, body.disabled, actor))
          ).pipe(Effect.map((user) => json(user)))
        ),
      { params: accept(byId(UserId), "/params"), body: accept(UserPatch), detail: routeDetails.changeUser }
    )
    .get(
      "/auth/roles",
      ({ request }) =>
        run(
          request,
          Effect.andThen(
            allowed(request, "read"),
            Directory.use((d) => d.roles)
          ).pipe(Effect.map((items) => json({ items })))
        ),
      { detail: routeDetails.roles }
    )
    .put(
      "/auth/roles/:name",
      ({ body, params, request }) =>
        run(
          request,
          Effect.flatMap(allowed(request, "write"), (actor) =>
            Directory.use((d) => d.putRole(params.name, body, actor))
          ).pipe(Effect.map((role) => json(role)))
        ),
      {
        params: accept(Schema.Struct({ name: RoleName }), "/params"),
        body: accept(RoleInput),
        detail: routeDetails.putRole
      }
    )
    .delete(
      "/auth/roles/:name",
      ({ params, request }) =>
        run(
          request,
          Effect.flatMap(allowed(request, "write"), (actor) =>
            Directory.use((d) => d.deleteRole(params.name, actor))
          ).pipe(Effect.map(noContent))
        ),
      { params: accept(Schema.Struct({ name: RoleName }), "/params"), detail: routeDetails.deleteRole }
    )
    .get(
      "/auth/grants",
      ({ query, request }) =>
        run(
          request,
          Effect.andThen(
            allowed(request, "read"),
            Directory.use((d) => d.grants({ limit: query.limit ?? 50, cursor: query.cursor, userId: query.userId }))
          ).pipe(Effect.map((page) => json(page)))
        ),
      { query: accept(GrantsQuery, "/query"), detail: routeDetails.grants }
    )
    .post(
      "/auth/grants",
      ({ body, request }) =>
        run(
          request,
          Effect.gen(function* () {
            const actor = yield* allowed(request, "write")
            const key = yield* idempotencyKey(request)
            const { created, grant } = yield* Directory.use((d) => d.grant(body, actor, key))
            return json(grant, created ? 201 : 200)
          })
        ),
      { body: accept(GrantInput), detail: routeDetails.grant }
    )
    .delete(
      "/auth/grants/:id",
      ({ params, request }) =>
        run(
          request,
          Effect.flatMap(allowed(request, "write"), (actor) => Directory.use((d) => d.revoke(params.id, actor))).pipe(
            Effect.map(noContent)
          )
        ),
      { detail: routeDetails.revokeGrant }
    )
    .get("/.well-known/jwks.json", ({ request }) => run(request, endpoint.jwks(request)), { detail: routeDetails.jwks })
    .get("/.well-known/oauth-authorization-server", () => Response.json(endpoint.metadata), {
      detail: routeDetails.metadata
    })
    .get(
      "/openapi",
      ({ request }) =>
        run(
          request,
          Effect.flatMap(callerOf(request), (caller) =>
            options.openapi(ownDescription, caller, visitOf(request).requestId)
          ).pipe(Effect.map((document) => json(document)))
        ),
      { detail: routeDetails.openapi }
    )
  const sessions = Context.get(built.context, Sessions)
  const ownDescription: Paths = describeApp(app)

  const endpoint = tokenRoutes({
    publicUrl: options.publicUrl,
    environment: options.environment,
    callerOf,
    readForm: (request) => readText(request, 16 * 1024),
    sessionGrantType
  })

  return async (request: Request, visit: Visit): Promise<Response> => {
    visits.set(request, visit)
    adoptRequestId(request, visit.requestId)
    const { headers, method } = request
    const { path } = visit.target
    const asked = { method, headers, requestId: visit.requestId }
    const needsLogin = !withoutLogin.some((open) => isWithin(path, open))
    // Before the body is read and judged: a stranger is told to log in, nothing else.
    const who: Identified | Response | undefined = needsLogin
      ? await run(
          request,
          Gate.use((gate) => gate.identify(credentialOf(headers)))
        )
      : undefined
    if (who !== undefined && !(who instanceof Response) && who._tag !== "Caller") {
      return loginAnswer(asked, visit.target, who._tag === "Stale" ? who : undefined)
    }
    const response = who instanceof Response ? who : await app.fetch(request)
    // A cookie that is no session (any more) goes, wherever it is shown; a failed login says nothing about it.
    const credential = credentialOf(headers)
    const newer = credential._tag === "Cookie" && sessions.wasReplaced(credential.secretHash)
    if (response.status === 401 && !newer && !headers.has("authorization") && !isWithin(path, "/auth/callback")) {
      response.headers.append("set-cookie", setCookie(sessionCookie, "", 0))
    }
    if (response.status < 400 || method !== "GET") return response
    if (response.headers.get("content-type") !== problemContentType || !prefersHtml(headers)) return response
    const problem = (await response.json()) as ReturnType<typeof problemOf>
    return errorAnswer(asked, problem)
  }
}
