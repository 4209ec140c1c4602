/** An upstream that tells what reached it, and misbehaves on request; must judge nothing. */
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"

/** What an echo answers with. */
export interface Echo {
  readonly method: string
  /** Path and query as they arrived. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: number
  /** SHA-256 of the body, hex. */
  readonly hash: string
}

/** A stream of events that the test feeds. */
export interface Feed {
  readonly send: (text: string) => void
  readonly end: () => void
  readonly fail: () => void
  /** Resolves when the reader is gone. */
  readonly gone: Promise<void>
}

export interface EchoUpstream {
  readonly url: string
  /** Requests that came so far. */
  readonly count: () => number
  /** The next `/sse` or `/stream` that is opened. */
  readonly nextFeed: () => Promise<Feed>
  /** Resolves when the next `/never` has come, with what happens to it. */
  readonly nextNever: () => Promise<{ readonly aborted: Promise<void> }>
  readonly stop: () => Promise<void>
}

export const gzipped = gzipSync(Buffer.from("compressed ".repeat(500)))

const echo = async (request: Request, target: string): Promise<Response> => {
  const hash = createHash("sha256")
  let bytes = 0
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    hash.update(chunk)
    bytes += chunk.byteLength
  }
  const told: Echo = {
    method: request.method,
    target,
    headers: Object.fromEntries(request.headers),
    bytes,
    hash: hash.digest("hex")
  }
  return Response.json(told)
}

export const startEcho = (): EchoUpstream => {
  let count = 0
  const feeds: Array<(feed: Feed) => void> = []
  const nevers: Array<(never: { aborted: Promise<void> }) => void> = []

  const feedResponse = (type: string) => {
    const gone = Promise.withResolvers<void>()
    const body = new ReadableStream<Uint8Array>({
      start: (out) => {
        feeds.shift()?.({
          send: (text) => out.enqueue(new TextEncoder().encode(text)),
          end: () => out.close(),
          fail: () => out.error(new Error("the upstream broke off")),
          gone: gone.promise
        })
      },
      cancel: () => gone.resolve()
    })
    return new Response(body, { headers: { "content-type": type } })
  }

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    fetch: async (request) => {
      count++
      const target = request.url.slice(request.url.indexOf("/", 8))
      const { pathname, searchParams } = new URL(request.url)
      switch (pathname.slice(pathname.lastIndexOf("/"))) {
        case "/sse":
          return feedResponse("text/event-stream")
        case "/stream":
          return feedResponse("application/octet-stream")
        case "/never": {
          const aborted = new Promise<void>((resolve) =>
            request.signal.addEventListener("abort", () => resolve(), { once: true })
          )
          nevers.shift()?.({ aborted })
          await aborted
          return new Response(null, { status: 500 })
        }
        case "/big": {
          let left = Number(searchParams.get("bytes"))
          const piece = new Uint8Array(256 * 1024)
          const body = new ReadableStream<Uint8Array>({
            pull: (out) => {
              if (left <= 0) return out.close()
              out.enqueue(left < piece.length ? piece.slice(0, left) : piece.slice())
              left -= piece.length
            }
          })
          return new Response(body)
        }
        case "/gzip":
          return new Response(gzipped, { headers: { "content-type": "text/plain", "content-encoding": "gzip" } })
        case "/html":
          return new Response("<!doctype html><p>hello</p>", {
            headers: { "content-type": "text/html", "content-security-policy": "default-src 'none'" }
          })
        case "/status":
          return new Response(null, { status: Number(searchParams.get("code")), headers: { etag: '"one"' } })
        case "/found":
          return new Response(null, { status: 302, headers: { location: "/elsewhere" } })
        default:
          return echo(request, target)
      }
    }
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    count: () => count,
    nextFeed: () => new Promise((resolve) => feeds.push(resolve)),
    nextNever: () => new Promise((resolve) => nevers.push(resolve)),
    stop: () => server.stop(true)
  }
}
