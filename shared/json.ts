/** Reads JSON text from outside as strictly as every reader after us would have to agree with; must know nothing of requests. */
import { MalformedRequest } from "./domain/errors.ts"

/** Objects and arrays nested deeper than this are refused: no payload of ours needs it, and decoders recurse. */
const maxDepth = 64

/** NUL as JSON writes it; with one backslash more it is six harmless characters of somebody's program or pattern. */
const nulEscape = /(?<!\\)(?:\\\\)*\\u0000/u

/** Half of a UTF-16 pair as JSON writes it, maybe beside its other half. */
const surrogateEscape = /\\u[dD][89a-fA-F]/u

/** Whether each string of it, keys included, is text: no half of a pair alone, which UTF-8 cannot say (RFC 7493 §2.1). */
const isText = (value: unknown): boolean => {
  if (typeof value === "string") return value.isWellFormed()
  if (typeof value !== "object" || value === null) return true
  if (Array.isArray(value)) return value.every(isText)
  return Object.entries(value).every(([key, one]) => key.isWellFormed() && isText(one))
}

/**
 * How deep JSON text nests and how many members its objects have in all; looks at what stands outside of strings only, before
 * anything is built, and no further than the first bracket that is too deep.
 */
const shapeOf = (text: string): { readonly deep: boolean; readonly members: number } => {
  let depth = 0
  let members = 0
  let inString = false
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index)
    if (inString) {
      if (char === 92) index++
      else if (char === 34) inString = false
    } else if (char === 34) inString = true
    else if (char === 58) members++
    else if (char === 123 || char === 91) {
      if (++depth > maxDepth) return { deep: true, members }
    } else if (char === 125 || char === 93) depth--
  }
  return { deep: false, members }
}

const keysOf = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 0
  let keys = 0
  if (Array.isArray(value)) {
    for (const one of value) keys += keysOf(one)
    return keys
  }
  for (const one of Object.values(value)) keys += 1 + keysOf(one)
  return keys
}

/**
 * The value of JSON text, which is called `what` in complaints. Throws MalformedRequest where it is none, nests too deep, holds a
 * NUL character or half of a character, or names a key of an object twice, of which each reader would take another one
 * (RFC 8259 §4).
 */
export const parseJson = (text: string, what = "the body"): unknown => {
  const { deep, members } = shapeOf(text)
  if (deep) throw new MalformedRequest({ detail: `${what} nests deeper than ${maxDepth} levels` })
  if (text.includes("\0") || nulEscape.test(text)) {
    throw new MalformedRequest({ detail: `${what} contains a NUL character` })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new MalformedRequest({ detail: `${what} is not valid JSON` })
  }
  if (surrogateEscape.test(text) && !isText(value)) {
    throw new MalformedRequest({ detail: `${what} contains half of a character` })
  }
  // In valid JSON each member has the one colon outside of strings; of two with the same key one is lost.
  if (keysOf(value) < members) throw new MalformedRequest({ detail: `${what} names a key of an object twice` })
  return value
}
