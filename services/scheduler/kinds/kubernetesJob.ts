/** The job kind `kubernetes.job`: runs a container to its end as a Kubernetes Job and records what it said; holds no worker while it runs. */
import { Clock, Effect, Layer, Stream } from "effect"
import { Kubernetes, type KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { again, done, type JobContext, JobFailed, JobHandlers } from "../JobHandler.ts"
import { exitOf, phaseOf } from "./jobStatus.ts"
import { attemptAnnotation, jobName, jobObject, KubernetesJob } from "./jobTemplate.ts"

/** Seconds between two looks at a Job that runs; a cluster answers many such questions a second. */
const lookEvery = 3

/** Last lines of the container's log that are kept. */
const lastLines = 100

const failed = (error: KubernetesFailed) => {
  const final = error.reason === "invalid" || error.reason === "forbidden"
  return new JobFailed({ detail: error.message, retryable: !final })
}

interface Options {
  readonly namespace: string
  /** Of the pods: what gives way first where a node is full. */
  readonly priorityClass?: string | undefined
}

const makeHandler = Effect.fnUntraced(function* ({ namespace, priorityClass }: Options) {
  const handlers = yield* JobHandlers
  const kubernetes = yield* Kubernetes
  const placeOf = (jobId: string) => ({ resource: resources.Job, namespace, name: jobName(jobId) })

  const find = (jobId: string) =>
    kubernetes.get(placeOf(jobId)).pipe(
      Effect.catchIf(
        (error) => error.reason === "not_found",
        () => Effect.succeed(undefined)
      )
    )

  /** Creates the Job; one that is there already, by whoever's hand, is it. */
  const create = (payload: KubernetesJob, { attempt, jobId }: JobContext) =>
    kubernetes
      .create(
        { resource: resources.Job, namespace },
        jobObject(payload, { attempt, jobId, namespace, priorityClass }),
        {
          fieldManager: "gatehouse-scheduler"
        }
      )
      .pipe(
        Effect.asVoid,
        Effect.catchIf(
          (error) => error.reason === "already_exists",
          () => Effect.void
        )
      )

  const remove = (job: KubernetesObject) => {
    const { name, uid } = job.metadata
    return kubernetes.delete({ resource: resources.Job, namespace, name }, uid === undefined ? {} : { uid }).pipe(
      Effect.catchIf(
        (error) => error.reason === "not_found" || error.reason === "conflict",
        () => Effect.void
      )
    )
  }

  /** Exit status and last lines of the Job's pod; what cannot be had is left out, the outcome stands without it. */
  const record = Effect.fnUntraced(function* ({ jobId, log }: JobContext) {
    const labelSelector = `batch.kubernetes.io/job-name=${jobName(jobId)}`
    const pods = yield* kubernetes.list({ resource: resources.Pod, namespace, labelSelector })
    const pod = pods.items.at(-1)
    if (pod === undefined) return { pod: null, exitCode: null, reason: "" }
    yield* kubernetes.logs({ namespace, pod: pod.metadata.name, tailLines: lastLines }).pipe(
      Stream.runForEach((text) => log("info", text)),
      Effect.catch((error) => log("warn", `the container's log cannot be had: ${error.message}`))
    )
    return { pod: pod.metadata.name, exitCode: null, reason: "", ...exitOf(pod) }
  })

  yield* handlers.register({
    kind: "kubernetes.job",
    version: 1,
    description: "Run a container to its end as a Kubernetes Job of the namespace",
    payload: KubernetesJob,
    target: ({ image }) => `job/${image}`,
    run: Effect.fn("kubernetes.job")(
      function* (payload, context) {
        const { attempt, jobId, log } = context
        const later = again(new Date((yield* Clock.currentTimeMillis) + lookEvery * 1000), "runs in the cluster")
        const job = yield* find(jobId)
        if (job === undefined) {
          yield* create(payload, context)
          yield* log("info", `created Job ${jobName(jobId)} in ${namespace}`)
          return later
        }
        const state = phaseOf(job)
        if (state.phase === "active") return later
        const madeBy = Number(job.metadata.annotations?.[attemptAnnotation] ?? attempt)
        if (state.phase === "failed" && madeBy < attempt) {
          // Its failure was an earlier attempt's: this one begins anew, once the name is free.
          yield* remove(job)
          return later
        }
        const ended = yield* record(context)
        if (state.phase === "complete") return done({ job: jobName(jobId), ...ended })
        const how = ended.exitCode === null ? state.reason : `exit code ${ended.exitCode}`
        return yield* new JobFailed({ detail: `the Job failed: ${how}`, retryable: true })
      },
      Effect.catchTag("KubernetesFailed", (error) => Effect.fail(failed(error)))
    ),
    cancelled: Effect.fn("kubernetes.job.cancelled")(
      function* (jobId) {
        const job = yield* find(jobId)
        if (job !== undefined && phaseOf(job).phase === "active") yield* remove(job)
      },
      Effect.catchTag("KubernetesFailed", (error) => Effect.fail(failed(error)))
    )
  })
})

export const kubernetesJob = (options: Options): Layer.Layer<never, never, JobHandlers | Kubernetes> =>
  Layer.effectDiscard(makeHandler(options))
