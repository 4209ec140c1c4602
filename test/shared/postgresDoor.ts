/** A door before a Postgres server that can keep new connections waiting, and then let each in or turn it away; must know no SQL. */
import { createServer, connect, type Socket } from "node:net"

/** A client that has sent its first message and has heard nothing yet. */
export interface Held {
  readonly admit: () => void
  /** As a server that is still starting up does it: SQLSTATE 57P03. */
  readonly refuse: () => void
}

export interface Door {
  /** Leads to the same database. */
  readonly url: string
  /** From now on new clients are held. */
  readonly hold: () => void
  /** From now on new clients are let in; those held stay so. */
  readonly letThrough: () => void
  readonly held: ReadonlyArray<Held>
  readonly close: () => void
}

/** `ErrorResponse` of PostgreSQL's protocol 3.0, "Message Formats". */
const startingUp = (() => {
  const fields = Buffer.from("SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0")
  const head = Buffer.alloc(5)
  head.write("E")
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
})()

/** Opens one on a loopback port before the server whose socket folder stands in `url`. */
export const openDoor = async (url: string): Promise<Door> => {
  const inner = new URL(url)
  const path = `${inner.searchParams.get("host")}/.s.PGSQL.${inner.searchParams.get("port") ?? 5432}`
  const sockets = new Set<Socket>()
  const held: Array<Held> = []
  let holding = false

  const tracked = (socket: Socket) => {
    sockets.add(socket)
    return socket.on("close", () => sockets.delete(socket)).on("error", () => {})
  }
  const lead = (client: Socket, first: Buffer) => {
    const server = tracked(connect(path))
    server.write(first)
    client.pipe(server)
    server.pipe(client)
  }
  const listener = createServer((client) => {
    tracked(client)
    client.setNoDelay(true)
    client.once("data", (first) => {
      if (!holding) return lead(client, first)
      client.pause()
      // The server's words are here before they are let through, so that they can be in the same moment as another's refusal.
      const server = tracked(connect(path))
      const words: Array<Buffer> = []
      const keep = (chunk: Buffer) => words.push(chunk)
      server.on("data", keep)
      server.write(first)
      server.once("data", () =>
        held.push({
          admit: () => {
            server.off("data", keep)
            for (const chunk of words) client.write(chunk)
            client.pipe(server)
            server.pipe(client)
          },
          refuse: () => {
            server.destroy()
            client.end(startingUp)
          }
        })
      )
    })
  })
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  const address = listener.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return {
    url: `postgresql://${inner.searchParams.get("user")}@127.0.0.1:${address.port}${inner.pathname}?sslmode=disable`,
    hold: () => void (holding = true),
    letThrough: () => void (holding = false),
    held,
    close: () => {
      listener.close()
      for (const socket of sockets) socket.destroy()
    }
  }
}
