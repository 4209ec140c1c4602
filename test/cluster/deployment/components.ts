/** Adds the optional components to an environment that stands, as their documents tell an operator to; must add nothing that these do not tell. */
import { join } from "node:path"
import type { Cluster } from "#test/cluster/cluster.ts"
import { eventually } from "#test/shared/until.ts"
import { componentTable } from "#test/manifests/componentTable.ts"
import { blocksOf, documentAt } from "#test/shared/documents.ts"
import type { Deployed } from "./deployed.ts"
import type { Environment } from "./manifests.ts"
import { writeOpenBaoImage } from "./openBaoImage.ts"
import { makeOperator, type Operator } from "./operator.ts"
import { writeOwnImage } from "./ownImage.ts"

const read = (path: string) => documentAt(join("kustomize", path))

const block = (blocks: ReadonlyArray<string>, start: string): string => {
  const found = blocks.find((text) => text.includes(start))
  if (found === undefined) throw new Error(`no block of the document has ${start}`)
  return found
}

/** What README.md of the secret store tells, by what each block is for. */
const storeDocument = () => {
  const text = read("components/secret-store/README.md")
  const commands = blocksOf(text)
  const init = block(commands, "operator init")
  return {
    secrets: block(commands, "secret-store-seal"),
    allowed: block(commands, "namespace.yaml"),
    /** The function that the other blocks call. */
    shell: init.split("\n")[0]!,
    init,
    setUp: block(commands, "secrets enable"),
    newRoot: block(commands, "generate-root").trim().split("\n"),
    patch: block(blocksOf(text, "yaml"), "HELLO_DATABASE_URL_REF")
  }
}

/** What all three want of a quota, in the units that it is written in. */
const wanted = (): ReadonlyMap<string, number> => {
  const { keys, rows } = componentTable()
  return new Map(
    keys.map((key, at) => [key, rows.reduce((sum, { wants }) => sum + Number.parseInt(wants[at]!, 10), 0)])
  )
}

/** Makes room in the environment's quota, as an operator adds it up. */
const makeRoom = ({ edit }: Operator, environment: Environment) => {
  const more = wanted()
  if (more.size < 5) throw new Error("kustomize/README.md has no table of what a component wants")
  for (const [key, amount] of more) {
    const path = `kustomize/cluster/${environment}/resourcequota.yaml`
    edit(path, new RegExp(`^( +${key}: "?)(\\d+)`, "mu"), (_, start, had) => `${start}${Number(had) + amount}`)
  }
}

export interface Components {
  readonly operator: Operator
  /** Prints what `command` does in the store's pod, with a token or without. */
  readonly bao: (command: string, token?: string) => Promise<string>
  /** A root token, made of the recovery key. */
  readonly newRootToken: () => Promise<string>
  /** What was applied last. */
  readonly overlay: () => string
  readonly remove: () => Promise<void>
}

const found = (text: string, pattern: RegExp): string => {
  const value = pattern.exec(text)?.[1]
  if (value === undefined) throw new Error(`nothing like ${String(pattern)} in ${text.slice(0, 500)}`)
  return value
}

/** Backup, secret store and a service `orders` of one's own; returns when the store is set up, and waits for no other pod. */
export const addComponents = async (
  cluster: Cluster,
  deployed: Deployed,
  environment: Environment
): Promise<Components> => {
  await cluster.importImage(await writeOpenBaoImage(cluster.folder))
  await cluster.importImage(writeOwnImage(cluster.folder))
  const operator = await makeOperator(cluster, environment)
  const { edit, run } = operator
  const own = `kustomize/overlays/${environment}/environment`
  let overlay = ""
  const applyAll = async () => {
    overlay = await operator.render()
    await cluster.kubectl(["apply", "--server-side", "-f", "-"], { stdin: overlay })
  }
  const allowed = (text: string) => block(blocksOf(text), "namespace.yaml")
  makeRoom(operator, environment)

  const backups = block(blocksOf(read("README.md")), "backup-key")
  await run(backups)
  edit(
    `${own}/kustomization.yaml`,
    "  - ../settings\n",
    "  - ../../../components/backup\n  - ../../../components/secret-store\n  - ../settings\n"
  )

  const store = storeDocument()
  const { cert, key } = deployed.edge.authority.issue({ name: "secret-store", hosts: ["secret-store", "127.0.0.1"] })
  operator.write("tls.crt", cert)
  operator.write("tls.key", key)
  operator.write("ca.crt", deployed.edge.authority.cert)
  await run(store.secrets)
  await run(store.allowed)

  const service = read("components/microservice/README.md")
  operator.write("../orders/kustomization.yaml", ownKustomization())
  edit(`${own}/kustomization.yaml`, "resources:\n", "resources:\n  - ../../../../../orders\n")
  const settings = blocksOf(service, "yaml").map(operator.here)
  edit(`${own}/gateway.yaml`, "routes:\n", `routes:\n${block(settings, "path: /orders")}`)
  edit(`${own}/gateway.yaml`, "workloads:\n", `workloads:\n${block(settings, "serviceAccount: orders")}`)
  await run(allowed(service))
  await run(block(blocksOf(service), "CREATE ROLE"))
  await applyAll()

  await eventually("the store's server runs", async () => {
    const pod = await cluster.read<{
      readonly status: { readonly containerStatuses?: ReadonlyArray<{ readonly started?: boolean }> }
    }>(`/api/v1/namespaces/${environment}/pods/secret-store-0`)
    return pod.status.containerStatuses?.[0]?.started
  })
  const initialised = await run(store.init)
  const recoveryKey = found(initialised, /^Recovery Key 1: (\S+)$/mu)
  const rootToken = found(initialised, /^Initial Root Token: (\S+)$/mu)
  const bao = (command: string, token = "") => run(`${store.shell}\n${command}`, { BAO_TOKEN: token })
  await bao(store.setUp.replace(/^export BAO_TOKEN=.*$/mu, ""), rootToken)
  edit(`${own}/kustomization.yaml`, /$/u, `patches:\n${operator.here(store.patch)}`)
  await applyAll()

  return {
    operator,
    bao,
    newRootToken: async () => {
      const [init = "", proceed = "", decode = ""] = store.newRoot.map((line) => line.replace(/ +#.*$/u, ""))
      const begun = await bao(init)
      const [nonce, otp] = [found(begun, /^Nonce\s+(\S+)$/mu), found(begun, /^OTP\s+(\S+)$/mu)]
      const done = await bao(`printf %s '${recoveryKey}' | ${proceed.replace("NONCE", nonce)}`)
      const encoded = found(done, /^Encoded Token\s+(\S+)$/mu)
      return (await bao(decode.replace("ENCODED", encoded).replace("OTP", otp))).trim()
    },
    overlay: () => overlay,
    remove: async () => {
      operator.remove()
      await cluster.tryKubectl(["delete", "clusterrolebinding", `secret-store-${environment}`])
    }
  }
}

/** The folder of a service `orders` that the component's first lines describe. */
const ownKustomization = (): string =>
  read("components/microservice/kustomization.yaml")
    .split("\n")
    .filter((line) => line.startsWith("#   "))
    .map((line) => line.slice(4))
    .join("\n")
