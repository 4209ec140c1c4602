/** Enforces NetworkPolicies on the node: follows pods, namespaces and policies, and puts each change in place; runs in the node's network namespace. */
import { certificateOf, authorityOf } from "#test/cluster/pki.ts"
import { type Policy, type PodOnNetwork, rulesetOf } from "#test/cluster/policies.ts"
import { follow, type KubernetesObject } from "#test/cluster/watch.ts"

interface Pod extends KubernetesObject {
  readonly spec: {
    readonly hostNetwork?: boolean
    readonly containers: ReadonlyArray<{ readonly ports?: PodOnNetwork["ports"] }>
  }
  readonly status: { readonly podIP?: string; readonly phase?: string }
}
interface NetworkPolicy extends KubernetesObject {
  readonly spec: Omit<Policy, "namespace">
}

const [folder, server] = process.argv.slice(2)
if (folder === undefined || server === undefined) throw new Error("usage: policies.process.ts FOLDER SERVER")
const { certificate: cert, key } = certificateOf(folder, "policies")
const tls = { ca: authorityOf(folder), cert, key }
const request = (path: string, init?: RequestInit) => fetch(`${server}${path}`, { ...init, tls })

let pods: ReadonlyMap<string, Pod> | undefined
let namespaces: ReadonlyMap<string, KubernetesObject> | undefined
let policies: ReadonlyMap<string, NetworkPolicy> | undefined

const onNetwork = (pod: Pod): ReadonlyArray<PodOnNetwork> => {
  const { podIP, phase } = pod.status
  if (podIP === undefined || pod.spec.hostNetwork === true || phase === "Succeeded" || phase === "Failed") return []
  const ports = pod.spec.containers.flatMap((container) => container.ports ?? [])
  const { labels = {}, namespace = "" } = pod.metadata
  return [{ namespace, address: podIP, labels, ports }]
}

let last = ""
const enforce = async () => {
  if (pods === undefined || namespaces === undefined || policies === undefined) return
  const ruleset = rulesetOf({
    pods: [...pods.values()].flatMap(onNetwork),
    namespaces: new Map([...namespaces.values()].map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
    policies: [...policies.values()].map(({ metadata, spec }) => ({ ...spec, namespace: metadata.namespace ?? "" }))
  })
  if (ruleset === last) return
  const nft = Bun.spawn(["nft", "-f", "-"], { stdin: Buffer.from(ruleset), stdout: "ignore", stderr: "pipe" })
  const complaint = await new Response(nft.stderr).text()
  if ((await nft.exited) !== 0) {
    console.error(`nft refused: ${complaint}\n${ruleset}`)
    return
  }
  last = ruleset
  console.log(`${new Date().toISOString()} ${policies.size} policies, ${pods.size} pods`)
}

let turn: Promise<void> = Promise.resolve()
/** Changes come in bursts; those that wait for the same turn are put in place together. */
let waiting = false
const changed = () => {
  if (waiting) return
  waiting = true
  turn = turn.then(async () => {
    await Bun.sleep(20)
    waiting = false
    await enforce().catch((error: unknown) => console.error(error))
  })
}

const forever = new AbortController().signal
await Promise.all([
  follow<Pod>(request, "/api/v1/pods", forever, (all) => {
    pods = all
    changed()
  }),
  follow<KubernetesObject>(request, "/api/v1/namespaces", forever, (all) => {
    namespaces = all
    changed()
  }),
  follow<NetworkPolicy>(request, "/apis/networking.k8s.io/v1/networkpolicies", forever, (all) => {
    policies = all
    changed()
  })
])
