/** The simulated etcd: objects by kind and place, one version counter, and a bounded history for watches; must know no rule of any kind. */
import { kindNamed, type Kind } from "./kinds.ts"
import { type Fields, isFields, nameOf, namespaceOf, textAt, type Value } from "./values.ts"

export interface Change {
  readonly type: "ADDED" | "MODIFIED" | "DELETED"
  readonly kind: Kind
  readonly object: Fields
  /** As it was before, for watches whose selector it may have left. */
  readonly before: Fields | undefined
  readonly version: number
}

/** Objects in the store are never changed in place: a change puts another. */
export interface Store {
  readonly version: () => number
  readonly get: (kind: Kind, namespace: string, name: string) => Fields | undefined
  readonly all: (kind: Kind, namespace?: string) => ReadonlyArray<Fields>
  /** Gives the object the next resourceVersion. */
  readonly put: (kind: Kind, object: Fields) => Fields
  readonly remove: (kind: Kind, object: Fields) => void
  /** Changes after `version`, or undefined if that is too long ago to tell. */
  readonly since: (version: number) => ReadonlyArray<Change> | undefined
  readonly subscribe: (listener: (change: Change) => void) => () => void
  /** Forgets the history, as compaction does: older versions are 410 from now on. */
  readonly compact: () => void
  readonly snapshot: () => Fields
  /** Replaces everything; versions go on from the snapshot's. */
  readonly restore: (snapshot: Fields) => void
}

const historyLimit = 5000

/** The objects of one kind in one namespace, with their names in order, where they were asked for since one came or went. */
interface Shelf {
  readonly byName: Map<string, Fields>
  sorted: ReadonlyArray<string> | undefined
}

const namesOf = (shelf: Shelf): ReadonlyArray<string> => (shelf.sorted ??= [...shelf.byName.keys()].toSorted())
const contentOf = (shelf: Shelf | undefined): ReadonlyArray<Fields> =>
  shelf === undefined ? [] : namesOf(shelf).map((name) => shelf.byName.get(name)!)

export const makeStore = (): Store => {
  // As on a real cluster, the first versions are long past.
  let version = 1000
  let compacted = version
  let history: Array<Change> = []
  const objects = new Map<Kind, Map<string, Shelf>>()
  const listeners = new Set<(change: Change) => void>()
  const shelfOf = (kind: Kind, namespace: string): Shelf => {
    const ofKind = objects.get(kind) ?? new Map<string, Shelf>()
    objects.set(kind, ofKind)
    const shelf = ofKind.get(namespace) ?? { byName: new Map(), sorted: undefined }
    ofKind.set(namespace, shelf)
    return shelf
  }
  const shelve = (kind: Kind, object: Fields): Fields | undefined => {
    const shelf = shelfOf(kind, namespaceOf(object))
    const before = shelf.byName.get(nameOf(object))
    shelf.byName.set(nameOf(object), object)
    if (before === undefined) shelf.sorted = undefined
    return before
  }
  const emit = (change: Change) => {
    history.push(change)
    if (history.length > historyLimit) {
      const dropped = history.splice(0, historyLimit / 5)
      compacted = dropped.at(-1)!.version
    }
    for (const listener of listeners) listener(change)
  }
  const versioned = (object: Fields): Fields => ({
    ...object,
    metadata: { ...(isFields(object["metadata"]) ? object["metadata"] : {}), resourceVersion: String(++version) }
  })
  return {
    version: () => version,
    get: (kind, namespace, name) => objects.get(kind)?.get(namespace)?.byName.get(name),
    all: (kind, namespace) => {
      const ofKind = objects.get(kind)
      if (ofKind === undefined) return []
      if (namespace !== undefined) return contentOf(ofKind.get(namespace))
      // As etcd orders its keys, in which a slash follows the namespace.
      const namespaces = [...ofKind.keys()].toSorted((one, other) => (`${one}/` < `${other}/` ? -1 : 1))
      return namespaces.flatMap((one) => contentOf(ofKind.get(one)))
    },
    put: (kind, object) => {
      const written = versioned(object)
      const before = shelve(kind, written)
      emit({ type: before === undefined ? "ADDED" : "MODIFIED", kind, object: written, before, version })
      return written
    },
    remove: (kind, object) => {
      const shelf = shelfOf(kind, namespaceOf(object))
      const before = shelf.byName.get(nameOf(object))
      if (before === undefined) return
      shelf.byName.delete(nameOf(object))
      shelf.sorted = undefined
      emit({ type: "DELETED", kind, object: versioned(before), before, version })
    },
    since: (from) => (from < compacted ? undefined : history.filter((change) => change.version > from)),
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    compact: () => {
      history = []
      compacted = version
    },
    snapshot: () => ({
      version,
      objects: [...objects.values()].flatMap((shelves) =>
        [...shelves.values()].flatMap(({ byName }) => [...byName.values()])
      )
    }),
    restore: (snapshot) => {
      objects.clear()
      history = []
      const listed: Value | undefined = snapshot["objects"]
      for (const object of Array.isArray(listed) ? listed : []) {
        if (!isFields(object)) continue
        const kind = kindNamed(textAt(object, "apiVersion"), textAt(object, "kind"))
        if (kind !== undefined) shelve(kind, object)
      }
      version = Math.max(version, typeof snapshot["version"] === "number" ? snapshot["version"] : 0)
      compacted = version
    }
  }
}
