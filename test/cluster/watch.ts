/** Follows a collection of the API server's, over its restarts too; must not interpret the objects. */
import type { Request } from "#test/cluster/controlPlane.ts"

export interface KubernetesObject {
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid: string
    readonly labels?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string
    readonly resourceVersion: string
  }
}

interface List<A> {
  readonly metadata: { readonly resourceVersion: string }
  readonly items: ReadonlyArray<A>
}

interface Event<A> {
  /** The object of ERROR is a Status, of BOOKMARK nothing but a version: neither is looked at. */
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "ERROR" | "BOOKMARK"
  readonly object: A
}

const lines = async function* (stream: ReadableStream<Uint8Array>) {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = parts.pop() ?? ""
    yield* parts
  }
}

/** Lists, then watches `path`; at every change calls `changed` with all objects and the one that changed (none after a list). Ends with `signal`. */
export const follow = async <A extends KubernetesObject>(
  request: Request,
  path: string,
  signal: AbortSignal,
  changed: (all: ReadonlyMap<string, A>, object?: A) => void
): Promise<void> => {
  const separator = path.includes("?") ? "&" : "?"
  const once = async () => {
    const answer = await request(path, { signal })
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
    const list = (await answer.json()) as List<A>
    const all = new Map(list.items.map((item) => [item.metadata.uid, item]))
    changed(all)
    const since = `watch=true&allowWatchBookmarks=true&resourceVersion=${list.metadata.resourceVersion}`
    const { body } = await request(`${path}${separator}${since}`, { signal })
    if (body === null) return
    for await (const line of lines(body)) {
      const event = JSON.parse(line) as Event<A>
      if (event.type === "ERROR") return
      if (event.type === "BOOKMARK") continue
      if (event.type === "DELETED") all.delete(event.object.metadata.uid)
      else all.set(event.object.metadata.uid, event.object)
      changed(all, event.object)
    }
  }
  while (!signal.aborted) {
    await once().catch(() => {})
    // The API server is away, or ended the watch as it does after some minutes.
    if (!signal.aborted) await Bun.sleep(250)
  }
}
