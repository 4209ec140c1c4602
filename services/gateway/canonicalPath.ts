/** The one canonical form of a request's path (spec R1): what is matched, logged and forwarded; must decide before any router sees the request. */

/** A route may allow single characters of this set in its paths; no route may allow another. */
export const optionalCharacters = [";"] as const
export type OptionalCharacter = (typeof optionalCharacters)[number]

export interface Target {
  /** The path, byte-equal in rule match, log and upstream. */
  readonly path: string
  /** The query with its `?`, or "". */
  readonly query: string
  /** Optional characters that the path holds; the route must allow each. */
  readonly needs: ReadonlyArray<OptionalCharacter>
}

/** Bytes of path and query together. */
export const maxTargetLength = 8192

/** Paths of unreserved characters, sub-delimiters but `;`, and single slashes: nearly all there are. */
const plain = /^(?:\/|(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9\-_~!$&'()*+,=:@.]+)+\/?)$/u
const printable = /^[\x21-\x7e]*$/u
const brokenEscape = /%(?![0-9A-Fa-f]{2})/u
/** Characters that some parser treats as structure: a path that turns into one of them when decoded is not canonical. */
const structural = /[/\\#?;\u0000-\u001f\u007f]/u
const dots = /^\.{1,2}$/u

/** A segment decoded once, or undefined where its bytes are no UTF-8 (overlong forms of `/` and `.` among them). */
const decodeOnce = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/**
 * Whether every parser reads this one segment as the same name, however often it decodes and whether or not it folds
 * compatibility forms (U+FF0F) first. `;` is looked at apart, because a route may allow it.
 */
const isOneName = (segment: string, semicolonAllowed: boolean): boolean => {
  let current = segment
  for (let depth = 0; depth < 8; depth++) {
    if (dots.test(current) || dots.test(current.split(";")[0]!)) return false
    const folded = current.normalize("NFKC")
    if (folded !== current && (structural.test(folded) || dots.test(folded))) return false
    const inner = depth === 0 || semicolonAllowed ? current.replaceAll(";", "") : current
    if (structural.test(inner)) return false
    if (!current.includes("%")) return true
    // Below the first level an escape that is none ends the decoding: the text stays as it is in every parser.
    if (depth > 0 && brokenEscape.test(current)) return true
    const next = decodeOnce(current)
    if (next === undefined) return false
    if (next === current) return true
    current = next
  }
  return false
}

/**
 * The canonical target of an absolute request URL, or the reason it has none (400). The URL is what the listener made of
 * the request line: what it normalised is judged, and sent, in that form.
 */
export const canonicalTarget = (url: string, origin: string): Target | string => {
  if (!url.startsWith(origin)) return "the request target is not for this host"
  const target = url.slice(origin.length)
  if (target.length > maxTargetLength) return "the request target is too long"
  const mark = target.indexOf("?")
  const path = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? "" : target.slice(mark)
  if (query !== "" && (!printable.test(query) || query.includes("#")))
    return "the query holds a character that must be escaped"
  if (plain.test(path)) return { path, query, needs: [] }
  return examine(path, query)
}

const examine = (path: string, query: string): Target | string => {
  if (!path.startsWith("/")) return "the path does not begin with /"
  if (!printable.test(path)) return "the path holds a byte outside printable ASCII"
  if (path.includes("\\") || path.includes("#")) return "the path holds \\ or #"
  if (path.includes("//")) return "the path holds an empty segment"
  if (brokenEscape.test(path)) return "the path holds a broken percent escape"
  const semicolon = path.includes(";") || /%(?:25)*3b/iu.test(path)
  for (const segment of path.slice(1).split("/")) {
    if (!isOneName(segment, semicolon)) return "the path can be read in more than one way"
  }
  return { path, query, needs: semicolon ? [";"] : [] }
}

/** Whether `path` is `prefix` or lies below it, on whole segments, by case. */
export const isWithin = (path: string, prefix: string): boolean =>
  prefix === "/" ||
  (path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 47))
