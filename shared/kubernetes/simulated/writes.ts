/** Every write of the simulated API server: admission, defaults, generation, ownership, optimistic locking; must know nothing of HTTP. */
import { randomUUID } from "node:crypto"
import { apiVersionOf } from "../objects.ts"
import { applyTo } from "./apply.ts"
import { initialStatus, setDefaults } from "./defaults.ts"
import type { Kind } from "./kinds.ts"
import { kinds } from "./kinds.ts"
import { afterUpdate, type Entry, entriesOf, flatten, managedFieldsOf, type Writer } from "./managedFields.ts"
import { suffix } from "./names.ts"
import {
  alreadyExists,
  badPatch,
  badRequest,
  type Cause,
  forbidden,
  internal,
  invalid,
  modified,
  notFound,
  precondition
} from "./refusal.ts"
import type { Store } from "./store.ts"
import { decodingText, inspect, pruned, typedText } from "./strict.ts"
import { stampOf, type Timeline } from "./timeline.ts"
import {
  at,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isDeleting,
  isFields,
  listAt,
  nameOf,
  namespaceOf,
  put,
  same,
  textAt,
  uidOf
} from "./values.ts"
import { causesOfCreate, causesOfUpdate } from "./validation.ts"

export interface WriteRequest {
  readonly manager: string
  readonly dryRun?: boolean
  readonly validation?: "Strict" | "Warn" | "Ignore"
  readonly subresource?: "status" | "scale"
  /** Set for a patch: its text as complaints show it, "" for the whole result. */
  readonly patch?: string
}

export interface Outcome {
  readonly object: Fields
  readonly created: boolean
  readonly warnings: ReadonlyArray<string>
}

export interface DeleteOptions {
  readonly uid?: string
  readonly resourceVersion?: string
  readonly propagation?: string
  readonly graceSeconds?: number
  readonly dryRun?: boolean
}

export interface Writes {
  readonly create: (kind: Kind, namespace: string, body: Fields, request: WriteRequest) => Outcome
  /** `change` gets a copy of the object as it is and gives what it should be. */
  readonly update: (
    kind: Kind,
    namespace: string,
    name: string,
    change: (current: Fields) => Fields,
    request: WriteRequest
  ) => Outcome
  readonly apply: (
    kind: Kind,
    namespace: string,
    name: string,
    configuration: Fields,
    request: WriteRequest & { readonly force: boolean }
  ) => Outcome
  readonly remove: (kind: Kind, namespace: string, name: string, options: DeleteOptions) => Fields
}

const maxNameBase = 58

/** Told twice, as the real server does. */
const uidCauses = (uid: string): ReadonlyArray<Cause> => {
  const message = `Invalid value: ${JSON.stringify(uid)}: field is immutable`
  const cause = { reason: "FieldValueInvalid", message, field: "metadata.uid" }
  return [cause, cause]
}

export const makeWrites = (store: Store, timeline: Timeline): Writes => {
  const existing = (kind: Kind, namespace: string, name: string): Fields => {
    const found = store.get(kind, namespace, name)
    if (found === undefined) throw notFound(kind, name)
    return found
  }

  const checkPlace = (kind: Kind, namespace: string, body: Fields) => {
    const given = textAt(body, "apiVersion")
    if (given !== apiVersionOf(kind) || textAt(body, "kind") !== kind.kind) {
      throw badRequest(
        `${textAt(body, "kind")} in version ${JSON.stringify(given)} cannot be handled as a ${kind.kind}: no kind ${JSON.stringify(textAt(body, "kind"))} is registered for version ${JSON.stringify(given)}`
      )
    }
    const own = namespaceOf(body)
    if (own !== "" && own !== namespace) {
      throw badRequest(
        kind.namespaced
          ? `the namespace of the provided object does not match the namespace sent on the request`
          : `namespace is not allowed on this type`
      )
    }
  }

  const namespaceMustLive = (kind: Kind, namespace: string) => {
    if (kind.namespaced && store.get(kinds.Namespace, "", namespace) === undefined) {
      throw notFound(kinds.Namespace, namespace)
    }
  }

  /** Refuses or tells of unknown fields, refuses wrong types, and drops what a typed server would drop. */
  const decoded = (kind: Kind, object: Fields, request: WriteRequest, warnings: Array<string>): Fields => {
    const { unknown, wrong } = inspect(object, kind.schema)
    const refuse = (why: string) =>
      request.patch === undefined
        ? badRequest(
            `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${why}`
          )
        : badPatch(request.patch === "" ? JSON.stringify(object) : request.patch, why)
    if (wrong.length > 0) throw refuse(decodingText(wrong[0]!))
    const texts = unknown.map(({ path }) => `unknown field ${JSON.stringify(path)}`)
    if (texts.length > 0 && request.validation === "Strict") {
      throw refuse(`strict decoding error: ${texts.join(", ")}`)
    }
    if (request.validation !== "Ignore") warnings.push(...texts)
    const kept = pruned(object, kind.schema)
    return isFields(kept) ? kept : object
  }
  /** Server-side apply decodes by its own rules, and knows no mercy. */
  const typed = (kind: Kind, object: Fields): Fields => {
    const { unknown, wrong } = inspect(object, kind.schema)
    const texts = [
      ...unknown.map(({ keyedPath }) => `${keyedPath}: field not declared in schema`),
      ...wrong.map(typedText)
    ]
    if (texts.length > 0) {
      const place = `${namespaceOf(object)}/${nameOf(object)}; ${apiVersionOf(kind)}, Kind=${kind.kind}`
      const why = texts.length === 1 ? texts[0]! : `errors:\n${texts.map((text) => `  ${text}`).join("\n")}`
      throw internal(`failed to create typed patch object (${place}): ${why}`)
    }
    const kept = pruned(object, kind.schema)
    return isFields(kept) ? kept : object
  }

  const writer = (kind: Kind, request: WriteRequest): Writer => ({
    manager: request.manager,
    apiVersion: request.subresource === "scale" ? "autoscaling/v1" : apiVersionOf(kind),
    subresource: request.subresource ?? "",
    time: timeline.stamp()
  })
  const withEntries = (object: Fields, entries: ReadonlyArray<Entry>) => {
    const listed = managedFieldsOf(entries)
    put(object, listed.length === 0 ? undefined : listed, "metadata", "managedFields")
  }

  const created = (kind: Kind, object: Fields, request: WriteRequest, entries?: ReadonlyArray<Entry>): Fields => {
    if (textAt(object, "metadata", "resourceVersion") !== "") {
      throw internal("resourceVersion should not be set on objects to be created")
    }
    const prefix = textAt(object, "metadata", "generateName")
    if (nameOf(object) === "" && prefix !== "") {
      put(object, `${prefix.slice(0, maxNameBase)}${suffix()}`, "metadata", "name")
    }
    if (kind.subresources.includes("status") && kind.kind !== "Node") {
      const initial = initialStatus(kind)
      if (initial === undefined) delete object["status"]
      else object["status"] = initial
    }
    setDefaults(kind, object)
    put(object, randomUUID(), "metadata", "uid")
    put(object, timeline.stamp(), "metadata", "creationTimestamp")
    put(object, undefined, "metadata", "deletionTimestamp")
    put(object, kind.counted ? 1 : undefined, "metadata", "generation")
    if (kind.kind === "Job") selectOwnPods(object)
    if (kind.kind === "Service") giveAddress(object)
    const causes = causesOfCreate(kind, object)
    if (causes.length > 0) throw invalid(kind, nameOf(object), causes)
    if (store.get(kind, namespaceOf(object), nameOf(object)) !== undefined) throw alreadyExists(kind, nameOf(object))
    withEntries(object, entries ?? afterUpdate([], new Map(), flatten(object, kind.schema), writer(kind, request)))
    return request.dryRun === true ? object : store.put(kind, object)
  }

  let nextAddress = 10
  const giveAddress = (service: Fields) => {
    const spec = fieldsAt(service, "spec")
    if (textAt(spec, "type") === "ExternalName" || textAt(spec, "clusterIP") !== "") return
    nextAddress += 1
    const address = `10.43.${Math.floor(nextAddress / 250) % 250}.${(nextAddress % 250) + 1}`
    put(service, address, "spec", "clusterIP")
    put(service, [address], "spec", "clusterIPs")
  }
  const selectOwnPods = (job: Fields) => {
    const uid = uidOf(job)
    if (at(job, "spec", "selector") === undefined) {
      put(job, uid, "spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid")
    }
    const labels = fieldsAt(job, "spec", "template", "metadata", "labels")
    const own = {
      "batch.kubernetes.io/controller-uid": uid,
      "batch.kubernetes.io/job-name": nameOf(job),
      "controller-uid": uid,
      "job-name": nameOf(job)
    }
    put(job, { ...labels, ...own }, "spec", "template", "metadata", "labels")
  }

  /** `metadata` fields that only the server sets. */
  const keepSystemFields = (before: Fields, after: Fields) => {
    for (const field of ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"]) {
      put(after, at(before, "metadata", field), "metadata", field)
    }
    put(after, textAt(before, "metadata", "resourceVersion"), "metadata", "resourceVersion")
    put(after, nameOf(before), "metadata", "name")
    if (namespaceOf(before) !== "") put(after, namespaceOf(before), "metadata", "namespace")
  }

  const replaced = (
    kind: Kind,
    before: Fields,
    wanted: Fields,
    request: WriteRequest,
    entries?: ReadonlyArray<Entry>
  ): Fields => {
    const name = nameOf(before)
    const version = textAt(wanted, "metadata", "resourceVersion")
    if (version !== "" && version !== textAt(before, "metadata", "resourceVersion")) throw modified(kind, name)
    const uid = uidOf(wanted)
    if (uid !== "" && uid !== uidOf(before)) throw invalid(kind, name, uidCauses(uid))
    if (nameOf(wanted) !== "" && nameOf(wanted) !== name) {
      throw badRequest("the name of the object does not match the name on the URL")
    }
    let after = wanted
    if (request.subresource === "status") {
      // A status update carries annotations too: the deployment controller tells its revision so. The spec stays.
      after = { ...clone(before), status: wanted["status"] }
      put(after, at(wanted, "metadata", "annotations"), "metadata", "annotations")
    } else if (kind.subresources.includes("status")) {
      after["status"] = clone(before["status"])
    }
    const claimed =
      entries ?? (at(wanted, "metadata", "managedFields") === undefined ? entriesOf(before) : entriesOf(wanted))
    keepSystemFields(before, after)
    setDefaults(kind, after)
    const causes = request.subresource === "status" ? [] : causesOfUpdate(kind, before, after)
    if (causes.length > 0) throw invalid(kind, name, causes)
    // Most of what controllers write changes nothing: no owner of a field has to be looked for.
    if (entries === undefined && same(before, after)) return before
    const grown =
      kind.counted &&
      request.subresource !== "status" &&
      (!same(before["spec"], after["spec"]) ||
        (kind.kind === "Deployment" &&
          !same(fieldsAt(before, "metadata", "annotations"), fieldsAt(after, "metadata", "annotations"))))
    if (grown) put(after, intAt(before, "metadata", "generation") + 1, "metadata", "generation")
    const flat = (object: Fields) => flatten(object, kind.schema)
    withEntries(after, entries ?? afterUpdate(claimed, flat(before), flat(after), writer(kind, request)))
    if (same(before, after)) return before
    if (request.dryRun === true) return after
    const written = store.put(kind, after)
    if (isDeleting(written) && listAt(written, "metadata", "finalizers").length === 0 && kind.kind !== "Pod") {
      store.remove(kind, written)
    }
    return written
  }

  const orphan = (owner: Fields) => {
    for (const kind of Object.values(kinds)) {
      for (const object of store.all(kind)) {
        const owners = listAt(object, "metadata", "ownerReferences")
        const left = owners.filter((one) => textAt(one, "uid") !== uidOf(owner))
        if (left.length === owners.length) continue
        const freed = clone(object)
        put(freed, left.length === 0 ? undefined : left, "metadata", "ownerReferences")
        store.put(kind, freed)
      }
    }
  }

  const create: Writes["create"] = (kind, namespace, body, request) => {
    checkPlace(kind, namespace, body)
    namespaceMustLive(kind, namespace)
    const warnings: Array<string> = []
    const object = clone(decoded(kind, body, request, warnings))
    if (kind.namespaced) put(object, namespace, "metadata", "namespace")
    return { object: created(kind, object, request), created: true, warnings }
  }

  const update: Writes["update"] = (kind, namespace, name, change, request) => {
    const before = existing(kind, namespace, name)
    const warnings: Array<string> = []
    const wanted = change(clone(before))
    checkPlace(kind, namespace, wanted)
    const object = clone(decoded(kind, wanted, request, warnings))
    return { object: replaced(kind, before, object, request), created: false, warnings }
  }

  const apply: Writes["apply"] = (kind, namespace, name, configuration, request) => {
    const given = textAt(configuration, "apiVersion")
    if (given !== apiVersionOf(kind) || textAt(configuration, "kind") !== kind.kind) {
      const group = given.includes("/") ? given : `/${given}`
      throw badRequest(`invalid object type: ${group}, Kind=${textAt(configuration, "kind")}`)
    }
    checkPlace(kind, namespace, configuration)
    if (nameOf(configuration) !== "" && nameOf(configuration) !== name) {
      throw badRequest(`the name of the object (${nameOf(configuration)}) does not match the name on the URL (${name})`)
    }
    if (listAt(configuration, "metadata", "managedFields").length > 0) {
      throw badRequest("metadata.managedFields must be nil")
    }
    namespaceMustLive(kind, namespace)
    const wanted = typed(kind, configuration)
    const before = store.get(kind, namespace, name)
    const own = writer(kind, request)
    if (before === undefined) {
      const fresh = clone(wanted)
      put(fresh, name, "metadata", "name")
      if (kind.namespaced) put(fresh, namespace, "metadata", "namespace")
      if (uidOf(fresh) !== "") throw invalid(kind, name, uidCauses(uidOf(fresh)))
      put(fresh, undefined, "metadata", "resourceVersion")
      const { entries } = applyTo({}, [], wanted, kind.schema, own, false)
      return { object: created(kind, fresh, request, entries), created: true, warnings: [] }
    }
    const version = textAt(wanted, "metadata", "resourceVersion")
    const { entries, object } = applyTo(clone(before), entriesOf(before), wanted, kind.schema, own, request.force)
    if (version !== "") put(object, version, "metadata", "resourceVersion")
    return { object: replaced(kind, before, object, request, entries), created: false, warnings: [] }
  }

  const remove: Writes["remove"] = (kind, namespace, name, options) => {
    const found = existing(kind, namespace, name)
    if (options.uid !== undefined && options.uid !== uidOf(found)) {
      throw precondition(kind, name, "UID", options.uid, uidOf(found))
    }
    const version = textAt(found, "metadata", "resourceVersion")
    if (options.resourceVersion !== undefined && options.resourceVersion !== version) {
      throw precondition(kind, name, "ResourceVersion", options.resourceVersion, version)
    }
    if (kind.kind === "Namespace" && ["default", "kube-system", "kube-public"].includes(name)) {
      throw forbidden(kind, name, "this namespace may not be deleted")
    }
    if (options.dryRun === true) return found
    if (options.propagation === "Orphan") orphan(found)
    const grace = options.graceSeconds ?? intAt(found, "spec", "terminationGracePeriodSeconds")
    const lingers =
      listAt(found, "metadata", "finalizers").length > 0 ||
      (kind.kind === "Pod" && grace > 0 && textAt(found, "spec", "nodeName") !== "")
    if (lingers) {
      if (isDeleting(found)) return found
      const leaving = clone(found)
      put(leaving, stampOf(timeline.now() + grace * 1000), "metadata", "deletionTimestamp")
      put(leaving, grace, "metadata", "deletionGracePeriodSeconds")
      return store.put(kind, leaving)
    }
    if (kind.kind === "Namespace") {
      for (const inner of Object.values(kinds)) {
        if (inner.namespaced) for (const object of store.all(inner, name)) store.remove(inner, object)
      }
    }
    store.remove(kind, found)
    return found
  }

  return { create, update, apply, remove }
}
