/** What every service account may do in every namespace, as the API server itself answers; must compute no right of its own. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { listAt } from "#shared/kubernetes/fields.ts"
import type { Cluster } from "#test/cluster/cluster.ts"
import { environmentNamespaces } from "./namespaces.ts"
import { everything } from "./render.ts"

export const accessFile = resolve(import.meta.dir, "../../kustomize/access.txt")
export const checkedInAccess = (): string => readFileSync(accessFile, "utf8")

const accounts = () =>
  everything()
    .filter(({ kind }) => kind === "ServiceAccount")
    .map(({ metadata }) => ({ namespace: metadata.namespace ?? "", name: metadata.name }))

/** The rules that apply to an account in a namespace: what `kubectl auth can-i --list` shows. */
const rulesOf = async (
  cluster: Cluster,
  account: { readonly namespace: string; readonly name: string },
  namespace: string
) => {
  const answer = await cluster.request("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "impersonate-user": `system:serviceaccount:${account.namespace}:${account.name}`
    },
    body: JSON.stringify({
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectRulesReview",
      spec: { namespace }
    })
  })
  const review: unknown = await answer.json()
  if (answer.status !== 201)
    throw new Error(`no rules of ${account.namespace}/${account.name}: ${JSON.stringify(review)}`)
  return listAt(review, "status", "resourceRules").flatMap((rule) =>
    listAt(rule, "resources").flatMap((resource) =>
      listAt(rule, "apiGroups").map((group) => ({
        what: group === "" ? String(resource) : `${String(resource)}.${String(group)}`,
        names: listAt(rule, "resourceNames").map(String),
        verbs: listAt(rule, "verbs").map(String)
      }))
    )
  )
}

/** Everybody may ask what they may do themselves. */
const everybodys = /^self[a-z]+\.(?:authentication|authorization)\.k8s\.io$/u

/**
 * One line per account, namespace and resource: `prod/admin in prod: pods get list watch`. Rights of every namespace are
 * said of `*`. What has no line is refused.
 */
export const accessTable = async (cluster: Cluster): Promise<string> => {
  const all = accounts()
  const namespaces = [...environmentNamespaces, "edge", "kube-system", "default"]
  const lines: Array<string> = []
  for (const account of all) {
    const found = await Promise.all(
      namespaces.map(async (namespace) => ({ namespace, rules: await rulesOf(cluster, account, namespace) }))
    )
    const seen = new Map<string, Array<string>>()
    for (const { namespace, rules } of found) {
      const verbs = new Map<string, Set<string>>()
      for (const { names, verbs: granted, what } of rules) {
        if (everybodys.test(what)) continue
        const key = names.length === 0 ? what : `${what} [${names.join(" ")}]`
        verbs.set(key, new Set([...(verbs.get(key) ?? []), ...granted]))
      }
      for (const [what, granted] of verbs) {
        const right = `${what} ${[...granted].sort().join(" ")}`
        seen.set(right, [...(seen.get(right) ?? []), namespace])
      }
    }
    for (const [right, places] of seen) {
      const where = places.length === namespaces.length ? ["*"] : places
      for (const place of where) lines.push(`${account.namespace}/${account.name} in ${place}: ${right}`)
    }
  }
  return [
    "# What the service accounts of the platform may do, as the API server answers (kubectl auth can-i --list): by account,",
    "# namespace and resource. `in *` is in every namespace. What has no line is refused: no account reads a Secret, none does",
    `# anything in another environment. ${all.length} accounts and ${namespaces.length} namespaces asked about.`,
    ...lines.sort(),
    ""
  ].join("\n")
}
