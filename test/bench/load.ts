/** A closed-loop HTTP/1.1 load over raw keep-alive sockets to this machine, cheap enough not to be the bottleneck; bounded in count; loopback only. */

interface LoadOptions {
  readonly port: number
  readonly connections: number
  readonly requests: number
  readonly path: string
  readonly host: string
  readonly headers: Readonly<Record<string, string>>
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  /** Answers with a status other than 200. */
  readonly failed: number
}

const headEnd = Buffer.from("\r\n\r\n")

/** Bytes of the first whole answer in `data`, and its status; undefined while it is not whole. */
const firstAnswer = (data: Buffer): { readonly length: number; readonly status: number } | undefined => {
  const end = data.indexOf(headEnd)
  if (end === -1) return undefined
  const head = data.toString("latin1", 0, end)
  const status = Number(head.slice(9, 12))
  const length = /\r\ncontent-length: (\d+)/iu.exec(head)?.[1]
  if (length !== undefined) {
    const whole = end + 4 + Number(length)
    return data.length >= whole ? { length: whole, status } : undefined
  }
  // Chunked: the answers here are small, so the last chunk is looked for and not parsed.
  const last = data.indexOf("0\r\n\r\n", end + 4, "latin1")
  return last === -1 ? undefined : { length: last + 5, status }
}

/** Sends `requests` requests in all, each connection one after the other; gives up on a connection that closes. */
export const load = (options: LoadOptions): Promise<LoadResult> => {
  const lines = Object.entries({ host: options.host, ...options.headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`
  )
  const message = Buffer.from(`GET ${options.path} HTTP/1.1\r\n${lines.join("")}\r\n`)
  let sent = 0
  let answered = 0
  let failed = 0
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const sockets: Array<Bun.Socket<{ rest: Buffer }>> = []
    const next = (socket: Bun.Socket<{ rest: Buffer }>) => {
      if (sent < options.requests) {
        sent++
        socket.write(message)
      } else if (answered === sent) {
        for (const one of sockets) one.end()
        resolve({ requests: answered, seconds: (performance.now() - started) / 1000, failed })
      }
    }
    for (let index = 0; index < options.connections; index++) {
      Bun.connect<{ rest: Buffer }>({
        hostname: "127.0.0.1",
        port: options.port,
        data: { rest: Buffer.alloc(0) },
        socket: {
          open: (socket) => {
            sockets.push(socket)
            next(socket)
          },
          data: (socket, chunk) => {
            const { data } = socket
            data.rest = data.rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([data.rest, chunk])
            const answer = firstAnswer(data.rest)
            if (answer === undefined) return
            data.rest = data.rest.subarray(answer.length)
            answered++
            if (answer.status !== 200) failed++
            next(socket)
          },
          error: (_, error) => reject(error)
        }
      }).catch(reject)
    }
  })
}
