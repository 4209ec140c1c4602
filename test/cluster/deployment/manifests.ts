/** The overlays as they are applied to the tests' node, and what of them is not as shipped; must change nothing but images, addresses and host names. */
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import type { Cluster } from "#test/cluster/cluster.ts"
import type { Environment } from "#test/manifests/render.ts"

/** The tests' identity provider, by a name that pods can look up. */
export const issuer = "https://idp.sso.svc.cluster.local"

export type { Environment }

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

const project = join(import.meta.dir, "../../..")

const renders = new Map<string, Promise<string>>()
/** Once for each folder. */
const render = (cluster: Pick<Cluster, "kubectl">, folder: string): Promise<string> => {
  const rendered = renders.get(folder) ?? cluster.kubectl(["kustomize", join(project, folder)])
  renders.set(folder, rendered)
  return rendered
}

/** An environment as it is shipped. */
export const shippedOverlay = (cluster: Pick<Cluster, "kubectl">, environment: Environment): Promise<string> =>
  render(cluster, `kustomize/overlays/${environment}`)

/** What whoever installs it fills in: where the API server listens, and who tells who people are. */
export interface Site {
  readonly apiServer: string
  readonly issuer: string
}
/** Of the tests' node. */
export const site = (cluster: Pick<Cluster, "nodeAddress">): Site => ({ apiServer: cluster.nodeAddress!, issuer })

export const shippedSite: Site = { apiServer: "192.0.2.10/32", issuer: "https://sso.example.org/realms/main" }

/** Fails where there is nothing to replace: the shipped text has changed then. */
const replaced = (text: string, from: string, to: string) => {
  if (!text.includes(from)) throw new Error(`the overlay does not name ${from}`)
  return text.replaceAll(from, to)
}

/** What is the cluster's, as it is shipped but for the API server's address. */
export const clusterObjects = async (cluster: Pick<Cluster, "kubectl" | "nodeAddress">): Promise<string> =>
  replaced(await render(cluster, "kustomize/cluster"), shippedSite.apiServer, `${site(cluster).apiServer}/32`)

/** The same with the images and addresses of the tests' node. */
export const testOverlay = async (
  cluster: Pick<Cluster, "kubectl">,
  environment: Environment,
  site: Site
): Promise<string> => {
  const text = await render(cluster, `test/cluster/overlays/${environment}`)
  const told = replaced(text, shippedSite.apiServer, `${site.apiServer}/32`)
  return replaced(told, shippedSite.issuer, site.issuer)
}

export const objectsOf = (text: string): ReadonlyArray<Manifest> =>
  parseAllDocuments(text).map((document) => document.toJS() as Manifest)

type Leaf = readonly [path: string, value: unknown]

/** Every single value of a document with the path that leads to it. */
const leaves = (value: unknown, path: string): ReadonlyArray<Leaf> =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${path}/${key}`))
    : [[path, value]]

/** Where two renders differ: `<kind>/<name> <path>: <one> → <other>`, one line each. */
export const differences = (one: string, other: string): ReadonlyArray<string> => {
  const all = (text: string) =>
    new Map(
      objectsOf(text).flatMap((object) => {
        const { name, namespace = "" } = object.metadata
        return leaves(object, "").map(
          ([path, value]) => [`${namespace} ${object.kind}/${name} ${path}`, value] as const
        )
      })
    )
  const [before, after] = [all(one), all(other)]
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((key) => before.get(key) !== after.get(key))
    .flatMap((key) => {
      const [was, is] = [String(before.get(key)).split("\n"), String(after.get(key)).split("\n")]
      // Of a text of many lines, the lines.
      return was.flatMap((line, at) => (line === is[at] ? [] : [`${key.trim()}: ${line.trim()} → ${is[at]?.trim()}`]))
    })
    .sort()
}
