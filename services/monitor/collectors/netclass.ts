/** /sys/class/net: state, speed and identity of each of the host's network interfaces. */
import { counter, type Family, gauge, sample, type Sample } from "../family.ts"
import { type HostFiles, NoData } from "../files.ts"
import { valueOf } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface NetInterface {
  readonly device: string
  readonly address: string
  readonly broadcast: string
  readonly duplex: string
  readonly operstate: string
  readonly ifalias: string
  /** By the name of the file in /sys/class/net/<device>; those the driver gives. */
  readonly numbers: Readonly<Record<string, number>>
}

/** File in /sys/class/net/<device> → node_exporter's name. */
const attributes: ReadonlyArray<readonly [file: string, name: string]> = [
  ["addr_assign_type", "address_assign_type"],
  ["carrier", "carrier"],
  ["carrier_changes", "carrier_changes_total"],
  ["carrier_up_count", "carrier_up_changes_total"],
  ["carrier_down_count", "carrier_down_changes_total"],
  ["dev_id", "device_id"],
  ["dormant", "dormant"],
  ["flags", "flags"],
  ["ifindex", "iface_id"],
  ["iflink", "iface_link"],
  ["link_mode", "iface_link_mode"],
  ["mtu", "mtu_bytes"],
  ["name_assign_type", "name_assign_type"],
  ["netdev_group", "net_dev_group"],
  ["speed", "speed_bytes"],
  ["tx_queue_len", "transmit_queue_length"],
  ["type", "protocol_type"]
]

const root = "class/net"

/** Decimal, or hexadecimal as `flags` and `dev_id` are. */
const attributeOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^0x[0-9a-f]+$/iu.test(text) ? Number(text) : valueOf(text)

const readInterface = (files: HostFiles, device: string): NetInterface | undefined => {
  const text = (name: string) => files.trySys(`${root}/${device}/${name}`) ?? ""
  // An interface of a pod that ends while we look is no fault; every one that is there has an index.
  if (attributeOf(text("ifindex")) === undefined) return undefined
  const numbers: Record<string, number> = {}
  for (const [file] of attributes) {
    // The kernel answers EINVAL for some of these while the link is down: then there is no value.
    const value = attributeOf(files.trySys(`${root}/${device}/${file}`))
    if (value !== undefined) numbers[file] = value
  }
  return {
    device,
    address: text("address"),
    broadcast: text("broadcast"),
    duplex: text("duplex"),
    operstate: text("operstate"),
    ifalias: text("ifalias"),
    numbers
  }
}

/** IFF_UP, include/uapi/linux/if.h */
const flagUp = 1

const infoOf = (one: NetInterface): Sample => {
  const flags = one.numbers["flags"]
  return sample(1, {
    device: one.device,
    address: one.address,
    broadcast: one.broadcast,
    duplex: one.duplex,
    operstate: one.operstate,
    adminstate: flags === undefined ? "unknown" : (flags & flagUp) === 1 ? "up" : "down",
    ifalias: one.ifalias
  })
}

/** Mbit/s → bytes/s, a whole number as in node_exporter; unknown is -1 Mbit/s there and so -125000. */
const bytesPerSecond = (megabits: number) => Math.trunc((megabits * 1000 * 1000) / 8)

const families = (interfaces: ReadonlyArray<NetInterface>): ReadonlyArray<Family> => [
  gauge(
    "node_network_up",
    "Value is 1 if operstate is 'up', 0 otherwise.",
    interfaces.map(({ device, operstate }) => sample(operstate === "up" ? 1 : 0, { device }))
  ),
  gauge(
    "node_network_info",
    "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
    interfaces.map(infoOf)
  ),
  ...attributes.map(([file, name]) => {
    const samples = interfaces.flatMap(({ device, numbers }) => {
      const value = numbers[file]
      return value === undefined ? [] : [sample(file === "speed" ? bytesPerSecond(value) : value, { device })]
    })
    const make = name.endsWith("_total") ? counter : gauge
    return make(`node_network_${name}`, `Network device property: ${name}`, samples)
  })
]

export const netclass: Collector<ReadonlyArray<NetInterface>> = {
  read: (files) => {
    if (files.view === "pod") throw new NoData({ file: root, problem: "pod", detail: "the host's /sys is not mounted" })
    // `bonding_masters` lies beside the interfaces.
    return files
      .list(root)
      .filter((name) => name !== "bonding_masters")
      .flatMap((device) => readInterface(files, device) ?? [])
  },
  families
}
