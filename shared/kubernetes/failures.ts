/** How an answer of an API server becomes a KubernetesFailed; must send nothing. */
import { Option, Schema } from "effect"
import { KubernetesFailed } from "./Kubernetes.ts"

const Status = Schema.Struct({
  kind: Schema.Literals(["Status"]),
  message: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String),
  code: Schema.optionalKey(Schema.Number),
  details: Schema.optionalKey(
    Schema.Struct({
      causes: Schema.optionalKey(
        Schema.Array(
          Schema.Struct({
            reason: Schema.optionalKey(Schema.String),
            message: Schema.optionalKey(Schema.String),
            field: Schema.optionalKey(Schema.String)
          })
        )
      ),
      retryAfterSeconds: Schema.optionalKey(Schema.Number)
    })
  )
})
const decodeStatus = Schema.decodeUnknownOption(Status)

/** Text of an answer that is no Status; an error page of a proxy is not worth more. */
const shown = (text: string) => text.slice(0, 500).trim()

/** A server-side apply of unknown or mistyped fields is answered 500 without a reason, though the input is at fault. */
const typedPatch = /^failed to create typed patch object/u

const reasonOf = (code: number, reason: string | undefined, message: string): KubernetesFailed["reason"] => {
  if (code === 500 && typedPatch.test(message)) return "invalid"
  if (code === 401) return "unauthorized"
  if (code === 403) return "forbidden"
  if (code === 404) return "not_found"
  if (code === 409) return reason === "AlreadyExists" ? "already_exists" : "conflict"
  if (code === 410) return "gone"
  if (code === 429) return "too_many_requests"
  return code >= 500 ? "server" : "invalid"
}

export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * A patch whose result cannot be decoded is refused in words that hold the whole object as JSON, a Secret's data and
 * annotations too. Nobody downstream expects that in an error, so it ends here.
 */
const withoutObject = (text: string) =>
  text.replace(/(patch: |^)Invalid value: "(?:map\[|\{)(?:[^"\\]|\\.)*": /u, "$1Invalid value: ")

const secondsOf = (header: string | null): number | null =>
  header !== null && /^\d{1,6}$/u.test(header) ? Number(header) : null

/** Of an answer with a status of 400 or more, or of the Status object of a watch's ERROR event. */
export const failureOf = (code: number, body: unknown, text: string, retryAfter: string | null): KubernetesFailed => {
  const status = Option.getOrUndefined(decodeStatus(body))
  const told = status?.details?.retryAfterSeconds
  return new KubernetesFailed({
    reason: reasonOf(code, status?.reason, status?.message ?? ""),
    status: code,
    detail:
      (status?.message === undefined ? undefined : withoutObject(status.message)) ?? (shown(text) || `HTTP ${code}`),
    causes: (status?.details?.causes ?? []).map(({ field = "", message = "", reason = "" }) => ({
      reason,
      message: withoutObject(message),
      field
    })),
    retryAfterSeconds: secondsOf(retryAfter) ?? (told === undefined ? null : Math.ceil(told)),
    sent: true
  })
}

/** Of the object of an ERROR event; a Status without a code, or none at all, is a broken stream. */
export const failureOfEvent = (object: unknown): KubernetesFailed => {
  const code = Option.getOrUndefined(decodeStatus(object))?.code
  return code === undefined || !Number.isInteger(code) || code < 400
    ? formatFailed("a watch event of type ERROR without a Status")
    : failureOf(code, object, "", null)
}

export const formatFailed = (detail: string): KubernetesFailed =>
  new KubernetesFailed({ reason: "format", status: null, detail, causes: [], retryAfterSeconds: null, sent: true })

export const unreachable = (detail: string, sent: boolean): KubernetesFailed =>
  new KubernetesFailed({ reason: "unreachable", status: null, detail, causes: [], retryAfterSeconds: null, sent })
