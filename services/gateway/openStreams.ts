/** Event streams under way: they end when the gateway drains, and within seconds when their caller may no longer see them (R12, R17). */
import type { Caller } from "./Gate.ts"
import type { Route } from "./routeTable.ts"

export interface OpenStream {
  readonly end: () => void
  readonly caller: Caller | undefined
  readonly route: Route
  readonly action: string | undefined
}

export interface OpenStreams {
  /** Watches a stream; the result forgets it. */
  readonly add: (stream: OpenStream) => () => boolean
  /** Ends every stream that `allowed` denies. */
  readonly recheck: (allowed: (stream: OpenStream) => boolean) => void
  readonly all: () => ReadonlyArray<OpenStream>
  /** Ends them, and every one that is still added. */
  readonly endAll: () => void
}

export const makeOpenStreams = (): OpenStreams => {
  const open = new Set<OpenStream>()
  let ending = false
  const recheck = (allowed: (stream: OpenStream) => boolean) => {
    for (const stream of open) {
      if (allowed(stream)) continue
      open.delete(stream)
      stream.end()
    }
  }
  return {
    add: (stream) => {
      // Connections that stand may bring requests while the gateway drains.
      if (ending) stream.end()
      else open.add(stream)
      return () => open.delete(stream)
    },
    recheck,
    all: () => [...open],
    endAll: () => {
      ending = true
      recheck(() => false)
    }
  }
}
