/** Writes POSIX tar archives whose bytes depend on nothing but their content: sorted entries, one time, root's files; must read no file. */

/** One thing in an archive: a file with `data`, a link with `target`, otherwise a folder. */
export interface Entry {
  /** Without a leading slash, at most 100 bytes. */
  readonly path: string
  readonly data?: Uint8Array
  readonly target?: string
  /** Permission bits; 755 for a folder, 644 for a file, 777 for a link unless told. */
  readonly mode?: number
}

const block = 512

/** A ustar header (POSIX.1-1988): numbers in octal text, names of people left out. */
const header = (entry: Entry, seconds: number): Buffer => {
  const folder = entry.data === undefined && entry.target === undefined
  const name = folder ? `${entry.path}/` : entry.path
  const bytes = Buffer.alloc(block)
  const put = (at: number, text: string, room: number) => {
    if (Buffer.byteLength(text) > room) throw new Error(`too long for a tar header: ${text}`)
    bytes.write(text, at, "utf8")
  }
  const octal = (at: number, value: number, digits: number) => put(at, value.toString(8).padStart(digits, "0"), digits)
  put(0, name, 100)
  octal(100, entry.mode ?? (entry.data === undefined ? (folder ? 0o755 : 0o777) : 0o644), 7)
  octal(108, 0, 7)
  octal(116, 0, 7)
  octal(124, entry.data?.length ?? 0, 11)
  octal(136, seconds, 11)
  put(148, " ".repeat(8), 8)
  put(156, folder ? "5" : entry.target === undefined ? "0" : "2", 1)
  put(157, entry.target ?? "", 100)
  put(257, "ustar\u000000", 8)
  octal(
    148,
    bytes.reduce((sum, byte) => sum + byte, 0),
    6
  )
  put(154, "\u0000 ", 2)
  return bytes
}

const foldersAbove = (path: string): ReadonlyArray<string> =>
  path
    .split("/")
    .slice(0, -1)
    .map((_, at, parts) => parts.slice(0, at + 1).join("/"))

/** Sorted by path, with every folder that is missing above one: an archive's order must not depend on a disk's. */
export const complete = (entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> => {
  const byPath = new Map<string, Entry>()
  for (const entry of entries) {
    for (const path of foldersAbove(entry.path)) if (!byPath.has(path)) byPath.set(path, { path })
    byPath.set(entry.path, entry)
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** The archive; every entry's time of change is `seconds` after 1970. Throws where a name does not fit a header. */
export const tar = (entries: ReadonlyArray<Entry>, seconds: number): Buffer =>
  Buffer.concat([
    ...complete(entries).flatMap((entry) => {
      const { data } = entry
      const filling = Buffer.alloc((block - ((data?.length ?? 0) % block)) % block)
      return data === undefined ? [header(entry, seconds)] : [header(entry, seconds), data, filling]
    }),
    Buffer.alloc(2 * block)
  ])
