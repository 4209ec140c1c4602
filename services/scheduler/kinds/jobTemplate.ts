/** The `batch/v1` Job of a `kubernetes.job`: one name for one job, whatever crashes, and no more rights than the strictest pod standard leaves; pure. */
import { Schema } from "effect"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

const line = (max: number) => Schema.String.check(Schema.isMaxLength(max))
const pattern = (expression: RegExp, expected: string) =>
  Schema.String.check(Schema.isPattern(expression, { expected }))

export const KubernetesJob = Schema.Struct({
  image: pattern(/^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,499}$/u, "an image reference"),
  command: Schema.optionalKey(Schema.Array(line(4000)).check(Schema.isMaxLength(100))),
  args: Schema.optionalKey(Schema.Array(line(4000)).check(Schema.isMaxLength(100))),
  env: Schema.optionalKey(
    Schema.Record(pattern(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/u, "a variable's name"), line(8000)).check(
      Schema.isMaxProperties(100)
    )
  ),
  /** Limits, and requests too: what is not asked for cannot be had. */
  cpu: Schema.optionalKey(pattern(/^(?:[1-9][0-9]{0,4}m|[1-9][0-9]?)$/u, "CPU such as 500m or 2")),
  memory: Schema.optionalKey(pattern(/^[1-9][0-9]{0,6}(?:Ki|Mi|Gi)$/u, "memory such as 256Mi")),
  /** After which it is stopped. */
  timeoutSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400 }))),
  /** How long Kubernetes keeps it after its end. */
  ttlSecondsAfterFinished: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 60, maximum: 604_800 })))
})
export type KubernetesJob = typeof KubernetesJob.Type

export const attemptAnnotation = "gatehouse/attempt"
const container = "job"

/** The Job's name: the same for every attempt, so that a repeated start finds what there is instead of making a second. */
export const jobName = (jobId: string): string => `gatehouse-${jobId}`

interface Place {
  readonly attempt: number
  readonly jobId: string
  readonly namespace: string
  readonly priorityClass: string | undefined
}

export const jobObject = (
  payload: KubernetesJob,
  { attempt, jobId, namespace, priorityClass }: Place
): KubernetesObject => {
  const labels = { "app.kubernetes.io/managed-by": "gatehouse-scheduler", "gatehouse/job": jobId }
  const resources = { cpu: payload.cpu ?? "500m", memory: payload.memory ?? "256Mi" }
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobName(jobId),
      namespace,
      labels,
      annotations: { [attemptAnnotation]: String(attempt) }
    },
    spec: {
      // Attempts are the scheduler's to count.
      backoffLimit: 0,
      activeDeadlineSeconds: payload.timeoutSeconds ?? 3600,
      ttlSecondsAfterFinished: payload.ttlSecondsAfterFinished ?? 3600,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: "Never",
          ...(priorityClass === undefined ? {} : { priorityClassName: priorityClass }),
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
          containers: [
            {
              name: container,
              image: payload.image,
              ...(payload.command === undefined ? {} : { command: payload.command }),
              ...(payload.args === undefined ? {} : { args: payload.args }),
              ...(payload.env === undefined
                ? {}
                : { env: Object.entries(payload.env).map(([name, value]) => ({ name, value })) }),
              resources: { limits: resources, requests: resources },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ["ALL"] }
              }
            }
          ]
        }
      }
    }
  }
}
