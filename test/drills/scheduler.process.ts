/** A scheduler as it runs in production, with three more kinds of job: one that works, one that kills its process, one that is slow. */
import { appendFileSync } from "node:fs"
import { Effect, Layer, Schema } from "effect"
import { done, JobHandlers } from "#scheduler/JobHandler.ts"
import { make } from "#scheduler/service.ts"
import { listen } from "#shared/bun.ts"

/** Each start and each end is one line of this file: what happened, whoever died. */
const record = process.env["DRILL_RECORD"]!
const note = (what: string, id: string, attempt: number) => appendFileSync(record, `${what} ${id} ${attempt}\n`)

const handlers = Layer.effectDiscard(
  JobHandlers.use((all) =>
    Effect.gen(function* () {
      const common = { version: 1, description: "for a drill", payload: Schema.Struct({ millis: Schema.Int }) }
      yield* all.register({
        ...common,
        kind: "drill.work",
        run: Effect.fnUntraced(function* ({ millis }, { attempt, jobId, log }) {
          note("start", jobId, attempt)
          yield* log("info", "at work")
          yield* Effect.sleep(millis)
          note("end", jobId, attempt)
          return done({ attempt })
        })
      })
      yield* all.register({
        ...common,
        kind: "drill.poison",
        run: (_, { attempt, jobId }) =>
          Effect.sync(() => {
            note("start", jobId, attempt)
            process.kill(process.pid, "SIGKILL")
            return done()
          })
      })
    })
  )
)

const service = await make(undefined, { handlers })
const { port } = listen(service, { hostname: "127.0.0.1", port: 0 })
process.send?.({ port })
