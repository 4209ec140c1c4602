/** Server-sent events as the browser reads them: what the format allows, whatever the chunks are. */
import { describe, expect, test } from "bun:test"
import { makeParser, type ServerEvent } from "#dashboard/sse.ts"

const parse = (chunks: ReadonlyArray<string>, lastEventId = ""): ReadonlyArray<ServerEvent> => {
  const events: Array<ServerEvent> = []
  const feed = makeParser((event) => events.push(event), lastEventId)
  for (const chunk of chunks) feed(chunk)
  return events
}

describe("an event", () => {
  const text = "event: workload\nid: 7\ndata: {\ndata: }\n\n: beat\n\ndata:bare\n\n"

  test("has its name, its lines joined, and the id that holds until the next", () => {
    expect(parse([text])).toEqual([
      { event: "workload", data: "{\n}", id: "7" },
      { event: "message", data: "bare", id: "7" }
    ])
  })

  test("is the same however the text is cut", () => {
    expect(parse([...text])).toEqual(parse([text]))
  })

  test("may end its lines with carriage return and line feed", () => {
    expect(parse([text.replaceAll("\n", "\r\n")])).toEqual(parse([text]))
  })

  test("that is not finished is not told", () => {
    expect(parse(["event: workload\ndata: half\n"])).toEqual([])
  })

  test("without data is none, and its name is forgotten", () => {
    expect(parse(["event: stale\n\ndata: x\n\n"])).toEqual([{ event: "message", data: "x", id: "" }])
  })

  test("goes on from the id of the connection before", () => {
    expect(parse(["data: x\n\n"], "41")[0]!.id).toBe("41")
  })
})
