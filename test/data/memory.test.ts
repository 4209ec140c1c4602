/** How much memory an export adds to a process, however many rows it has. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { exportOf, type MeasuredService, startMeasuredService } from "./measuredService.ts"

let service: MeasuredService
beforeAll(async () => {
  service = await startMeasuredService()
})
afterAll(() => service.stop())

const exported = (rows: number, accept: string) =>
  service.measure(
    "/data/v1/query",
    { headers: { "content-type": "application/json", accept }, body: JSON.stringify(exportOf(rows)) },
    async (response) => {
      let bytes = 0
      for await (const chunk of response.body!) bytes += chunk.byteLength
      return bytes
    }
  )

test("an export of many rows adds no more memory than buffers and a collector's patience", async () => {
  // Compiled code is there to stay, and none of the export's.
  await exported(20_000, "text/csv")
  for (const accept of ["text/csv", "application/x-ndjson"]) {
    const seen = await exported(300_000, accept)
    expect(seen.bytes).toBeGreaterThan(25 * 1024 * 1024)
    expect(seen.grownMiB).toBeLessThan(80)
  }
})
