/** How the simulated API server says no: meta/v1 Status objects with the codes, reasons and words of the real one. */
import type { Kind } from "./kinds.ts"
import type { Fields } from "./values.ts"

export interface Cause {
  readonly reason: string
  readonly message: string
  readonly field: string
}

/** Thrown inside the simulation, answered as a Status; never leaves it as an exception. */
export class Refusal extends Error {
  readonly code: number
  readonly reason: string
  readonly details: Fields

  constructor(code: number, reason: string, message: string, details: Fields = {}) {
    super(message)
    this.code = code
    this.reason = reason
    this.details = details
  }
}

const about = (kind: Kind, name: string): Fields => ({
  name,
  ...(kind.group === "" ? {} : { group: kind.group }),
  kind: kind.plural
})
/** `deployments.apps "web"`, as in messages. */
const quoted = (kind: Kind, name: string) =>
  `${kind.plural}${kind.group === "" ? "" : `.${kind.group}`} ${JSON.stringify(name)}`
const fullKind = (kind: Kind) => `${kind.kind}${kind.group === "" ? "" : `.${kind.group}`}`

export const notFound = (kind: Kind, name: string) =>
  new Refusal(404, "NotFound", `${quoted(kind, name)} not found`, about(kind, name))
export const noSuchPath = () => new Refusal(404, "NotFound", "the server could not find the requested resource")
/** What the real server's handlers fail with where nobody thought of a better answer. */
export const internal = (message: string) => new Refusal(500, "", message)
export const alreadyExists = (kind: Kind, name: string) =>
  new Refusal(409, "AlreadyExists", `${quoted(kind, name)} already exists`, about(kind, name))
export const badRequest = (message: string) => new Refusal(400, "BadRequest", message)
export const notAllowed = () =>
  new Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
export const expired = (message: string) => new Refusal(410, "Expired", message)
export const unsupportedMedia = () => new Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type")

/** Somebody else has written meanwhile. */
export const modified = (kind: Kind, name: string) =>
  new Refusal(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${quoted(kind, name)}: the object has been modified; please apply your changes to the latest version and try again`,
    about(kind, name)
  )
/** A precondition of a deletion does not hold. */
export const precondition = (
  kind: Kind,
  name: string,
  what: "UID" | "ResourceVersion",
  wanted: string,
  found: string
) =>
  new Refusal(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${kind.kind} ${JSON.stringify(name)}: the ${what} in the precondition (${wanted}) does not match the ${what} in record (${found}). The object might have been ${what === "UID" ? "deleted and then recreated" : "modified"}`,
    { name, kind: kind.kind }
  )
export const forbidden = (kind: Kind, name: string, why: string) =>
  new Refusal(403, "Forbidden", `${quoted(kind, name)} is forbidden: ${why}`, about(kind, name))

const listed = (causes: ReadonlyArray<Cause>) => {
  const texts = [...new Set(causes.map(({ field, message }) => `${field}: ${message}`))]
  return texts.length === 1 ? texts[0]! : `[${texts.join(", ")}]`
}
const asFields = (causes: ReadonlyArray<Cause>): Array<Fields> =>
  causes.map(({ field, message, reason }) => ({ reason, message, field }))

export const invalid = (kind: Kind, name: string, causes: ReadonlyArray<Cause>) =>
  new Refusal(422, "Invalid", `${fullKind(kind)} ${JSON.stringify(name)} is invalid: ${listed(causes)}`, {
    name,
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.kind,
    causes: asFields(causes)
  })
/** A JSON patch that cannot be carried out, a failed `test` among them: the real server does not tell which. */
export const unprocessable = () =>
  new Refusal(422, "Invalid", "the server rejected our request due to an error in our request")
/** A patch whose result cannot be decoded. As on a real server the message holds the whole result, secrets too. */
export const badPatch = (result: string, why: string) => {
  const cause = {
    reason: "FieldValueInvalid",
    message: `Invalid value: ${JSON.stringify(result)}: ${why}`,
    field: "patch"
  }
  return new Refusal(422, "Invalid", ` "" is invalid: ${listed([cause])}`, { causes: asFields([cause]) })
}
/** A query parameter of a write that is none. */
export const badOption = (kind: string, cause: Cause) =>
  new Refusal(422, "Invalid", `${kind}.meta.k8s.io "" is invalid: ${listed([cause])}`, {
    group: "meta.k8s.io",
    kind,
    causes: asFields([cause])
  })

/** Server-side apply met fields of others. */
export const conflicts = (causes: ReadonlyArray<Cause>) =>
  new Refusal(
    409,
    "Conflict",
    `Apply failed with ${causes.length} conflict${causes.length === 1 ? "" : "s"}: ${
      causes.length === 1
        ? `${causes[0]!.message}: ${causes[0]!.field}`
        : causes.map(({ field, message }) => `${message}:\n- ${field}`).join("\n")
    }`,
    { causes: asFields(causes) }
  )

/** Come without details. */
const bare = new Set(["", "BadRequest"])

export const statusOf = (refusal: Refusal): Fields => ({
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message: refusal.message,
  ...(refusal.reason === "" ? {} : { reason: refusal.reason }),
  ...(bare.has(refusal.reason) ? {} : { details: refusal.details }),
  code: refusal.code
})
