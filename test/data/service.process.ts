/** The data service on a port, in a process whose memory is asked over IPC; must not read what it serves. */
import { listen } from "#shared/bun.ts"
import { startData } from "./callers.ts"

/** What the process is asked: to forget its peak, to tell, or to end. */
export type Question = { readonly reset: boolean; readonly path: string } | "stop"

/** Bytes of resident memory, now and at most since the last reset; a token for a POST of the path. */
export interface Told {
  readonly rss: number
  readonly peak: number
  readonly token: string
}

const data = await startData()
const { port } = listen(data.service, { hostname: "127.0.0.1", port: 0 })
let peak = 0
const look = () => {
  const rss = process.memoryUsage.rss()
  peak = Math.max(peak, rss)
  return rss
}
const sampled = setInterval(look, 10)
process.on("message", (question: Question) => {
  if (question === "stop") {
    clearInterval(sampled)
    void data.stop().then(() => process.exit(0))
    return
  }
  if (question.reset) {
    Bun.gc(true)
    peak = 0
  }
  process.send?.({ rss: look(), peak, token: data.tokenFor(question.path) })
})
process.send?.({ port })
