/** The sample service's routes: who may read is told and shown, who may greet may write. */
import { Effect, Schema } from "effect"
import { PageQuery } from "#shared/api/paging.ts"
import { forAnyCaller, Identity } from "#shared/auth.ts"
import { MalformedRequest } from "#shared/domain/errors.ts"
import { accept, describeApp, guarded, makeApp, makeRun, requestIdOf } from "#shared/http.ts"
import { detail, documentOf } from "#shared/openApi.ts"
import type { Built, Service } from "#shared/service.ts"
import { GuestBook } from "./GuestBook.ts"
import { Reminders } from "./Reminders.ts"
import { Greeting, GreetingInput, GreetingPage, Reminder, ReminderInput, Welcome } from "./wire.ts"

export type HelloServices = Identity | GuestBook | Reminders

const json = (value: unknown, status = 200) =>
  Response.json(value, { status, headers: { "cache-control": "no-store" } })

/** The caller, if the gateway's identity token says that they hold `hello:<action>` here. */
const caller = (request: Request, action: "read" | "greet") =>
  Identity.use((identity) => identity.authorize(request, action))

const keyOf = (request: Request) =>
  Effect.suspend(() => {
    const key = request.headers.get("idempotency-key") ?? undefined
    const sound = key === undefined || /^[\x21-\x7e]{1,200}$/u.test(key)
    return sound
      ? Effect.succeed(key)
      : Effect.fail(new MalformedRequest({ detail: "Idempotency-Key: 1 to 200 printable characters" }))
  })

const welcome = Effect.fnUntraced(function* (request: Request, greeting: string) {
  const { environment, name, roles, userId } = yield* caller(request, "read")
  return json({ greeting: `${greeting}, ${name}!`, you: { id: userId, name, roles }, environment })
})

const list = Effect.fnUntraced(function* (request: Request, page: PageQuery) {
  yield* caller(request, "read")
  return json(yield* GuestBook.use((book) => book.list(page)))
})

const sign = Effect.fnUntraced(function* (request: Request, { text }: typeof GreetingInput.Type) {
  const { name, userId } = yield* caller(request, "greet")
  const key = yield* keyOf(request)
  const { created, greeting } = yield* GuestBook.use((book) => book.sign({ by: { id: userId, name }, text, key }))
  return json(greeting, created ? 201 : 200)
})

const remind = Effect.fnUntraced(function* (request: Request, { at, text }: typeof ReminderInput.Type) {
  const { userId } = yield* caller(request, "greet")
  const key = (yield* keyOf(request)) ?? requestIdOf(request)
  // The job is this service's, whoever asks: without the user two of them could not use the same key.
  return json(yield* Reminders.use((reminders) => reminders.ask(text, at, `${userId}/${key}`)), 202)
})

const described = {
  welcome: detail({ summary: "Who am I here", tag: "hello", answers: { 200: Welcome } }),
  list: detail({ summary: "The guest book, newest first", tag: "hello", answers: { 200: GreetingPage } }),
  sign: detail({
    summary: "Write into the guest book",
    tag: "hello",
    headers: { "Idempotency-Key": "The same key is the same greeting, answered 200" },
    answers: { 200: Greeting, 201: Greeting },
    problems: [422]
  }),
  remind: detail({
    summary: "Have a greeting written later, by a job of the scheduler",
    tag: "hello",
    headers: { "Idempotency-Key": "The same key is the same reminder" },
    answers: { 202: Reminder },
    problems: [422]
  }),
  openapi: detail({
    summary: "This description",
    tag: "hello",
    answers: { 200: Schema.Record(Schema.String, Schema.Unknown) }
  })
}

const makeRoutes = (built: Built<HelloServices>, greeting: string) => {
  const run = makeRun(built.runtime)
  const app = makeApp({ name: "hello", runtime: built.runtime })
    .get("/hello", ({ request }) => run(request, welcome(request, greeting)), { detail: described.welcome })
    .get("/hello/greetings", ({ query, request }) => run(request, list(request, query)), {
      query: accept(PageQuery, "/query"),
      detail: described.list
    })
    .post("/hello/greetings", ({ body, request }) => run(request, sign(request, body)), {
      body: accept(GreetingInput),
      detail: described.sign
    })
    .post("/hello/reminders", ({ body, request }) => run(request, remind(request, body)), {
      body: accept(ReminderInput),
      detail: described.remind
    })
    .get("/hello/openapi.json", ({ request }) => run(request, forAnyCaller(request, document)), {
      detail: described.openapi
    })
  const document: object = documentOf("Gatehouse hello", describeApp(app))
  return app
}

/** The service's `fetch`; `greeting` is what is said to who comes. */
export const makeFetch =
  (greeting: string) =>
  (built: Built<HelloServices>): Service["fetch"] => {
    const app = makeRoutes(built, greeting)
    return guarded((request) => app.fetch(request))
  }
