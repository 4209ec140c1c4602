/** A gateway in a process of its own, for what is measured of the process: tells its port, and its memory whenever asked. */
import { make } from "#gateway/service.ts"
import { listen } from "#shared/bun.ts"

const listener = listen(await make(), { hostname: "127.0.0.1", port: Number(process.env["PORT"]) })
let peak = 0
setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss())
}, 20)
process.on("message", () => {
  const now = process.memoryUsage.rss()
  process.send?.({ now, peak: Math.max(peak, now) })
  peak = now
})
process.send?.({ port: listener.port })
