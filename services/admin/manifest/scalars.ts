/** What kubectl makes of a plain YAML scalar, and what YAML 1.2 does; where the two differ the text is refused. Pure. */

/** A scalar's value as it goes over the wire. */
export type Value = string | number | boolean | null

export type Reading =
  | { readonly _tag: "Value"; readonly value: Value }
  | { readonly _tag: "Ambiguous"; readonly kubectl: string; readonly plain: string }
  | { readonly _tag: "TooLarge" }
  | { readonly _tag: "NotANumber" }

/** kubectl's table (go-yaml v2, resolve.go): words of YAML 1.1. */
const kubectlWords = new Map<string, Value>([
  ...["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"].map((word) => [word, true] as const),
  ...["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"].map((word) => [word, false] as const),
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const)
])

/** The same of YAML 1.2's core schema. */
const plainWords = new Map<string, Value>([
  ...["true", "True", "TRUE"].map((word) => [word, true] as const),
  ...["false", "False", "FALSE"].map((word) => [word, false] as const),
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const)
])

/** Values that JSON has no word for. */
const notJson = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/u

/** A number, or an integer that is exact only as a bigint. */
type Numeric = number | bigint

/** `strconv.ParseInt(text, 0, 64)` and ParseUint: a prefix names the base, a leading zero is octal. */
const goInteger = (text: string): bigint | undefined => {
  const match = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))$/u.exec(text)
  if (match === null) return undefined
  const [, sign, hex, binary, octal, decimal] = match
  const digits =
    hex !== undefined
      ? `0x${hex}`
      : binary !== undefined
        ? `0b${binary}`
        : octal !== undefined
          ? `0o${octal}`
          : decimal!
  return sign === "-" ? -BigInt(digits) : BigInt(digits)
}

const float = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/u

const kubectlNumber = (text: string): Numeric | undefined => {
  // Only what starts as a number is tried as one; underscores may stand anywhere in it.
  if (!/^[-+0-9.]/u.test(text)) return undefined
  if (text.startsWith(".")) return float.test(text) ? Number(text) : undefined
  const plain = text.replaceAll("_", "")
  return goInteger(plain) ?? (float.test(plain) ? Number(plain) : undefined)
}

const plainNumber = (text: string): Numeric | undefined => {
  if (/^[-+]?[0-9]+$/u.test(text)) return BigInt(text.replace(/^\+/u, ""))
  if (/^0o[0-7]+$/u.test(text) || /^0x[0-9a-fA-F]+$/u.test(text)) return BigInt(text)
  return float.test(text) ? Number(text) : undefined
}

const read = (text: string, words: ReadonlyMap<string, Value>, number: (text: string) => Numeric | undefined) =>
  words.has(text) ? words.get(text)! : (number(text) ?? text)

const shown = (value: Value | bigint): string =>
  value === null ? "null" : typeof value === "string" ? `the text "${value.slice(0, 40)}"` : String(value)

/** The exact value of a float that is a whole number, so that `08` and `8` are one. */
const normal = (value: Value | bigint): Value | bigint =>
  typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value

/** What a plain (unquoted) scalar means, if it means one thing. Quoted ones are text and do not come here. */
export const readPlain = (text: string): Reading => {
  if (notJson.test(text)) return { _tag: "NotANumber" }
  const kubectl = normal(read(text, kubectlWords, kubectlNumber))
  const plain = normal(read(text, plainWords, plainNumber))
  if (kubectl !== plain) return { _tag: "Ambiguous", kubectl: shown(kubectl), plain: shown(plain) }
  if (typeof kubectl === "bigint") {
    const value = Number(kubectl)
    return Number.isSafeInteger(value) ? { _tag: "Value", value } : { _tag: "TooLarge" }
  }
  if (typeof kubectl === "number" && (!Number.isFinite(kubectl) || Math.abs(kubectl) > Number.MAX_SAFE_INTEGER)) {
    return { _tag: "TooLarge" }
  }
  return { _tag: "Value", value: kubectl }
}
