/** The monitor's description of itself: complete, readable without its sources, and only for known callers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Running, startMonitor } from "#test/monitor/callers.ts"
import { makeTree, removeFolders } from "#test/monitor/tree.ts"
import { declaredRoutes, lostReferences, type OpenApiDocument, operationsOf } from "#test/shared/described.ts"

afterAll(removeFolders)

let monitor: Running
let document: OpenApiDocument
beforeAll(async () => {
  monitor = await startMonitor({ MONITOR_ROOTFS: makeTree().root })
  document = (await (await monitor.ask("/monitor/openapi.json")).json()) as OpenApiDocument
})
afterAll(() => monitor.stop())

describe("/monitor/openapi.json", () => {
  test("is for any caller the gateway knows, and for nobody else", async () => {
    const [stranger, other] = [
      await monitor.ask("/monitor/openapi.json", { scope: null }),
      await monitor.ask("/monitor/openapi.json", { scope: "monitor:processes" })
    ]
    expect([stranger.status, other.status]).toEqual([401, 200])
    expect(document.openapi).toBe("3.1.0")
  })

  test("describes every route with a summary, an answer and its refusals", () => {
    const operations = operationsOf(document)
    const declared = declaredRoutes("monitor")
    expect(declared.length).toBeGreaterThan(5)
    expect([...operations.keys()].toSorted()).toEqual(declared.toSorted())
    for (const [name, { responses = {}, summary = "" }] of operations) {
      expect([name, summary !== "", "200" in responses, "401" in responses]).toEqual([name, true, true, true])
      expect(responses["401"]!.content!["application/problem+json"]!.schema["$ref"]).toBe(
        "#/components/schemas/Problem"
      )
    }
    expect(lostReferences(document)).toEqual([])
  })

  test("tells the parameters by what they mean", () => {
    const parameters = operationsOf(document).get("get /monitor/history")!.parameters!
    expect(parameters.map(({ name }) => name)).toEqual(["metric", "from", "to", "step", "agg", "label"])
    expect(parameters.filter(({ required }) => required).map(({ name }) => name)).toEqual(["metric"])
    expect(parameters.find(({ name }) => name === "step")!.schema).toMatchObject({ type: "integer", minimum: 10 })
    const collect = operationsOf(document).get("get /monitor/metrics")!.parameters!
    expect(collect.map(({ name }) => name)).toEqual(["collect[]", "exclude[]"])
  })

  test("tells the media type of each answer", () => {
    const types = Object.entries(document.paths).map(([path, item]) => [
      path,
      Object.keys(item["get"]!.responses!["200"]!.content!)
    ])
    expect(Object.fromEntries(types)).toEqual({
      "/monitor/metrics": ["text/plain"],
      "/monitor/host": ["application/json"],
      "/monitor/stream": ["text/event-stream"],
      "/monitor/history": ["application/json"],
      "/monitor/selfcheck": ["application/json"],
      "/monitor/openapi.json": ["application/json"]
    })
    const host = operationsOf(document).get("get /monitor/host")!.responses!["200"]!.content!["application/json"]!
    expect(Object.keys(host.schema["properties"] as object)).toContain("filesystems")
  })
})
