/** Which objects a manifest may hold, by kind, namespace and metadata; what is refused here is never sent. Pure. */
import { Result, Schema } from "effect"
import type { InputFault } from "#shared/domain/errors.ts"
import { ObjectName } from "#shared/domain/workload.ts"
import type { KubernetesObject, Resource } from "#shared/kubernetes/objects.ts"
import { at, fieldsOf, isFields, textAt } from "#shared/kubernetes/fields.ts"
import { ManifestRefused } from "../writeRefusals.ts"
import { allowedResource } from "./allowedKinds.ts"
import type { Parsed } from "./parseManifest.ts"

export interface Admitted {
  readonly resource: Resource
  readonly object: KubernetesObject
  readonly index: number
  readonly line: number
}

interface ObjectPolicy {
  readonly namespace: string
  /** Whether Secrets may be applied. */
  readonly secrets: boolean
}

const isName = Schema.is(ObjectName)

/** What only the API server writes. */
const serverOwned = ["managedFields", "resourceVersion", "uid", "selfLink", "generation", "deletionTimestamp"]

type Fault = (pointer: string, code: string, detail: string) => void

const metadataFaults = (tree: Parsed["tree"], namespace: string, fault: Fault) => {
  const metadata = at(tree, "metadata")
  if (!isFields(metadata)) return fault("/metadata", "no_metadata", "expected metadata with a name")
  if (metadata["generateName"] !== undefined) {
    fault("/metadata/generateName", "generate_name", "cannot use generate name with apply")
  } else if (!isName(metadata["name"])) {
    fault("/metadata/name", "bad_name", "expected an object's name: an RFC 1123 subdomain")
  }
  const own = metadata["namespace"]
  if (own !== undefined && own !== namespace) {
    const text = typeof own === "string" ? own.slice(0, 63) : "?"
    fault(
      "/metadata/namespace",
      "other_namespace",
      `the namespace from the provided object "${text}" does not match the namespace "${namespace}". You must pass '--namespace=${text}' to perform this operation.`
    )
  }
  for (const field of serverOwned) {
    if (metadata[field] !== undefined && metadata[field] !== null) {
      fault(`/metadata/${field}`, "server_field", `metadata.${field} is the API server's to write: leave it out`)
    }
  }
  if (tree["status"] !== undefined && tree["status"] !== null) {
    fault("/status", "server_field", "status is the API server's to write: leave it out")
  }
  for (const field of ["labels", "annotations"]) {
    const values = metadata[field]
    if (values === undefined || values === null) continue
    if (!isFields(values) || Object.values(values).some((value) => typeof value !== "string")) {
      fault(`/metadata/${field}`, "not_text", `every value of ${field} must be text: quote it`)
    }
  }
}

/** Go's standard encoding, which ignores line ends; the API server answers anything else with an internal error. */
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u

const dataFaults = (tree: Parsed["tree"], kind: string, fault: Fault) => {
  const field = kind === "Secret" ? "data" : kind === "ConfigMap" ? "binaryData" : undefined
  if (field === undefined) return
  for (const [key, value] of Object.entries(fieldsOf(tree[field]))) {
    if (value === null || (typeof value === "string" && base64.test(value.replaceAll(/[\r\n]/gu, "")))) continue
    fault(`/${field}/${key}`, "bad_base64", "expected base64 (stringData takes text)")
  }
}

/** The token of any service account could be had with such a Secret. */
const tokenType = "kubernetes.io/service-account-token"

/** Every object that may be planned, or every fault of all of them. */
export const admit = (
  parsed: ReadonlyArray<Parsed>,
  { namespace, secrets }: ObjectPolicy
): Result.Result<ReadonlyArray<Admitted>, ManifestRefused> => {
  const faults: Array<InputFault> = []
  const admitted: Array<Admitted> = []
  const seen = new Set<string>()
  for (const [index, { line, tree }] of parsed.entries()) {
    const before = faults.length
    const fault: Fault = (pointer, code, detail) =>
      void faults.push({ pointer: `/objects/${index}${pointer}`, code, detail, line })
    const apiVersion = textAt(tree, "apiVersion")
    const kind = textAt(tree, "kind")
    if (apiVersion === undefined || kind === undefined) {
      fault("", "no_kind", "expected an object with apiVersion and kind")
      continue
    }
    const resource = allowedResource(apiVersion, kind)
    if (resource === undefined || (kind === "Secret" && !secrets)) {
      fault("/kind", "kind_not_allowed", "this kind, in this version, may not be applied here")
      continue
    }
    metadataFaults(tree, namespace, fault)
    if (kind === "Secret" && textAt(tree, "type") === tokenType) {
      fault("/type", "kind_not_allowed", "a Secret may not be a service account's token")
    }
    dataFaults(tree, kind, fault)
    const name = textAt(tree, "metadata", "name") ?? ""
    const identity = `${kind}/${name}`
    if (seen.has(identity)) fault("/metadata/name", "duplicate_object", "this object stands twice in the manifest")
    seen.add(identity)
    if (faults.length > before) continue
    admitted.push({
      resource,
      index,
      line,
      object: { ...tree, apiVersion, kind, metadata: { ...fieldsOf(tree["metadata"]), name, namespace } }
    })
  }
  return faults.length > 0
    ? Result.fail(new ManifestRefused({ code: faults[0]!.code ?? "invalid_object", errors: faults.slice(0, 50) }))
    : Result.succeed(admitted)
}
