/** The gateway's declarative file (YAML): providers, routes, workloads, seeds of rights; its schema and everything checkable offline. Must do no I/O but read secrets it names. */
import { Result, Schema } from "effect"
import { parseDocument } from "yaml"
import { ActionPattern, Environment, EnvironmentPattern, RoleName } from "#shared/domain/rights.ts"
import { invalidInput } from "#shared/problem.ts"
import { parseReference, referenceShape } from "#shared/secrets/reference.ts"
import { canonicalTarget, isWithin, optionalCharacters } from "./canonicalPath.ts"

const name = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9-]{0,62}$/u, { expected: "a name: lower-case letters, digits and dashes" })
)
const isHttp = (text: string) => URL.canParse(text) && /^https?:$/u.test(new URL(text).protocol)
const url = Schema.String.check(Schema.makeFilter((text: string) => isHttp(text) || "must be an http(s) URL"))
const upstreamUrl = Schema.String.check(
  Schema.makeFilter((text: string) => {
    if (!isHttp(text)) return "must be an http(s) URL"
    const { hash, password, search, username } = new URL(text)
    return username + password + search + hash === "" || "must be an origin and a path alone"
  })
)
const origin = Schema.String.check(
  Schema.makeFilter((text: string) => (isHttp(text) && new URL(text).origin === text) || "must be an http(s) origin")
)

/** A secret by reference: a file is usually a mounted Secret, `ref` is of the store of secrets. Never a value in this file. */
const SecretReference = Schema.Union([
  Schema.Struct({ file: Schema.NonEmptyString }),
  Schema.Struct({
    ref: Schema.String.check(
      Schema.makeFilter((text: string) => parseReference(text) !== undefined || `must be ${referenceShape}`)
    )
  }),
  Schema.Struct({ env: Schema.NonEmptyString })
])

const common = {
  id: name,
  /** What the login page calls it. */
  label: Schema.optionalKey(Schema.NonEmptyString),
  clientId: Schema.NonEmptyString,
  clientSecret: SecretReference,
  scopes: Schema.optionalKey(Schema.Array(Schema.NonEmptyString))
}

/** An identity provider. `google` and `gitlab` are `oidc` with their issuer known; `github` speaks OAuth 2.0 and its REST API only. */
export const ProviderSettings = Schema.Union([
  Schema.Struct({ ...common, kind: Schema.Literal("oidc"), issuer: url }),
  Schema.Struct({ ...common, kind: Schema.Literal("google") }),
  Schema.Struct({ ...common, kind: Schema.Literal("gitlab"), issuer: Schema.optionalKey(url) }),
  Schema.Struct({
    ...common,
    kind: Schema.Literal("github"),
    baseUrl: Schema.optionalKey(url),
    apiUrl: Schema.optionalKey(url)
  })
])
export type ProviderSettings = typeof ProviderSettings.Type

const Method = Schema.Literals(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

/** Methods (all, if none is named) at and below a path of the route → the action that the caller must hold. */
const RuleSettings = Schema.Struct({
  path: Schema.optionalKey(Schema.String),
  methods: Schema.optionalKey(Schema.Array(Method).check(Schema.isMinLength(1))),
  action: ActionPattern
})

/** With what is held in each of more namespaces, an identity token would be too long for a header. */
const maxNamespaces = 20

/** A path of the public name → an upstream. What no rule of it names is refused. */
export const RouteSettings = Schema.Struct({
  id: name,
  /** Public host names it answers on; all of the gateway's if absent. */
  hosts: Schema.optionalKey(Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1))),
  path: Schema.String,
  upstream: upstreamUrl,
  /** The audience of its identity token, and the service that rights name. */
  service: name,
  /** The environment that rights name; the gateway's own if absent. */
  environment: Schema.optionalKey(Environment),
  /** Further environments it acts on: who holds the action in one of them passes, and the service decides by what is asked of it. */
  namespaces: Schema.optionalKey(
    Schema.Array(Environment).check(Schema.isMinLength(1), Schema.isMaxLength(maxNamespaces))
  ),
  /** Anybody may call it, and it gets no identity. */
  public: Schema.optionalKey(Schema.Boolean),
  stripPrefix: Schema.optionalKey(Schema.Boolean),
  rules: Schema.optionalKey(Schema.Array(RuleSettings)),
  allowCharacters: Schema.optionalKey(Schema.Array(Schema.Literals(optionalCharacters))),
  /** Further origins whose pages may call it with the user's cookie. */
  origins: Schema.optionalKey(Schema.Array(origin)),
  maxBodyBytes: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  /** Milliseconds until the first byte of the answer; 30 000 if absent. No listener holds a silent connection longer. */
  firstByteTimeoutMs: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 240_000 })))
})
export type RouteSettings = typeof RouteSettings.Type

/** Whom a seed means: a subject of a provider, or a verified e-mail of it. */
const Person = Schema.Union([
  Schema.Struct({ provider: name, subject: Schema.NonEmptyString }),
  Schema.Struct({ provider: name, email: Schema.NonEmptyString })
])
export type Person = typeof Person.Type

const Namespace = Schema.String.check(
  Schema.isPattern(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/u, { expected: "a Kubernetes namespace" })
)
const ServiceAccountName = Schema.String.check(
  Schema.isPattern(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/u, { expected: "the name of a Kubernetes service account" })
)

/** A program that is known by its Kubernetes service account or, in development and CI, by a key of its own, and the role it gets once. */
export const WorkloadSettings = Schema.Struct({
  id: name,
  label: Schema.optionalKey(
    Schema.String.check(
      Schema.isPattern(/^[\p{L}\p{N}\p{P}\p{S} ]{1,100}$/u, { expected: "1 to 100 printable characters" })
    )
  ),
  role: RoleName,
  /** Where it holds the role; this gateway's environment if absent. */
  environment: Schema.optionalKey(Environment),
  identity: Schema.Union([
    Schema.Struct({ kubernetes: Schema.Struct({ namespace: Namespace, serviceAccount: ServiceAccountName }) }),
    /** A file with a public JWK or JWKS (ES256); the workload signs assertions with the private half. */
    Schema.Struct({ key: Schema.Struct({ file: Schema.NonEmptyString }) })
  ])
})
export type WorkloadSettings = typeof WorkloadSettings.Type

export const SettingsFile = Schema.Struct({
  providers: Schema.Array(ProviderSettings),
  routes: Schema.Array(RouteSettings),
  /** Becomes owner at the first login; who is removed later stays removed. */
  firstOwner: Schema.optionalKey(Person),
  /** Grants given once, at the person's first login after the seed appears. */
  grants: Schema.optionalKey(
    Schema.Array(Schema.Struct({ person: Person, role: RoleName, environment: EnvironmentPattern }))
  ),
  workloads: Schema.optionalKey(Schema.Array(WorkloadSettings))
})
export type SettingsFile = typeof SettingsFile.Type

/** Why a settings file is not taken; each fault with the JSON pointer of its place. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  faults: Schema.Array(Schema.String)
}) {
  override get message() {
    return this.faults.join("\n")
  }
}

const decode = Schema.decodeUnknownResult(SettingsFile, { errors: "all", onExcessProperty: "error" })

/** What workloads have for a provider: their users and sessions name it. */
export const workloadProvider = "workload"

/** Paths the gateway answers itself. */
export const ownPaths = ["/auth", "/.well-known", "/openapi"] as const

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/u
/** Whether the host of a URL is this machine. */
export const isLoopback = (text: string): boolean => loopback.test(new URL(text).hostname)

/** Parses and checks a settings file for a gateway at `publicUrl`, without looking at any network or secret. */
export const parseSettings = (text: string, publicUrl: string): Result.Result<SettingsFile, SettingsInvalid> => {
  const document = parseDocument(text, { uniqueKeys: true, merge: false })
  const wrong = [...document.errors, ...document.warnings]
  if (wrong.length > 0) {
    return Result.fail(new SettingsInvalid({ faults: wrong.map((error) => error.message.split("\n")[0]!) }))
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch {
    return Result.fail(new SettingsInvalid({ faults: ["too many aliases"] }))
  }
  const decoded = decode(value)
  if (Result.isFailure(decoded)) {
    const { errors } = invalidInput(decoded.failure.issue)
    return Result.fail(new SettingsInvalid({ faults: errors.map((fault) => `${fault.pointer}: ${fault.detail}`) }))
  }
  const faults = contradictions(decoded.success, publicUrl)
  return faults.length === 0 ? Result.succeed(decoded.success) : Result.fail(new SettingsInvalid({ faults }))
}

/** Canonical, and spelt in the one way there is: neither an escape nor a character that a URL would escape. */
const isPlainPath = (path: string): boolean => {
  const target = canonicalTarget(`http://host${path}`, "http://host")
  if (typeof target === "string" || target.path !== path || target.needs.length > 0) return false
  return !path.includes("%") && new URL(path, "http://host").pathname === path && (path === "/" || !path.endsWith("/"))
}

const contradictions = (settings: SettingsFile, publicUrl: string): Array<string> => {
  const faults: Array<string> = []
  const providers = new Set<string>()
  settings.providers.forEach((provider, index) => {
    const at = `/providers/${index}`
    if (providers.has(provider.id)) faults.push(`${at}: a second provider "${provider.id}"`)
    if (provider.id === workloadProvider) faults.push(`${at}: "${workloadProvider}" is what workloads come from`)
    providers.add(provider.id)
    const addresses =
      provider.kind === "github" ? [provider.baseUrl, provider.apiUrl] : "issuer" in provider ? [provider.issuer] : []
    for (const address of addresses) {
      if (address === undefined || new URL(address).protocol === "https:") continue
      if (!isLoopback(address)) faults.push(`${at}: provider "${provider.id}" must be reached over https`)
      else if (!isLoopback(publicUrl)) {
        faults.push(
          `${at}: development provider "${provider.id}" is refused: this gateway's public URL is no loopback address`
        )
      }
    }
  })
  for (const person of [settings.firstOwner, ...(settings.grants ?? []).map((grant) => grant.person)]) {
    if (person !== undefined && !providers.has(person.provider))
      faults.push(`no provider "${person.provider}" for a seed`)
  }
  const ids = new Set<string>()
  const places = new Map<string, string>()
  settings.routes.forEach((route, index) => {
    const at = `/routes/${index}`
    if (ids.has(route.id)) faults.push(`${at}: a second route "${route.id}"`)
    ids.add(route.id)
    for (const path of [
      route.path,
      ...(route.rules ?? []).flatMap((rule) => (rule.path === undefined ? [] : [rule.path]))
    ]) {
      if (!isPlainPath(path)) faults.push(`${at}: "${path}" is not a canonical path`)
      if (!isWithin(path, route.path)) faults.push(`${at}: the rule for "${path}" lies outside of the route`)
    }
    for (const own of ownPaths) {
      if (route.path === own || route.path.startsWith(`${own}/`)) faults.push(`${at}: "${own}" is the gateway's own`)
    }
    for (const host of route.hosts ?? ["*"]) {
      const place = `${host.toLowerCase()} ${route.path}`
      const other = places.get(place)
      if (other !== undefined) faults.push(`${at}: route "${route.id}" overlaps route "${other}"`)
      places.set(place, route.id)
    }
    if (
      route.public === true &&
      (route.rules ?? []).some((rule) => rule.action !== "*" && rule.methods === undefined)
    ) {
      faults.push(`${at}: a public route names methods, not actions`)
    }
    if (route.public !== true && (route.rules ?? []).length === 0) faults.push(`${at}: no rule: nobody could use it`)
    if (route.public === true && route.namespaces !== undefined) {
      faults.push(`${at}: a public route asks for no right in any namespace`)
    }
    if (new Set(route.namespaces).size < (route.namespaces ?? []).length) faults.push(`${at}: a namespace twice`)
  })
  return [...faults, ...workloadContradictions(settings.workloads ?? [])]
}

const workloadContradictions = (workloads: ReadonlyArray<WorkloadSettings>): Array<string> => {
  const faults: Array<string> = []
  const ids = new Set<string>()
  const identities = new Map<string, string>()
  workloads.forEach(({ id, identity }, index) => {
    const at = `/workloads/${index}`
    if (ids.has(id)) faults.push(`${at}: a second workload "${id}"`)
    ids.add(id)
    const proof =
      "key" in identity
        ? `the key ${identity.key.file}`
        : `the service account ${identity.kubernetes.namespace}/${identity.kubernetes.serviceAccount}`
    const other = identities.get(proof)
    if (other !== undefined) faults.push(`${at}: ${proof} is already that of workload "${other}"`)
    identities.set(proof, id)
  })
  return faults
}
