/** How much memory the data service takes while a million rows are exported, to a reader that hurries and to one that does not. */
import { createHash } from "node:crypto"

const rows = Number(process.env["BENCH_ROWS"] ?? 1_000_000)
/** Bytes a second that the slow reader takes. */
const slowRate = 6 * 1024 * 1024
const aimMiB = 64

interface Told {
  readonly rss: number
  readonly peak: number
  readonly token: string
}

const waiting: Array<(message: Told) => void> = []
let listening: (port: number) => void = () => {}
const child = Bun.spawn([process.execPath, `${import.meta.dir}/data.process.ts`], {
  stdio: ["ignore", "inherit", "inherit"],
  ipc: (message: Told | { readonly port: number }) => {
    if ("port" in message) listening(message.port)
    else waiting.shift()?.(message)
  }
})
const port = await new Promise<number>((resolve) => (listening = resolve))
const ask = (what: "reset" | "tell"): Promise<Told> =>
  new Promise((resolve) => {
    waiting.push(resolve)
    child.send(what)
  })

const sql = `SELECT n AS id, md5(n::text) AS name, n * 1.5 AS amount, 'a note of row ' || n AS note,
  timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' AS at FROM generate_series(1, ${rows}) AS n`

/** Reads one export to its end and gives what it took. */
const measured = async (type: "text/csv" | "application/x-ndjson", rate: number) => {
  const before = await ask("reset")
  const begun = performance.now()
  const response = await fetch(`http://127.0.0.1:${port}/data/v1/query`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: type, "x-gatehouse-identity": before.token },
    body: JSON.stringify({ sql, export: true })
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  let bytes = 0
  let last = ""
  const hash = createHash("sha256")
  for await (const chunk of response.body!) {
    bytes += chunk.byteLength
    hash.update(chunk)
    last = new TextDecoder().decode(chunk.subarray(-200))
    const due = (bytes / rate) * 1000 - (performance.now() - begun)
    if (due > 5) await Bun.sleep(due)
  }
  const seconds = (performance.now() - begun) / 1000
  const { peak } = await ask("tell")
  if (type === "application/x-ndjson" && !last.includes(`"rows":${rows}`)) throw new Error("the export is not whole")
  const grownMiB = (peak - before.rss) / 1024 / 1024
  console.log(
    `${type}${rate === Infinity ? "" : ", slow reader"}: ${(bytes / 1024 / 1024).toFixed(0)} MiB in ${seconds.toFixed(1)} s, resident memory ${(before.rss / 1024 / 1024).toFixed(0)} MiB before and ${grownMiB.toFixed(0)} MiB more at most`
  )
  return { bytes, seconds, peakMiB: peak / 1024 / 1024, grownMiB }
}

// The first run brings what every process keeps: compiled code, buffers.
await measured("text/csv", Infinity)
const csv = await measured("text/csv", Infinity)
const ndjson = await measured("application/x-ndjson", Infinity)
const slow = await measured("text/csv", slowRate)
child.send("stop")
await child.exited
console.log(JSON.stringify({ bench: "data-export", rows, aimMiB, csv, ndjson, slow }))
