/** Joins a node's network namespace to this machine by one pair of interfaces; must set no route and no rule outside the namespace. */
import { networkInterfaces } from "node:os"
import type { OwnSupervisor } from "#test/cluster/supervisor.ts"
import { familyOf } from "#test/shared/leftovers.ts"

export interface NodeNetwork {
  /** Of this machine, as the node and its pods reach it. */
  readonly hostAddress: string
  readonly nodeAddress: string
}

/** One /30 of 10.99.0.0/16 for each cluster on the machine. */
const freePair = (start: number): NodeNetwork => {
  const taken = new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)))
  for (let tried = 0; tried < 16_384; tried++) {
    const first = ((start + tried) % 16_384) * 4
    const address = (last: number) => `10.99.${(first + last) >> 8}.${(first + last) & 255}`
    if (!taken.has(address(1))) return { hostAddress: address(1), nodeAddress: address(2) }
  }
  throw new Error("10.99.0.0/16 is full")
}

const succeed = (argv: ReadonlyArray<string>) => {
  const { exitCode, stderr } = Bun.spawnSync([...argv])
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr.toString().trim()}`)
}

const outsideName = (supervisor: number) => `gh${supervisor}`

/** The kernel removes the interfaces some time after the namespace's last process; after this they are gone. */
export const removeNodeNetwork = (supervisor: number): void => {
  Bun.spawnSync(["ip", "link", "delete", outsideName(supervisor)])
}

/** The supervisors, by process number, whose node's interface is on this machine. */
export const nodeNetworks = (): ReadonlyArray<number> =>
  Object.keys(networkInterfaces()).flatMap((name) => {
    const supervisor = /^gh(\d+)$/u.exec(name)?.[1]
    return supervisor === undefined ? [] : [Number(supervisor)]
  })

/** The interfaces go with the namespace, and so with the supervisor. */
export const nodeNetwork = async (supervisor: OwnSupervisor): Promise<NodeNetwork> => {
  const inside = familyOf(supervisor.pid)[1]
  if (inside === undefined) throw new Error("the supervisor has no process in the node's namespaces")
  const network = freePair(supervisor.pid)
  const outside = outsideName(supervisor.pid)
  succeed(["ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", String(inside)])
  succeed(["ip", "address", "add", `${network.hostAddress}/30`, "dev", outside])
  succeed(["ip", "link", "set", outside, "up"])
  return network
}
