/** Renders the overlays as a user does, with the kubectl that test/cluster builds or a new enough one on the PATH; must pass it no flag. */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { join, resolve } from "node:path"
import { parseAllDocuments } from "yaml"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { isFields, textAt } from "#shared/kubernetes/fields.ts"
import { built } from "#test/cluster/build.ts"

const root = resolve(import.meta.dir, "../..")
export const environments = ["prod", "nightly", "dev"] as const
export type Environment = (typeof environments)[number]

/** From this kubectl on its kustomize knows what the components use. */
const oldest = [1, 30] as const

const versionOf = (kubectl: ReadonlyArray<string>): string | undefined => {
  const { exitCode, stdout } = Bun.spawnSync([...kubectl, "version", "--client", "--output=json"])
  if (exitCode !== 0) return undefined
  return textAt(JSON.parse(stdout.toString()), "clientVersion", "gitVersion")
}

const find = (): { readonly kubectl: ReadonlyArray<string> } | { readonly missing: string } => {
  const program = built("controlplane")
  if (program !== undefined) return { kubectl: [program, "kubectl"] }
  const installed = Bun.which("kubectl")
  const make = "`./bootstrap bun test/manifests/buildKubectl.ts` builds one (Go)"
  if (installed === null) return { missing: `no kubectl: ${make}` }
  const version = versionOf([installed])
  const [, major, minor] = /^v(\d+)\.(\d+)/u.exec(version ?? "") ?? []
  const enough = Number(major) > oldest[0] || (Number(major) === oldest[0] && Number(minor) >= oldest[1])
  return enough
    ? { kubectl: [installed] }
    : { missing: `kubectl ${version ?? "of no version"} is too old to render the overlays: ${make}` }
}

let found: ReturnType<typeof find> | undefined
const kubectl = () => (found ??= find())

/** Why nothing can be rendered here; undefined where it can. */
export const cannotRender = (): string | undefined => {
  const answer = kubectl()
  return "missing" in answer ? answer.missing : undefined
}

/** What `kubectl kustomize kustomize/<folder>` prints. Throws its complaint. */
export const renderText = (folder: string): string => {
  const answer = kubectl()
  if ("missing" in answer) throw new Error(answer.missing)
  const { exitCode, stderr, stdout } = Bun.spawnSync([...answer.kubectl, "kustomize", join(root, "kustomize", folder)])
  if (exitCode !== 0) throw new Error(`kustomize/${folder}: ${stderr.toString().trim()}`)
  return stdout.toString()
}

const isObject = (value: unknown): value is KubernetesObject =>
  isFields(value) && textAt(value, "kind") !== undefined && textAt(value, "metadata", "name") !== undefined

/** The objects of a text of YAML documents. */
export const objectsOf = (text: string): ReadonlyArray<KubernetesObject> =>
  parseAllDocuments(text).map((document) => {
    const value: unknown = document.toJS()
    if (document.errors.length > 0 || !isObject(value)) throw new Error(`no object: ${String(document.errors[0])}`)
    return value
  })

/** Of every file below kustomize/ and of the renderer: what is rendered follows from them. */
const sourcesHash = (): string => {
  const hash = createHash("sha256").update(JSON.stringify(kubectl()))
  for (const file of [...new Bun.Glob("**/*").scanSync({ cwd: join(root, "kustomize") })].sort()) {
    hash.update(`${file}\n`).update(readFileSync(join(root, "kustomize", file)))
  }
  return hash.digest("hex").slice(0, 16)
}

let cache: string | undefined
const rendered = new Map<string, { readonly text: string; readonly objects: ReadonlyArray<KubernetesObject> }>()

/** Rendered once for all suites of a run: each is a process, and a render takes a second. */
const once = (folder: string) => {
  const known = rendered.get(folder)
  if (known !== undefined) return known
  cache ??= join(tmpdir(), `gatehouse-render-${userInfo().uid}-${sourcesHash()}`)
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  const file = join(cache, `${folder.replaceAll("/", "-")}.yaml`)
  if (!existsSync(file)) {
    writeFileSync(`${file}.${process.pid}`, renderText(folder))
    renameSync(`${file}.${process.pid}`, file)
  }
  const text = readFileSync(file, "utf8")
  const fresh = { text, objects: objectsOf(text) }
  rendered.set(folder, fresh)
  return fresh
}

export const overlayText = (environment: Environment): string => once(`overlays/${environment}`).text
export const overlay = (environment: Environment): ReadonlyArray<KubernetesObject> =>
  once(`overlays/${environment}`).objects
export const clusterText = (): string => once("cluster").text
export const clusterObjects = (): ReadonlyArray<KubernetesObject> => once("cluster").objects

/** Everything that is applied to one cluster. */
export const everything = (): ReadonlyArray<KubernetesObject> => [
  ...clusterObjects(),
  ...environments.flatMap((environment) => overlay(environment))
]

/** Such as `prod/Deployment/admin`; `-/PriorityClass/dev-data` of what has no namespace. */
export const placeOf = (object: KubernetesObject): string =>
  `${object.metadata.namespace ?? "-"}/${object.kind}/${object.metadata.name}`

/** The object of that place; throws where there is none. */
export const objectAt = (objects: ReadonlyArray<KubernetesObject>, place: string): KubernetesObject => {
  const object = objects.find((one) => placeOf(one) === place)
  if (object === undefined) throw new Error(`nothing is rendered as ${place}`)
  return object
}
