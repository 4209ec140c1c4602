/** Ports for programs that must be told one before they listen. */
import { type AddressInfo, createServer } from "node:net"

const bindable = (port: number) =>
  new Promise<boolean>((resolve) => {
    const probe = createServer()
    probe.once("error", () => resolve(false))
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)))
  })

/** A free port of this machine whose successor is free too: the platform's identity provider takes the next one. */
export const freePorts = async (): Promise<number> => {
  for (;;) {
    const port = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, "127.0.0.1", () => {
        const { port: found } = probe.address() as AddressInfo
        probe.close(() => resolve(found))
      })
    })
    if (port < 65_535 && (await bindable(port + 1))) return port
  }
}
