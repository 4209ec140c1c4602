/** Hides what is secret in objects before anybody sees them: Secret data, credentials in values, the copies in last-applied; pure. */
import { stringify } from "yaml"
import type { KubernetesObject } from "./objects.ts"
import { at, type Fields, fieldsOf, isFields, listAt, textAt, without } from "./fields.ts"

/** What stands in for a hidden value. */
export const hidden = "***"
export const hiddenBefore = "*** (before)"
export const hiddenAfter = "*** (after)"

export const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

/** Names of variables whose literal value is treated as a secret although it stands in the clear in the manifest. */
const secretName =
  /passw(?:or)?d|passphrase|(?:^|_)pass(?:_|$)|(?:^|_)pwd(?:_|$)|secret|token|credential|api_?key|private_?key|access_?key|encryption_?key|_dsn$|authorization/iu
export const isSecretName = (name: string): boolean => secretName.test(name.replaceAll("-", "_"))

/** A password in a URL (`postgres://user:password@host`), wherever it stands in the text. */
const inUrl = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s@/]+(?=@)/giu
export const maskText = (text: string): string => text.replaceAll(inUrl, `$1${hidden}`)

const maskEnv = (entry: unknown): unknown => {
  if (!isFields(entry)) return entry
  const value = textAt(entry, "value")
  if (value === undefined || value === "") return entry
  return { ...entry, value: isSecretName(textAt(entry, "name") ?? "") ? hidden : maskText(value) }
}

/** Any JSON with its values masked: entries of `env` by their name, every other text where it holds a URL with a password. */
const maskValue = (value: unknown, key: string): unknown => {
  if (typeof value === "string") return maskText(value)
  if (Array.isArray(value)) return value.map((one) => (key === "env" ? maskEnv(one) : maskValue(one, "")))
  if (!isFields(value)) return value
  return Object.fromEntries(Object.entries(value).map(([field, one]) => [field, maskValue(one, field)]))
}

const maskData = (data: unknown): unknown =>
  isFields(data) ? Object.fromEntries(Object.keys(data).map((key) => [key, hidden])) : data

const maskLastApplied = (text: string): string => {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return hidden
  }
  return isFields(parsed) ? JSON.stringify(maskFields(parsed)) : hidden
}

const maskAnnotations = (annotations: Fields): Fields =>
  Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [
      key,
      typeof value !== "string" ? value : key === lastApplied ? maskLastApplied(value) : maskText(value)
    ])
  )

const maskFields = (object: Fields): Fields => {
  const metadata = fieldsOf(object["metadata"])
  const secret = object["kind"] === "Secret"
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => {
      if (secret && (key === "data" || key === "stringData")) return [key, maskData(value)]
      if (key !== "metadata" || !isFields(value)) return [key, maskValue(value, key)]
      if (metadata["annotations"] === undefined) return [key, maskValue(value, key)]
      return [
        key,
        {
          ...fieldsOf(maskValue(without(value, "annotations"), key)),
          annotations: maskAnnotations(fieldsOf(metadata["annotations"]))
        }
      ]
    })
  )
}

/** The object as it may be shown: its kind decides what is secret in it. */
export const maskObject = (object: KubernetesObject): Fields => maskFields(object)

/** The live object as YAML, without managedFields and with secrets masked. */
export const yamlOf = (object: KubernetesObject): string => {
  const masked = maskObject(object)
  const shown = { ...masked, metadata: without(fieldsOf(masked["metadata"]), "managedFields") }
  return stringify(shown, { lineWidth: 0, aliasDuplicateObjects: false })
}

/** Variables of every container, init containers first, with where a value comes from in place of the value of a secret. */
export const environmentOf = (
  template: Fields
): ReadonlyArray<{ readonly container: string; readonly name: string; readonly value: string }> =>
  [...listAt(template, "spec", "initContainers"), ...listAt(template, "spec", "containers")].flatMap((container) => {
    const owner = textAt(container, "name") ?? ""
    const whole = listAt(container, "envFrom").map((source) => ({
      container: owner,
      name: `${textAt(source, "prefix") ?? ""}*`,
      value: sourceOf(source, "secretRef", "configMapRef")
    }))
    const single = listAt(container, "env").map((entry) => ({
      container: owner,
      name: textAt(entry, "name") ?? "",
      value: isFields(at(entry, "valueFrom"))
        ? sourceOf(at(entry, "valueFrom"), "secretKeyRef", "configMapKeyRef")
        : (textAt(maskEnv(entry), "value") ?? "")
    }))
    return [...whole, ...single]
  })

/** `secret db/password`, `config map web/colour`, `field status.podIP`. */
const sourceOf = (source: unknown, secret: string, configMap: string): string => {
  const named = (what: string, ref: unknown) =>
    [`${what} ${textAt(ref, "name") ?? ""}`, ...(textAt(ref, "key") === undefined ? [] : [textAt(ref, "key")])].join(
      "/"
    )
  if (isFields(at(source, secret))) return named("secret", at(source, secret))
  if (isFields(at(source, configMap))) return named("config map", at(source, configMap))
  const field = textAt(source, "fieldRef", "fieldPath")
  if (field !== undefined) return `field ${field}`
  const resource = textAt(source, "resourceFieldRef", "resource")
  return resource === undefined ? "" : `resource ${resource}`
}
