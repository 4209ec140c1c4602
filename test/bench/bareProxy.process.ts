/** The yardstick: the least a Bun program can do to forward a request; no checks, no identity. */
import { report } from "./measured.ts"

const upstream = process.env["UPSTREAM"]!

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request) => {
    const path = request.url.slice(request.url.indexOf("/", 8))
    return fetch(upstream + path, {
      method: request.method,
      headers: request.headers,
      body: request.body,
      redirect: "manual",
      decompress: false,
      signal: request.signal
    })
  }
})
report(server.port!)
