/** Lists of the simulated API server: selection, pages with `continue`, watches; must change nothing. */
import { apiVersionOf } from "../objects.ts"
import type { Kind } from "./kinds.ts"
import { badRequest, expired } from "./refusal.ts"
import { fieldSelector, labelSelector } from "./selectors.ts"
import type { Store } from "./store.ts"
import { columnsOf, rowOf, tableOf } from "./table.ts"
import type { Timeline } from "./timeline.ts"
import type { Watches } from "./watches.ts"
import { type Fields, nameOf, namespaceOf } from "./values.ts"

const number = (query: URLSearchParams, key: string): number | undefined => {
  const text = query.get(key)
  if (text === null || text === "") return undefined
  if (!/^\d{1,9}$/u.test(text)) throw badRequest(`invalid ${key}: ${JSON.stringify(text)}`)
  return Number(text)
}

/** Where a list goes on: the version it is of, and the last key it gave. */
const encodeToken = (version: number, after: string) =>
  Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: version, start: after })).toString("base64url")
const decodeToken = (text: string): { readonly version: number; readonly after: string } => {
  const found = /"rv":(\d+),"start":"([^"]*)"/u.exec(Buffer.from(text, "base64url").toString("utf8"))
  if (found === null) throw badRequest("continue key is not valid")
  return { version: Number(found[1]), after: found[2]! }
}

const keyOf = (object: Fields) => `${namespaceOf(object)}/${nameOf(object)}`

export interface Reading {
  readonly kind: Kind
  readonly namespace: string | undefined
  /** Of a watch or list of one name by its path. */
  readonly name?: string
  readonly query: URLSearchParams
  /** The client wants a Table (kubectl). */
  readonly table: boolean
}

export const makeReads = (store: Store, timeline: Timeline, watches: Watches) => {
  const matching = ({ kind, name, query }: Reading) => {
    const labels = labelSelector(query.get("labelSelector") ?? "")
    const fields = fieldSelector(kind, query.get("fieldSelector") ?? "")
    return (object: Fields) => (name === undefined || nameOf(object) === name) && labels(object) && fields(object)
  }
  const objects = (reading: Reading) => ({
    single: (object: Fields): Fields =>
      reading.table ? tableOf(reading.kind, [object], timeline.now(), object) : object
  })

  const list = (reading: Reading): Fields => {
    const { kind, query } = reading
    const limit = number(query, "limit")
    const token = query.get("continue")
    const position = token === null || token === "" ? undefined : decodeToken(token)
    if (position !== undefined && store.since(position.version) === undefined) {
      throw expired("The provided continue parameter is too old to display a consistent list result.")
    }
    const version = position?.version ?? store.version()
    const all = store
      .all(kind, reading.namespace)
      .filter(matching(reading))
      .filter((object) => position === undefined || keyOf(object) > position.after)
    const page = limit === undefined || limit === 0 ? all : all.slice(0, limit)
    const more = page.length < all.length
    const metadata: Fields = {
      resourceVersion: String(version),
      ...(more
        ? { continue: encodeToken(version, keyOf(page.at(-1)!)), remainingItemCount: all.length - page.length }
        : {})
    }
    if (reading.table) return { ...tableOf(kind, page, timeline.now()), metadata }
    return {
      kind: `${kind.kind}List`,
      apiVersion: apiVersionOf(kind),
      metadata,
      items: page.map(({ apiVersion: _, kind: __, ...rest }) => rest)
    }
  }

  const watch = (reading: Reading): Response => {
    const { kind, namespace, query } = reading
    let first = true
    const shown = (object: Fields): Fields => {
      if (!reading.table) return object
      const columns = first ? columnsOf(kind) : []
      first = false
      return {
        kind: "Table",
        apiVersion: "meta.k8s.io/v1",
        metadata: { resourceVersion: String(store.version()) },
        columnDefinitions: columns,
        rows: [rowOf(kind, object, timeline.now())]
      }
    }
    return watches.open({
      kind,
      namespace,
      matches: matching(reading),
      resourceVersion: query.get("resourceVersion") ?? "",
      timeoutSeconds: number(query, "timeoutSeconds"),
      bookmarks: query.get("allowWatchBookmarks") === "true",
      initialEvents: query.get("sendInitialEvents") === "true",
      shown
    })
  }
  return { list, watch, single: (reading: Reading, object: Fields) => objects(reading).single(object) }
}
