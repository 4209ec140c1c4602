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
export const alreadyExists = (kind: Kind, name: string) =>
  new Refusal(409, "AlreadyExists", `${quoted(kind, name)} already exists`, about(kind, name))
export const badRequest = (message: string) => new Refusal(400, "BadRequest", message)
export const notAllowed = () =>
  new Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
export const expired = (message: string) => new Refusal(410, "Expired", message)
export const unsupportedMedia = (given: string) =>
  new Refusal(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml (got ${given})`
  )

/** Somebody else has written meanwhile. */
export const modified = (kind: Kind, name: string) =>
  new Refusal(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${quoted(kind, name)}: the object has been modified; please apply your changes to the latest version and try again`,
    about(kind, name)
  )
export const precondition = (kind: Kind, name: string, what: string, wanted: string, found: string) =>
  new Refusal(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${quoted(kind, name)}: Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${found}`,
    about(kind, name)
  )

const listed = (causes: ReadonlyArray<Cause>) =>
  causes.length === 1
    ? `${causes[0]!.field}: ${causes[0]!.message}`
    : `[${causes.map(({ field, message }) => `${field}: ${message}`).join(", ")}]`
const asFields = (causes: ReadonlyArray<Cause>): Array<Fields> =>
  causes.map(({ field, message, reason }) => ({ reason, message, field }))

export const invalid = (kind: Kind, name: string, causes: ReadonlyArray<Cause>) =>
  new Refusal(422, "Invalid", `${fullKind(kind)} ${JSON.stringify(name)} is invalid: ${listed(causes)}`, {
    name,
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.kind,
    causes: asFields(causes)
  })
/** A JSON patch that cannot be carried out, a failed `test` among them. */
export const unprocessable = (message: string) =>
  new Refusal(422, "Invalid", "the server rejected our request due to an error in our request", {
    causes: [{ reason: "UnexpectedServerResponse", message, field: "" }]
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

export const statusOf = (refusal: Refusal): Fields => ({
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message: refusal.message,
  reason: refusal.reason,
  ...(Object.keys(refusal.details).length === 0 ? {} : { details: refusal.details }),
  code: refusal.code
})
