/**
 * Server-sent events (WHATWG HTML §9.2) read by fetch; must not reconnect. An EventSource would hide the status of a refusal and
 * the heartbeats, and could not resume from the last event in a new connection.
 */
import { send } from "./api.ts"

export interface ServerEvent {
  readonly event: string
  readonly data: string
  readonly id: string
}

interface ReadOptions {
  /** Where an earlier connection ended, "" for a first one. */
  readonly lastEventId?: string
  readonly signal: AbortSignal
  /** The stream is accepted, and each time that anything comes, heartbeats included. */
  readonly onAlive?: () => void
  readonly onEvent: (event: ServerEvent) => void
}

/** Turns lines into events; the id of an event holds for the following ones that have none. */
export const makeParser = (onEvent: (event: ServerEvent) => void, lastEventId = "") => {
  let rest = ""
  let event = ""
  let data: Array<string> = []
  let id = lastEventId
  const take = (line: string) => {
    if (line === "") {
      if (data.length > 0) onEvent({ event: event || "message", data: data.join("\n"), id })
      event = ""
      data = []
      return
    }
    const colon = line.indexOf(":")
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /u, "")
    if (field === "event") event = value
    else if (field === "data") data.push(value)
    else if (field === "id" && !value.includes("\0")) id = value
  }
  return (chunk: string): void => {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop()!
    for (const line of lines) take(line.endsWith("\r") ? line.slice(0, -1) : line)
  }
}

/** Resolves when the server ends the stream; rejects with an ApiError when it refuses, and when the connection breaks. */
export const readEvents = async (path: string, options: ReadOptions): Promise<void> => {
  const { lastEventId = "", onAlive, onEvent, signal } = options
  const headers: Record<string, string> = { accept: "text/event-stream" }
  if (lastEventId !== "") headers["last-event-id"] = lastEventId
  const response = await send(path, { headers, signal, cache: "no-store", keepPage: true })
  onAlive?.()
  const parse = makeParser(onEvent, lastEventId)
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    onAlive?.()
    parse(value)
  }
}
