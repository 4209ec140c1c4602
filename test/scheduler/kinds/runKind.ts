/** Runs one handler by hand, with what it logs beside its outcome. */
import { Cause, Effect, Exit, Layer } from "effect"
import { type JobContext, type JobFailed, JobHandlers, type Outcome } from "#scheduler/JobHandler.ts"

export interface Ran {
  readonly outcome: Outcome | undefined
  readonly failure: JobFailed | undefined
  readonly log: ReadonlyArray<string>
}

/** The kind of a layer, once: `run` gives outcome or failure; a defect rejects. */
export const kindOf = async (kind: string, layer: Layer.Layer<never, never, JobHandlers>) => {
  const handler = await Effect.runPromise(
    Effect.provide(
      JobHandlers.use((handlers) => Effect.sync(() => handlers.find(kind)!)),
      Layer.provideMerge(layer, JobHandlers.layer)
    )
  )
  return {
    handler,
    run: async (payload: unknown, given: Partial<JobContext> = {}): Promise<Ran> => {
      const log: Array<string> = []
      const context: JobContext = {
        jobId: "0193b2a4-0000-7000-8000-000000000001",
        attempt: 1,
        maxAttempts: 5,
        fence: 1,
        log: (_, message) => Effect.sync(() => void log.push(message)),
        ...given
      }
      const exit = await Effect.runPromiseExit(handler.run(payload, context))
      if (Exit.isSuccess(exit)) return { outcome: exit.value, failure: undefined, log }
      const error = Cause.findErrorOption(exit.cause)
      if (error._tag === "None") throw new Error(Cause.pretty(exit.cause))
      return { outcome: undefined, failure: error.value, log }
    }
  }
}
