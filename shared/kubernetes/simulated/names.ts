/** Names that controllers make up: random suffixes and the hash of a pod template; must know no object. */
import { createHash, randomInt } from "node:crypto"
import { type Fields, isFields, type Value } from "./values.ts"

/** No vowels and no digits that look like letters, as in apimachinery's SafeEncodeString. */
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

/** Five characters, as in pod names. */
export const suffix = (): string => Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join("")

const sorted = (value: Value | undefined): Value => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isFields(value)) return value ?? null
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .flatMap((key) => (value[key] === undefined ? [] : [[key, sorted(value[key])]]))
  )
}

/** Ten characters that are the same for the same template. */
export const templateHash = (template: Fields): string =>
  [
    ...createHash("sha256")
      .update(JSON.stringify(sorted(template)))
      .digest()
      .subarray(0, 10)
  ]
    .map((byte) => alphabet[byte % alphabet.length])
    .join("")
