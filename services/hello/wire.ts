/** The sample service's payloads on the wire; must know no database. */
import { Schema } from "effect"
import { page } from "#shared/api/paging.ts"

const time = Schema.String.annotate({ format: "date-time" })

const Text = Schema.String.check(
  Schema.isPattern(/^[^\p{Cc}\p{Cs}]{1,200}$/u, { expected: "1 to 200 characters of one line" })
)

/** GET /hello: who is asking, as the identity token says. */
export const Welcome = Schema.Struct({
  greeting: Schema.String,
  you: Schema.Struct({ id: Schema.String, name: Schema.String, roles: Schema.Array(Schema.String) }),
  environment: Schema.String
})

/** POST /hello/greetings */
export const GreetingInput = Schema.Struct({ text: Text })

/** An entry of the guest book. */
export const Greeting = Schema.Struct({
  id: Schema.String,
  at: time,
  by: Schema.Struct({ id: Schema.String, name: Schema.String }),
  text: Schema.String
})
export type Greeting = typeof Greeting.Type
export const GreetingPage = page(Greeting)

/** POST /hello/reminders: the greeting is written at that time, by a job of the scheduler. */
export const ReminderInput = Schema.Struct({
  text: Text,
  at: Schema.DateTimeUtcFromString.pipe(Schema.annotateEncoded({ format: "date-time" }))
})

/** What came of it; the job can be looked at under /jobs. */
export const Reminder = Schema.Struct({ jobId: Schema.String, runAt: time })
export type Reminder = typeof Reminder.Type
