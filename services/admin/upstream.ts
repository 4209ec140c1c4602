/** What a failure of the API server means to a caller of this service; must show no credentials and no addresses. */
import { Schema } from "effect"
import type { KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"

/** The service account lacks a right: a matter of its Role, not of the caller. `right` names it as the API server does. */
export class UpstreamForbidden extends Schema.TaggedError<UpstreamForbidden>()(
  "UpstreamForbidden",
  { right: Schema.String },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `the service account may not do this: ${this.right}`
  }
}

/** The API server cannot be asked, does not accept our credentials, or answers with an error of its own. */
export class K8sUnavailable extends Schema.TaggedError<K8sUnavailable>()(
  "K8sUnavailable",
  { reason: Schema.String, retryAfterSeconds: Schema.NullOr(Schema.Int) },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `the Kubernetes API cannot be asked: ${this.reason}`
  }
}

export type Upstream = UpstreamForbidden | K8sUnavailable

/** For a read that has no answer of its own for this failure. */
export const upstreamOf = (failed: KubernetesFailed): Upstream =>
  failed.reason === "forbidden"
    ? new UpstreamForbidden({ right: failed.detail })
    : new K8sUnavailable({ reason: failed.reason, retryAfterSeconds: failed.retryAfterSeconds })
