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
  /**
   * The path as a reader takes it who decodes it to the end, folds compatibility forms and drops parameters: what is
   * decided for it must equal what is decided for `path`. Undefined where it is the path itself.
   */
  readonly reading: string | undefined
}

/** Bytes of path and query together. */
export const maxTargetLength = 8192

/** Paths of unreserved characters, sub-delimiters but `;`, and single slashes: nearly all there are. */
const plain = /^(?:\/|(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9\-_~!$&'()*+,=:@.]+)+\/?)$/u
const printable = /^[\x21-\x7e]*$/u
const brokenEscape = /%(?![0-9A-Fa-f]{2})/u
const escape = /%[0-9A-Fa-f]{2}/u
/** Characters that some parser treats as structure: a path that turns into one of them when decoded is not canonical. */
const structural = /[/\\#?;\u0000-\u001f\u007f]/u
const dots = /^\.{1,2}$/u
/** Encoded more often than this, a name serves no client. */
const maxLevels = 4

/** Text decoded once; undefined where parsers differ: its bytes are no UTF-8 (overlong `/` and `.` among them), an escape is broken. */
const decodeOnce = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/**
 * The one name that a segment is to every parser, however often it decodes and whether or not it folds compatibility forms
 * (U+FF0F); undefined if there is none. `;` is looked at apart, because a route may allow it.
 */
const nameOf = (segment: string, semicolonAllowed: boolean): string | undefined => {
  let current: string | undefined = segment
  for (let level = 0; level <= maxLevels && current !== undefined; level++) {
    const folded = current.normalize("NFKC")
    const [name = ""] = folded.split(";")
    // A name that is nothing but parameters vanishes for who drops them, and the slashes around it meet.
    if (dots.test(name) || (name === "" && current !== "")) return undefined
    if (structural.test(semicolonAllowed ? current.replaceAll(";", "") : current)) return undefined
    // Folding may make structure, or make and break escapes: then the order of decoding and folding matters.
    if (folded !== current && (structural.test(folded) || escape.test(folded) || escape.test(current))) return undefined
    if (!escape.test(current)) return name
    current = decodeOnce(current)
  }
  return undefined
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
  if (plain.test(path)) return { path, query, needs: [], reading: undefined }
  return examine(path, query)
}

const examine = (path: string, query: string): Target | string => {
  if (!path.startsWith("/")) return "the path does not begin with /"
  if (!printable.test(path)) return "the path holds a byte outside printable ASCII"
  if (path.includes("\\") || path.includes("#")) return "the path holds \\ or #"
  if (path.includes("//")) return "the path holds an empty segment"
  if (brokenEscape.test(path)) return "the path holds a broken percent escape"
  const semicolon = path.includes(";") || /%(?:25)*3b/iu.test(path)
  let reading = ""
  for (const segment of path.slice(1).split("/")) {
    const name = nameOf(segment, semicolon)
    if (name === undefined) return "the path can be read in more than one way"
    reading += `/${name}`
  }
  return { path, query, needs: semicolon ? [";"] : [], reading: reading === path ? undefined : reading }
}

/** Whether `path` is `prefix` or lies below it, on whole segments, by case. */
export const isWithin = (path: string, prefix: string): boolean =>
  prefix === "/" ||
  (path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 47))
