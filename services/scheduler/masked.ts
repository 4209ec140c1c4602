/** A payload as people may read it: values whose names speak of secrets are masked, and tokens wherever they stand; must change nothing else. */
import { redact } from "#shared/telemetry.ts"

const secretName =
  /pass(?:word|wd|phrase)?$|^pass|secret|token|api[-_]?key|private[-_]?key|authori[sz]ation|credential|cookie/iu

const mask = "***"

const maskedValue = (value: unknown): unknown => {
  if (typeof value === "string") return redact(value)
  if (Array.isArray(value)) return value.map(maskedValue)
  if (typeof value === "object" && value !== null) return masked(value)
  return value
}

/** The environment variables of a container, `{name, value}`, carry their name in a field of its own. */
const isNamedSecret = (value: object) =>
  "name" in value && typeof value.name === "string" && secretName.test(value.name)

export const masked = (payload: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(payload).map(([key, value]) => {
      const secret = secretName.test(key) || (key === "value" && isNamedSecret(payload))
      return [key, secret && value !== null && value !== "" ? mask : maskedValue(value)]
    })
  )
