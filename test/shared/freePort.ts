/** Ports for programs that must be told one before they listen; must give none that a connection could take meanwhile. */
import { createServer } from "node:net"

/**
 * Below what a system gives to outgoing connections (32768 and above on Linux, 49152 by RFC 6335): one of those would hold the
 * port by chance just when its program wants it. Below Kubernetes' node ports too.
 */
const [lowest, highest] = [10_000, 29_999]

const bindable = (port: number) =>
  new Promise<boolean>((resolve) => {
    const probe = createServer()
    probe.once("error", () => resolve(false))
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)))
  })

/** A free port of this machine, the first of `count` free ones in a row. By chance, so that two that ask get two. */
export const freePort = async (count = 1): Promise<number> => {
  for (;;) {
    const first = lowest + Math.floor(Math.random() * (highest - lowest + 2 - count))
    const free = await Promise.all(Array.from({ length: count }, (_, at) => bindable(first + at)))
    if (free.every((one) => one)) return first
  }
}
