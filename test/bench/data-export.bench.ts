/** How much memory the data service takes while a million rows are exported, to a reader that hurries and to one that does not, and while a file of many is taken in; each in a fresh process. */
import { exportOf, mebibyte, type Seen, startMeasuredService } from "#test/data/measuredService.ts"

const rows = Number(process.env["BENCH_ROWS"] ?? 1_000_000)
const runs = Number(process.env["BENCH_RUNS"] ?? 5)
/** Bytes a second that the slow reader takes. */
const slowRate = 6 * mebibyte
const aimMiB = 64

/** Reads an export to its end. */
const reading = (rate: number) => async (response: Response) => {
  const begun = performance.now()
  let bytes = 0
  let last = new Uint8Array()
  for await (const chunk of response.body!) {
    bytes += chunk.byteLength
    last = chunk
    const due = (bytes / rate) * 1000 - (performance.now() - begun)
    if (due > 5) await Bun.sleep(due)
  }
  const ndjson = response.headers.get("content-type") === "application/x-ndjson"
  const end = new TextDecoder().decode(last.subarray(-200))
  if (ndjson && !end.includes(`"rows":${rows}`)) throw new Error("the export is not whole")
  return bytes
}

const exporting = (accept: string, rate: number) => async () => {
  const service = await startMeasuredService()
  const headers = { "content-type": "application/json", accept }
  const seen = await service.measure("/data/v1/query", { headers, body: JSON.stringify(exportOf(rows)) }, reading(rate))
  await service.stop()
  return seen
}

/** A file of a quarter as many rows, made as it is sent. */
const ingesting = (type: "text/csv" | "application/x-ndjson") => async () => {
  const service = await startMeasuredService()
  const many = Math.round(rows / 4)
  const encoder = new TextEncoder()
  let bytes = 0
  let next = 0
  const line = (n: number) =>
    type === "text/csv"
      ? `sku ${n},what product ${n} is called in some more words than one,${n % 100}.5\n`
      : `{"sku":"sku ${n}","name":"what product ${n} is called in some more words than one","price":${n % 100}.5}\n`
  const body = new ReadableStream({
    pull(controller) {
      if (next >= many) return controller.close()
      let text = next === 0 && type === "text/csv" ? "sku,name,price\n" : ""
      for (const until = Math.min(next + 500, many); next < until; next++) text += line(next)
      const chunk = encoder.encode(text)
      bytes += chunk.length
      controller.enqueue(chunk)
    }
  })
  const seen = await service.measure(
    "/data/v1/ingest/sales/products",
    { headers: { "content-type": type }, body },
    async (response) => {
      const answer = (await response.json()) as { readonly written: number }
      if (answer.written !== many) throw new Error("the file was not taken in whole")
      return bytes
    }
  )
  await service.stop()
  return seen
}

/** Of a few runs the 95th percentile is the worst. */
const percentile = (values: ReadonlyArray<number>, share: number) =>
  values.toSorted((one, other) => one - other)[Math.ceil(share * values.length) - 1]!

const repeated = async (name: string, run: () => Promise<Seen>) => {
  const seen: Array<Seen> = []
  for (let n = 0; n < runs; n++) seen.push(await run())
  const of = (value: (one: Seen) => number, share: number) => Math.round(percentile(seen.map(value), share) * 10) / 10
  const told = {
    bytes: seen[0]!.bytes,
    secondsP50: of((one) => one.seconds, 0.5),
    restMiB: of((one) => one.restMiB, 0.5),
    grownP50: of((one) => one.grownMiB, 0.5),
    grownP95: of((one) => one.grownMiB, 0.95),
    afterP95: of((one) => one.afterMiB, 0.95)
  }
  console.log(
    `${name}: ${(told.bytes / mebibyte).toFixed(0)} MiB in ${told.secondsP50} s, resident memory ${told.restMiB} MiB before, at most ${told.grownP95} MiB more in ${runs} runs (p50 ${told.grownP50}), ${told.afterP95} after`
  )
  return told
}

const csv = await repeated("CSV", exporting("text/csv", Infinity))
const ndjson = await repeated("NDJSON", exporting("application/x-ndjson", Infinity))
const slow = await repeated("CSV, slow reader", exporting("text/csv", slowRate))
const ingestCsv = await repeated("ingest of CSV", ingesting("text/csv"))
const ingestNdjson = await repeated("ingest of NDJSON", ingesting("application/x-ndjson"))
console.log(JSON.stringify({ bench: "data-export", rows, runs, aimMiB, csv, ndjson, slow, ingestCsv, ingestNdjson }))
