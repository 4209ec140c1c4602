/** Who the client is on the network (spec R4): the TCP peer, or the hop before proxies that the configuration trusts; must believe no header of anyone else. */
import { BlockList, isIP, isIPv4 } from "node:net"

/** A CIDR list as a matcher; throws a RangeError that names the entry that is no network, or trusts everyone. */
export const trustedNetworks = (cidrs: ReadonlyArray<string>): BlockList => {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [, address = "", bits] = /^([0-9A-Fa-f.:]+)(?:\/([0-9]{1,3}))?$/u.exec(cidr) ?? []
    const family = isIP(address)
    const width = family === 4 ? 32 : 128
    const prefix = bits === undefined ? width : Number(bits)
    if (family === 0 || prefix > width) throw new RangeError(`${cidr} is no network`)
    const alone = new BlockList()
    if (prefix > 0) alone.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6")
    // A network that holds both ends of IPv4's place in IPv6 (::ffff:0:0/96) holds all of IPv4.
    const everyIPv4 =
      family === 6 && ["0.0.0.0", "255.255.255.255"].every((one) => alone.check(`::ffff:${one}`, "ipv6"))
    if (prefix === 0 || everyIPv4) throw new RangeError(`${cidr} would trust every address`)
    list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6")
  }
  return list
}

/**
 * The one spelling of an address: `::ffff:1.2.3.4` and `1.2.3.4` are the same, as are all spellings of an IPv6 address;
 * brackets, a port and a zone are no part of it. Undefined where it is none.
 */
export const normaliseAddress = (text: string): string | undefined => {
  const trimmed = text.trim()
  if (isIPv4(trimmed)) return trimmed
  const withPort = /^([0-9.]+):[0-9]{1,5}$/u.exec(trimmed)?.[1]
  if (withPort !== undefined) return isIPv4(withPort) ? withPort : undefined
  const [, bracketed, bare] =
    /^(?:\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)(?:%[0-9A-Za-z]+)?)$/u.exec(trimmed) ?? []
  const address = bracketed ?? bare ?? ""
  if (isIP(address) !== 6) return undefined
  const canonical = URL.parse(`http://[${address}]`)?.hostname.slice(1, -1)
  if (canonical === undefined) return undefined
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/u.exec(canonical) ?? []
  if (high === undefined || low === undefined) return canonical
  const bits = [Number.parseInt(high, 16), Number.parseInt(low, 16)]
  return bits.flatMap((half) => [half >> 8, half & 255]).join(".")
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
