/** Who the client is on the network (spec R4): the TCP peer, or the hop before proxies that the configuration trusts; must believe no header of anyone else. */
import { BlockList, isIP, isIPv4 } from "node:net"

/** A CIDR list as a matcher; throws a RangeError that names the entry that is no network, or trusts everyone. */
export const trustedNetworks = (cidrs: ReadonlyArray<string>): BlockList => {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [address = "", bits] = cidr.split("/")
    const family = isIP(address)
    const width = family === 4 ? 32 : 128
    const prefix = bits === undefined ? width : Number(bits)
    if (family === 0 || !/^[0-9]+$/u.test(bits ?? "0") || prefix > width) throw new RangeError(`${cidr} is no network`)
    if (prefix === 0) throw new RangeError(`${cidr} would trust every address`)
    list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6")
  }
  return list
}

/** `::ffff:1.2.3.4` and `1.2.3.4` are one address; brackets and a port are no part of it. Undefined where it is none. */
export const normaliseAddress = (text: string): string | undefined => {
  let address = text.trim().toLowerCase()
  const bracketed = /^\[([0-9a-f:.]+)\](?::[0-9]+)?$/u.exec(address)
  if (bracketed !== null) address = bracketed[1]!
  else if (/^[0-9.]+:[0-9]+$/u.test(address)) address = address.slice(0, address.indexOf(":"))
  if (address.startsWith("::ffff:") && isIPv4(address.slice(7))) address = address.slice(7)
  return isIP(address) === 0 ? undefined : address
}

/**
 * The client's address: the peer, unless the peer is trusted; then the rightmost hop of X-Forwarded-For that is not. A
 * header that cannot be parsed counts as absent.
 */
export const clientAddress = (peer: string | undefined, forwardedFor: string | null, trusted: BlockList): string => {
  const direct = normaliseAddress(peer ?? "") ?? "unknown"
  if (forwardedFor === null || !isTrusted(direct, trusted)) return direct
  const hops = forwardedFor.split(",").map(normaliseAddress)
  for (let index = hops.length - 1; index >= 0; index--) {
    const hop = hops[index]
    if (hop === undefined) return direct
    if (!isTrusted(hop, trusted)) return hop
  }
  return hops[0] ?? direct
}

/** Whether the address belongs to a trusted proxy. */
export const isTrusted = (address: string, trusted: BlockList): boolean => {
  const family = isIP(address)
  return family !== 0 && trusted.check(address, family === 4 ? "ipv4" : "ipv6")
}
