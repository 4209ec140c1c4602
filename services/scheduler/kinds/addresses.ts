/** Which network addresses a health check may reach: those of a cluster's own networks; pure. */
import { BlockList, isIP } from "node:net"

const inside = new BlockList()
for (const [network, bits] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10]
] as const) {
  inside.addSubnet(network, bits, "ipv4")
}
inside.addSubnet("fc00::", 7, "ipv6")

/**
 * Private addresses only (RFC 1918, RFC 6598, RFC 4193). Loopback, link-local (a cloud's metadata service among them) and the
 * Internet are outside: a Service of type ExternalName may lead anywhere. IPv4 in IPv6 notation is refused as a whole.
 */
export const isClusterAddress = (address: string): boolean => {
  const family = isIP(address)
  if (family === 4) return inside.check(address, "ipv4")
  return family === 6 && !address.toLowerCase().startsWith("::") && inside.check(address, "ipv6")
}
