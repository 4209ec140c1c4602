/** Event streams under way: they end when the gateway drains, and within seconds when their caller may no longer see them (R12, R17). */
import type { Caller } from "./Gate.ts"
import type { Route } from "./routeTable.ts"

export interface OpenStream {
  readonly controller: AbortController
  readonly caller: Caller | undefined
  readonly route: Route
  readonly action: string | undefined
}

export interface OpenStreams {
  /** Watches a stream; the result forgets it. */
  readonly add: (stream: OpenStream) => () => void
  /** Ends every stream that `allowed` denies. */
  readonly recheck: (allowed: (stream: OpenStream) => boolean) => void
  readonly all: () => ReadonlyArray<OpenStream>
  readonly endAll: () => void
}

export const makeOpenStreams = (): OpenStreams => {
  const open = new Set<OpenStream>()
  const recheck = (allowed: (stream: OpenStream) => boolean) => {
    for (const stream of open) {
      if (allowed(stream)) continue
      open.delete(stream)
      stream.controller.abort()
    }
  }
  return {
    add: (stream) => {
      open.add(stream)
      return () => {
        open.delete(stream)
        stream.controller.abort()
      }
    },
    recheck,
    all: () => [...open],
    endAll: () => recheck(() => false)
  }
}
