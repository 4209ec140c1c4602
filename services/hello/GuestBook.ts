/** The guest book in its table; the service's one file with SQL, and must know no HTTP. */
import { Context, Effect, Layer } from "effect"
import type { Page, PageQuery } from "#shared/api/paging.ts"
import { MalformedRequest, type Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import type { Greeting } from "./wire.ts"

interface NewGreeting {
  readonly by: Greeting["by"]
  readonly text: string
  /** The same key of the same user is the same greeting. */
  readonly key: string | undefined
}

export class GuestBook extends Context.Service<
  GuestBook,
  {
    /** Writes a greeting, or finds the one that was written with this key. */
    readonly sign: (
      greeting: NewGreeting
    ) => Effect.Effect<{ readonly created: boolean; readonly greeting: Greeting }, Unavailable>
    /** Newest first. */
    readonly list: (page: PageQuery) => Effect.Effect<Page<Greeting>, MalformedRequest | Unavailable>
  }
>()("gatehouse/hello/GuestBook") {
  static readonly layer = Layer.effect(
    GuestBook,
    Effect.suspend(() => makeGuestBook)
  )
}

interface Row {
  readonly id: string
  readonly at: Date
  readonly user_id: string
  readonly name: string
  readonly text: string
}

const greetingOf = ({ at, id, name, text, user_id }: Row): Greeting => ({
  id,
  at: at.toISOString(),
  by: { id: user_id, name },
  text
})

const defaultLimit = 50
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u

/** A cursor is the last id of its page: ids are made in the order of time. */
const placeOf = (cursor: string): string | undefined => {
  const id = Buffer.from(cursor, "base64url").toString()
  return uuid.test(id) ? id : undefined
}

const makeGuestBook = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  return GuestBook.of({
    sign: Effect.fn("GuestBook.sign")(function* ({ by, key = null, text }) {
      const row = { user_id: by.id, name: by.name, text, idempotency_key: key }
      return yield* database.run(
        Effect.gen(function* () {
          const made = yield* sql<Row>`
            INSERT INTO greetings ${sql.insert(row)} ON CONFLICT (user_id, idempotency_key) DO NOTHING RETURNING *`
          const [found] =
            made.length > 0
              ? made
              : yield* sql<Row>`SELECT * FROM greetings WHERE user_id = ${by.id} AND idempotency_key = ${key}`
          return { created: made.length > 0, greeting: greetingOf(found!) }
        })
      )
    }),
    list: Effect.fn("GuestBook.list")(function* ({ cursor, limit = defaultLimit }) {
      const before = cursor === undefined ? null : placeOf(cursor)
      if (before === undefined) return yield* new MalformedRequest({ detail: "the cursor is not one of ours" })
      const rows = yield* database.run(
        sql<Row>`SELECT * FROM greetings WHERE ${before}::uuid IS NULL OR id < ${before}::uuid
          ORDER BY id DESC LIMIT ${limit + 1}`
      )
      const items = rows.slice(0, limit).map(greetingOf)
      const last = rows.length > limit ? items.at(-1) : undefined
      return { items, nextCursor: last === undefined ? null : Buffer.from(last.id).toString("base64url") }
    })
  })
})
