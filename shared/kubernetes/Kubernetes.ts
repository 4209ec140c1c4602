/** The port to one Kubernetes API server: raw JSON in and out, typed failures, TLS always verified; must know no service and interpret no object. */
import { Context, type Effect, Schema, type Stream } from "effect"
import type { Json, KubernetesList, KubernetesObject, Resource } from "./objects.ts"

/** One cause of a refusal (meta/v1 StatusCause): for a conflict `field` and, in `message`, the other manager. */
export const StatusCause = Schema.Struct({
  reason: Schema.String,
  message: Schema.String,
  field: Schema.String
})
export type StatusCause = typeof StatusCause.Type

/**
 * The API server refused or could not be asked. `reason`: `unreachable` (network, TLS, timeout before an answer),
 * `unauthorized` 401, `forbidden` 403, `not_found` 404, `conflict` 409, `already_exists` 409 AlreadyExists, `gone` 410,
 * `invalid` 400/422, `too_many_requests` 429, `server` 5xx, `format` (an answer that is none). `sent` says whether the request
 * may have reached the server: after a lost write only a read tells what became of it.
 */
export class KubernetesFailed extends Schema.TaggedError<KubernetesFailed>()("KubernetesFailed", {
  reason: Schema.Literals([
    "unreachable",
    "unauthorized",
    "forbidden",
    "not_found",
    "conflict",
    "already_exists",
    "gone",
    "invalid",
    "too_many_requests",
    "server",
    "format"
  ]),
  /** HTTP status, null where there was no answer. */
  status: Schema.NullOr(Schema.Int),
  /** The server's own words (Status.message), or what went wrong on the way. */
  detail: Schema.String,
  causes: Schema.Array(StatusCause),
  retryAfterSeconds: Schema.NullOr(Schema.Int),
  sent: Schema.Boolean
}) {
  override get message() {
    return `Kubernetes API: ${this.reason}: ${this.detail}`
  }
}

/** Where an object is; `namespace` is left out for cluster-scoped kinds. */
export interface Place {
  readonly resource: Resource
  readonly namespace?: string
  readonly name: string
}

export interface Selection {
  readonly resource: Resource
  /** All namespaces if absent. */
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

/** What a write gives back: the object as the server has it now (or, for a dry run, would have it) and its `Warning:` headers. */
export interface Written {
  readonly object: KubernetesObject
  readonly warnings: ReadonlyArray<string>
  /** For apply: whether the object was created by it (HTTP 201). */
  readonly created: boolean
}

/**
 * A watch as its consumer sees it: first `Synced` with the whole list, then single changes; again `Synced` after every
 * relist (410, long silence). `Stale` when the connection is lost and could not be had again at once, `since` the loss
 * (milliseconds since 1970), and again with each failed attempt; a `Synced` ends it.
 */
export type WatchEvent =
  | { readonly _tag: "Synced"; readonly list: KubernetesList }
  | { readonly _tag: "Changed"; readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: KubernetesObject }
  | { readonly _tag: "Stale"; readonly since: number; readonly failure: KubernetesFailed }

export type Patch =
  | { readonly type: "json"; readonly body: ReadonlyArray<{ readonly [key: string]: Json | undefined }> }
  | { readonly type: "strategic" | "merge"; readonly body: { readonly [key: string]: unknown } }

export interface WriteOptions {
  readonly fieldManager?: string
  readonly dryRun?: boolean
}

export interface LogOptions {
  readonly namespace: string
  readonly pod: string
  readonly container?: string
  /** The container's last terminated instance. */
  readonly previous?: boolean
  readonly follow?: boolean
  /** Lines from the end; 0 gives none, absent all. */
  readonly tailLines?: number
  readonly sinceSeconds?: number
  /** Each line starts with its RFC 3339 time and a space. */
  readonly timestamps?: boolean
  readonly limitBytes?: number
}

/** One API server. Every call is bounded in time (30 s unless it streams), and retried only where asking twice is harmless. */
export class Kubernetes extends Context.Service<
  Kubernetes,
  {
    readonly get: (place: Place) => Effect.Effect<KubernetesObject, KubernetesFailed>
    /** Every object of the selection, page by page (500 each), of one snapshot. */
    readonly list: (selection: Selection) => Effect.Effect<KubernetesList, KubernetesFailed>
    /** Never fails and never ends: reconnects, resumes by bookmark, relists on 410. */
    readonly watch: (selection: Selection) => Stream.Stream<WatchEvent>
    /** Server-side apply: `fieldValidation=Strict`, `force` false unless told. The object's own kind must be the resource's. */
    readonly apply: (
      place: Place,
      object: KubernetesObject,
      options: WriteOptions & { readonly fieldManager: string; readonly force?: boolean }
    ) => Effect.Effect<Written, KubernetesFailed>
    readonly create: (
      selection: Pick<Selection, "resource" | "namespace">,
      object: KubernetesObject,
      options?: WriteOptions
    ) => Effect.Effect<Written, KubernetesFailed>
    /** `subresource`: "status", "scale". No fieldManager parameter is sent unless given. */
    readonly patch: (
      place: Place & { readonly subresource?: string },
      patch: Patch,
      options?: WriteOptions
    ) => Effect.Effect<Written, KubernetesFailed>
    /** Background propagation unless told; `uid` is a precondition. */
    readonly delete: (
      place: Place,
      options?: { readonly uid?: string; readonly propagation?: "Background" | "Foreground" | "Orphan" }
    ) => Effect.Effect<void, KubernetesFailed>
    /** Lines of a container's log without their line ends; with `follow` until the container ends. Fails `not_found` or `invalid` (no previous container) at its start. */
    readonly logs: (options: LogOptions) => Stream.Stream<string, KubernetesFailed>
    /** A subresource or virtual resource by POST: TokenReview, SubjectAccessReview, `serviceaccounts/x/token`. `path` starts with /api. */
    readonly post: (path: string, body: KubernetesObject) => Effect.Effect<KubernetesObject, KubernetesFailed>
    /** The resource of a kind by discovery, or undefined where the server does not serve it. Cached for ten minutes. */
    readonly resourceOf: (apiVersion: string, kind: string) => Effect.Effect<Resource | undefined, KubernetesFailed>
    /** The server answers `/readyz`; bounded to 2 s. */
    readonly ready: Effect.Effect<void, KubernetesFailed>
    /** What this is, for logs and pages: "https://10.43.0.1:443" or "simulated cluster". */
    readonly description: string
  }
>()("gatehouse/shared/Kubernetes") {}
