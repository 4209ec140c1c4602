/** What both proxies forward to: 1 KiB of text, as cheaply as Bun can serve it. */
import { report } from "./measured.ts"

const body = "x".repeat(1024)
const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(body) })
report(server.port!)
