/** Event streams under a test's control: opened, told, cut and resumed when the test says so; must know no event. */

export interface Told {
  readonly id: number
  readonly event: string
  readonly data: unknown
}

const encode = ({ data, event, id }: Told) =>
  new TextEncoder().encode(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`)

export const streamHeaders = { "content-type": "text/event-stream", "cache-control": "no-store" }

/** Promises that look again whenever `changed` is called. */
export const makeWaiting = () => {
  const waiting = new Set<() => void>()
  return {
    changed: () => {
      for (const look of waiting) look()
    },
    until: (holds: () => boolean) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!holds()) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
  }
}

/** `first` gives what a new connection without an id to resume from gets. */
export const makeStreams = (first: () => ReadonlyArray<Omit<Told, "id">>) => {
  const open = new Set<ReadableStreamDefaultController<Uint8Array>>()
  const { changed, until } = makeWaiting()
  const log: Array<Told> = []
  /** `Last-Event-ID` of each connection, "" where it had none. */
  const resumed: Array<string> = []
  let id = 0
  const next = (event: Omit<Told, "id">): Told => ({ ...event, id: ++id })

  return {
    resumed,
    open,
    answer: (request: Request): Response => {
      const lastEventId = request.headers.get("last-event-id") ?? ""
      resumed.push(lastEventId)
      let mine: ReadableStreamDefaultController<Uint8Array>
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          mine = controller
          open.add(controller)
          controller.enqueue(new TextEncoder().encode(": open\n\n"))
          const missed = lastEventId === "" ? first().map(next) : log.filter((one) => one.id > Number(lastEventId))
          for (const event of missed) controller.enqueue(encode(event))
          changed()
        },
        cancel: () => {
          open.delete(mine)
          changed()
        }
      })
      return new Response(body, { headers: streamHeaders })
    },
    /** Tells every open connection, and those that come back later. */
    tell: (event: string, data: unknown) => {
      const told = next({ event, data })
      log.push(told)
      for (const controller of open) controller.enqueue(encode(told))
    },
    beat: () => {
      for (const controller of open) controller.enqueue(new TextEncoder().encode(": beat\n\n"))
    },
    cut: () => {
      for (const controller of open) controller.error(new Error("cut"))
      open.clear()
    },
    end: () => {
      for (const controller of open) controller.close()
      open.clear()
    },
    /** The id of the last event that was told. */
    newest: () => id,
    untilOpen: (count: number) => until(() => open.size === count),
    /** Resolves when a connection has asked for what came after that event. */
    untilResumed: (lastEventId: string) => until(() => resumed.includes(lastEventId))
  }
}
export type Streams = ReturnType<typeof makeStreams>
