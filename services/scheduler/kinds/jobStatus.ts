/** Reads from a Job and its pods what became of them; pure, and wary of every field. */
import { Option, Schema } from "effect"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

const JobStatus = Schema.Struct({
  status: Schema.Struct({
    conditions: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          type: Schema.String,
          status: Schema.String,
          reason: Schema.optionalKey(Schema.String),
          message: Schema.optionalKey(Schema.String)
        })
      )
    )
  })
})
const decodeJob = Schema.decodeUnknownOption(JobStatus)

export interface JobPhase {
  readonly phase: "active" | "complete" | "failed"
  /** Why it failed, "" otherwise. */
  readonly reason: string
}

export const phaseOf = (job: KubernetesObject): JobPhase => {
  const conditions = Option.match(decodeJob(job), { onNone: () => [], onSome: ({ status }) => status.conditions ?? [] })
  const is = (type: string) => conditions.find((one) => one.type === type && one.status === "True")
  if (is("Complete") !== undefined) return { phase: "complete", reason: "" }
  const failed = is("Failed")
  return failed === undefined ? { phase: "active", reason: "" } : { phase: "failed", reason: failed.reason ?? "Failed" }
}

const Pod = Schema.Struct({
  status: Schema.Struct({
    containerStatuses: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          state: Schema.optionalKey(
            Schema.Struct({
              terminated: Schema.optionalKey(
                Schema.Struct({ exitCode: Schema.Int, reason: Schema.optionalKey(Schema.String) })
              )
            })
          )
        })
      )
    )
  })
})
const decodePod = Schema.decodeUnknownOption(Pod)

/** How the pod's container ended, null while it has not. */
export const exitOf = (pod: KubernetesObject): { readonly exitCode: number; readonly reason: string } | null => {
  const statuses = Option.match(decodePod(pod), {
    onNone: () => [],
    onSome: ({ status }) => status.containerStatuses ?? []
  })
  const ended = statuses[0]?.state?.terminated
  return ended === undefined ? null : { exitCode: ended.exitCode, reason: ended.reason ?? "" }
}
