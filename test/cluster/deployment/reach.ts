/** Finds out by real connections which pods of the environments reach which; must read no policy. */
import { join } from "node:path"
import type { Cluster } from "#test/cluster/cluster.ts"

/** A place that listens: the name that the reachability matrix has for it, and where it is. */
export interface Target {
  readonly name: string
  readonly address: string
  readonly port: number
}

export interface Source {
  readonly name: string
  readonly address: string
}

interface Pod {
  readonly metadata: {
    readonly namespace: string
    readonly name: string
    readonly labels?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string
  }
  readonly spec: {
    readonly containers: ReadonlyArray<{ readonly ports?: ReadonlyArray<{ readonly containerPort: number }> }>
  }
  readonly status: { readonly podIP?: string; readonly phase?: string }
}

/** The running pods of some namespaces by the matrix' names for them: `<namespace>/<app>`, or any other pod. */
export const podsOf = async (
  cluster: Cluster,
  namespaces: ReadonlyArray<string>
): Promise<{ readonly sources: ReadonlyArray<Source>; readonly targets: ReadonlyArray<Target> }> => {
  const lists = await Promise.all(
    namespaces.map(async (namespace) => {
      const text = await cluster.kubectl(["-n", namespace, "get", "pods", "-o", "json"])
      return (JSON.parse(text) as { readonly items: ReadonlyArray<Pod> }).items
    })
  )
  const pods = lists
    .flat()
    .filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status.phase === "Running")
    .map(({ metadata, spec, status }) => ({
      name: `${metadata.namespace}/${metadata.labels?.["app.kubernetes.io/name"] ?? "(any other pod)"}`,
      address: status.podIP!,
      ports: spec.containers.flatMap(({ ports }) => (ports ?? []).map(({ containerPort }) => containerPort))
    }))
  return {
    sources: pods.map(({ address, name }) => ({ address, name })),
    targets: pods.flatMap(({ address, name, ports }) => ports.map((port) => ({ address, name, port })))
  }
}

/** The network namespaces of the node's pods by their addresses. */
const networksOf = async (cluster: Cluster): Promise<ReadonlyMap<string, string>> => {
  const script = `for net in /run/netns/*; do
  echo "$net $(nsenter --net="$net" ip -4 -o address show dev eth0 2>/dev/null | sed 's/.* inet \\([0-9.]*\\).*/\\1/')"
done`
  const { stdout } = await cluster.runOnNode(["sh", "-c", script])
  return new Map(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" "))
      .map(([network, address]) => [address ?? "", network ?? ""])
  )
}

/** Pods that try at a time. Each is a process, which mostly waits: what a policy swallows takes all of a probe's patience. */
const together = 48

/** Every connection that is made, as the matrix writes it: `<source> -> <target> <port>/TCP`. */
export const reached = async (
  cluster: Cluster,
  sources: ReadonlyArray<Source>,
  targets: ReadonlyArray<Target>
): Promise<ReadonlyArray<string>> => {
  const networks = await networksOf(cluster)
  const probe = join(import.meta.dir, "probe.process.ts")
  const names = new Map(targets.map(({ address, name, port }) => [`${address}:${port}`, `${name} ${port}/TCP`]))
  const from = async ({ address, name }: Source) => {
    const network = networks.get(address)
    if (network === undefined) throw new Error(`${name} has no network on the node`)
    const asked = JSON.stringify([...names.keys()].filter((place) => !place.startsWith(`${address}:`)))
    const { code, stderr, stdout } = await cluster.runOnNode(
      ["nsenter", `--net=${network}`, process.execPath, probe],
      asked
    )
    if (code !== 0) throw new Error(`${name}: ${stderr}`)
    return (JSON.parse(stdout) as ReadonlyArray<string>).map((place) => `${name} -> ${names.get(place)!}`)
  }
  const waiting = [...sources]
  const lines: Array<string> = []
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) lines.push(...(await from(next)))
  }
  await Promise.all(Array.from({ length: together }, work))
  return lines.sort()
}
