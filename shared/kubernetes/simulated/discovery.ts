/** Discovery, version and the OpenAPI that kubectl asks for before it writes; must know no object. */
import { apiVersionOf } from "../objects.ts"
import { allKinds, type Kind } from "./kinds.ts"
import type { Fields } from "./values.ts"

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

const groups = [...new Set(allKinds.map(({ group }) => group))].filter((group) => group !== "")
const versionsOf = (group: string) => [
  ...new Set(allKinds.filter((kind) => kind.group === group).map(({ version }) => version))
]
/** Groups without stored kinds. */
const virtualGroups: ReadonlyArray<readonly [group: string, version: string, kind: string, plural: string]> = [
  ["authentication.k8s.io", "v1", "TokenReview", "tokenreviews"],
  ["authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"]
]

const described = (kind: Kind): ReadonlyArray<Fields> => [
  {
    name: kind.plural,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs,
    ...(kind.shortNames.length === 0 ? {} : { shortNames: [...kind.shortNames] }),
    ...(kind.inAll ? { categories: ["all"] } : {})
  },
  ...kind.subresources.map((name) => ({
    name: `${kind.plural}/${name}`,
    singularName: "",
    namespaced: kind.namespaced,
    kind: name === "scale" ? "Scale" : kind.kind,
    ...(name === "scale" ? { group: "autoscaling", version: "v1" } : {}),
    verbs: name === "log" ? ["get"] : name === "token" ? ["create"] : ["get", "patch", "update"]
  }))
]

const resourceList = (group: string, version: string): Fields | undefined => {
  const stored = allKinds.filter((kind) => kind.group === group && kind.version === version)
  const virtual = virtualGroups.filter(([name, served]) => name === group && served === version)
  if (stored.length + virtual.length === 0) return undefined
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: group === "" ? version : `${group}/${version}`,
    resources: [
      ...stored.flatMap(described),
      ...virtual.map(([, , kind, name]) => ({
        name,
        singularName: kind.toLowerCase(),
        namespaced: false,
        kind,
        verbs: ["create"]
      }))
    ]
  }
}

const groupList = (): Fields => ({
  kind: "APIGroupList",
  apiVersion: "v1",
  groups: [
    ...groups.map((name) => [name, versionsOf(name)] as const),
    ...virtualGroups.map(([name, one]) => [name, [one]] as const)
  ].map(([name, versions]) => {
    const listed = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }))
    return { name, versions: listed, preferredVersion: listed[0]! }
  })
})

/** Only what kubectl reads of it: which kinds there are, and that PATCH understands `fieldValidation`. */
const openApi = (group: string, version: string): Fields => ({
  openapi: "3.0.0",
  info: { title: "simulated cluster", version: "v1.36.3" },
  paths: Object.fromEntries(
    allKinds
      .filter((kind) => kind.group === group && kind.version === version)
      .map((kind) => {
        const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`
        const path = `${base}/${kind.namespaced ? "namespaces/{namespace}/" : ""}${kind.plural}/{name}`
        const operation = {
          "x-kubernetes-group-version-kind": { group, version, kind: kind.kind },
          parameters: ["dryRun", "fieldManager", "fieldValidation", "force"].map((name) => ({
            name,
            in: "query",
            schema: { type: "string" }
          })),
          responses: { "200": { description: "OK" } }
        }
        return [path, { patch: operation, get: operation, put: operation, delete: operation }]
      })
  ),
  components: {
    schemas: Object.fromEntries(
      allKinds
        .filter((kind) => kind.group === group && kind.version === version)
        .map((kind) => [
          `io.k8s.api.${group === "" ? "core" : group.split(".")[0]}.${version}.${kind.kind}`,
          {
            type: "object",
            "x-kubernetes-group-version-kind": [{ group, version, kind: kind.kind }]
          }
        ])
    )
  }
})

const gitVersion = "v1.36.3+simulated"

/** The answer to a GET of a path outside of any object, or undefined. */
export const discovered = (path: string): Fields | string | undefined => {
  if (path === "/readyz" || path === "/livez" || path === "/healthz") return "ok"
  if (path === "/version") {
    return {
      major: "1",
      minor: "36",
      gitVersion,
      gitCommit: "simulated",
      gitTreeState: "clean",
      buildDate: "2026-01-01T00:00:00Z",
      goVersion: "none",
      compiler: "none",
      platform: "simulated"
    }
  }
  if (path === "/api") {
    return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] }
  }
  if (path === "/apis") return groupList()
  if (path === "/openapi/v3") {
    const documents = [
      "api/v1",
      ...allKinds.filter(({ group }) => group !== "").map((kind) => `apis/${apiVersionOf(kind)}`)
    ]
    return {
      paths: Object.fromEntries(
        [...new Set(documents)].map((name) => [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${gitVersion}` }])
      )
    }
  }
  const document = /^\/openapi\/v3\/(?:api\/(v1)|apis\/([^/]+)\/([^/]+))$/u.exec(path)
  if (document !== null) return openApi(document[2] ?? "", document[1] ?? document[3] ?? "")
  const one = /^\/(?:api\/(v1)|apis\/([^/]+)\/([^/]+))$/u.exec(path)
  return one === null ? undefined : resourceList(one[2] ?? "", one[1] ?? one[3] ?? "")
}
