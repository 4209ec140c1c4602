/** The data service on a port, in a process whose memory is asked over IPC; must not read what it serves. */
import { listen } from "#shared/bun.ts"
import { startData } from "#test/data/callers.ts"

const path = "/data/v1/query"
const data = await startData()
const { port } = listen(data.service, { hostname: "127.0.0.1", port: 0 })
let peak = 0
const sampled = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss())
}, 20)
process.on("message", (what) => {
  if (what === "reset") {
    Bun.gc(true)
    peak = process.memoryUsage.rss()
  }
  if (what === "stop") {
    clearInterval(sampled)
    void data.stop().then(() => process.exit(0))
    return
  }
  process.send?.({ rss: process.memoryUsage.rss(), peak, token: data.tokenFor(path) })
})
process.send?.({ port })
