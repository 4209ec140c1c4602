/** HTTP/1.1 by the byte, for what every client library would put right before it is sent; must not interpret what it sends. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net"

export interface RawAnswer {
  /** 0 if the connection was closed without an answer. */
  readonly status: number
  /** Field lines in order, names in lower case. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly header: (name: string) => string | undefined
  /** Everything after the head, transfer coding included. */
  readonly body: string
}

const parse = (text: string): RawAnswer => {
  const end = text.indexOf("\r\n\r\n")
  const [first = "", ...lines] = text.slice(0, end === -1 ? text.length : end).split("\r\n")
  const headers = lines.map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  return {
    status: Number(/^HTTP\/1\.[01] (\d{3})/u.exec(first)?.[1] ?? 0),
    headers,
    header: (name) => headers.find(([one]) => one === name)?.[1],
    body: end === -1 ? "" : text.slice(end + 4)
  }
}

/** Sends `bytes` (a string is Latin-1) and gives what comes until the other side closes; ask for `Connection: close`. */
export const exchange = (port: number, bytes: string | Uint8Array): Promise<RawAnswer> =>
  new Promise((resolve) => {
    const chunks: Array<Buffer> = []
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes)
    )
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("error", () => {})
    socket.on("close", () => resolve(parse(Buffer.concat(chunks).toString("latin1"))))
  })

/** The bytes of a request without body; `fields` are whole lines. */
export const request = (
  method: string,
  target: string,
  host: string | ReadonlyArray<string>,
  fields: ReadonlyArray<string> = []
): string =>
  [
    `${method} ${target} HTTP/1.1`,
    ...[host].flat().map((one) => `Host: ${one}`),
    ...fields,
    "Connection: close",
    "",
    ""
  ].join("\r\n")

export interface RawUpstream {
  readonly url: string
  /** Heads of the requests that came, byte by byte, without the empty line. */
  readonly heads: ReadonlyArray<string>
  readonly stop: () => Promise<void>
}

/** An upstream that keeps every head it gets and answers with `answer`, a whole response, then closes. */
export const rawUpstream = async (
  answer: string | ((head: string, socket: Socket) => string | undefined)
): Promise<RawUpstream> => {
  const heads: Array<string> = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
    let received = ""
    socket.on("data", (chunk: Buffer) => {
      const before = received.includes("\r\n\r\n")
      received += chunk.toString("latin1")
      const end = received.indexOf("\r\n\r\n")
      if (before || end === -1) return
      const head = received.slice(0, end)
      heads.push(head)
      const text = typeof answer === "string" ? answer : answer(head, socket)
      if (text !== undefined) socket.end(Buffer.from(text, "latin1"))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heads,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    }
  }
}
