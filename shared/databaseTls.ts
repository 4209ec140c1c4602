/** How a Postgres proves who it is before it is shown a password: what a connection URL asks for, and what a refusal means; must let no half measure pass. */
import { readFileSync } from "node:fs"
import { checkServerIdentity, type ConnectionOptions } from "node:tls"
import { Clock, Config, Effect, Metric, Redacted, Schedule, Schema } from "effect"
import { secret } from "./config.ts"
import { invalid } from "./invalidSetting.ts"
import { codeOf } from "./systemErrors.ts"

/**
 * libpq's parameters of the same names, of which two ways are taken: nothing (`disable`, for a unix socket or the same
 * machine), and all of it (`verify-full` with `sslrootcert`). What is between them encrypts for whoever answers.
 */
const expected = "use sslmode=verify-full with sslrootcert=<file>, or no sslmode at all"

/** The system's authorities instead of a file's, as libpq names them. */
const system = "system"

/** A server that was not believed, or would not be spoken to; no connection stands. */
export class DatabaseNotTrusted extends Schema.TaggedError<DatabaseNotTrusted>()("DatabaseNotTrusted", {
  reason: Schema.Literals(["authority", "authority_file", "name", "time", "no_tls", "tls_wanted", "tls"])
}) {
  override get message() {
    return words[this.reason]
  }
}

const words = {
  authority: "the server's certificate is not from an authority that sslrootcert names",
  authority_file: "the authorities of sslrootcert cannot be read",
  name: "the server's certificate is for another name",
  time: "the server's certificate is not valid at this time",
  no_tls: "the server does not speak TLS",
  tls_wanted: "the server wants TLS, and the URL has no sslmode=verify-full",
  tls: "no TLS connection can be made"
} as const

/** Of what is no URL, nothing: the driver says so. */
const parametersOf = (text: string) => {
  if (!URL.canParse(text)) return { mode: "disable", authorities: undefined, local: true }
  const url = new URL(text)
  const host = url.searchParams.get("host") ?? decodeURIComponent(url.hostname)
  return {
    mode: url.searchParams.get("sslmode") ?? "disable",
    authorities: url.searchParams.get("sslrootcert") ?? undefined,
    local: host === "" || host.startsWith("/") || /^(?:localhost|127(?:\.\d+){3}|\[?::1\]?)$/u.test(host)
  }
}

const readAuthorities = (path: string): string | undefined => {
  try {
    const text = readFileSync(path, "utf8")
    return text.includes("-----BEGIN CERTIFICATE-----") ? text : undefined
  } catch {
    return undefined
  }
}

/** What is wrong with a connection URL; undefined where nothing is. */
export const urlFault = (text: string): string | undefined => {
  if (!/^postgres(?:ql)?:\/\//u.test(text) || !URL.canParse(text)) return "must be a postgres:// URL"
  const { authorities, mode } = parametersOf(text)
  if (mode === "disable") return undefined
  if (mode !== "verify-full" || authorities === undefined) return `half-protected: ${expected}`
  if (authorities === system || readAuthorities(authorities) !== undefined) return undefined
  return words.authority_file
}

/** Refuses, with the key's name, a URL that asks for less than verified TLS, or for authorities that cannot be read. */
export const checkDatabaseUrl = (key: string) => (url: Redacted.Redacted) => {
  const fault = urlFault(Redacted.value(url))
  return fault === undefined ? Effect.succeed(url) : invalid(key, fault)
}

/** The secret `key`, a connection URL. */
export const databaseUrl = (key: string): Config.Config<Redacted.Redacted> =>
  secret(key).pipe(Config.mapEffect(checkDatabaseUrl(key)))

/** Whether passwords and rows go over a network as they are. */
export const isUnprotected = (url: Redacted.Redacted): boolean => {
  const { local, mode } = parametersOf(Redacted.value(url))
  return mode === "disable" && !local
}

/**
 * The driver's `ssl` for a URL. The file is read for each connection, so that a new authority is believed as soon as it is
 * there; one that cannot be read believes nobody. `seen` is given the end of each certificate that is believed, in
 * milliseconds since 1970.
 */
export const verification = (
  url: Redacted.Redacted,
  seen: (notAfter: number) => void = () => {}
): false | ConnectionOptions => {
  const { authorities, mode } = parametersOf(Redacted.value(url))
  if (mode === "disable") return false
  const ca = authorities === undefined ? undefined : authorities === system ? system : readAuthorities(authorities)
  const believed = mode === "verify-full" && ca !== undefined
  return {
    ...(ca === system ? {} : { ca: ca ?? [] }),
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED would else have a say.
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    checkServerIdentity: (host, certificate) => {
      if (!believed) return new DatabaseNotTrusted({ reason: "authority_file" })
      const fault = checkServerIdentity(host, certificate)
      if (fault === undefined) seen(Date.parse(certificate.valid_to))
      return fault
    }
  }
}

/** Codes of OpenSSL's and Node's (tls, "X509 certificate error codes"). */
const reasons: ReadonlyArray<readonly [RegExp, DatabaseNotTrusted["reason"]]> = [
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/u, "name"],
  [/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/u, "time"],
  [/^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_CA$|PATH_LENGTH_|INVALID_PURPOSE$)/u, "authority"],
  [/^(?:ERR_TLS_|ERR_SSL_)/u, "tls"]
]

/** What the cause of a failed connection says about trust; undefined where it failed for another reason. */
export const distrustOf = (cause: unknown, url: Redacted.Redacted): DatabaseNotTrusted | undefined => {
  if (cause instanceof DatabaseNotTrusted) return cause
  if (typeof cause !== "object" || cause === null) return undefined
  const code = codeOf(cause)
  const message = "message" in cause ? String(cause.message) : ""
  if (message === "The server does not support TLS") return new DatabaseNotTrusted({ reason: "no_tls" })
  if (code === "28000" && message.endsWith("no encryption")) return new DatabaseNotTrusted({ reason: "tls_wanted" })
  const reason = reasons.find(([shape]) => shape.test(code))?.[1]
  if (reason === undefined) return undefined
  // With no authorities at hand every certificate is a stranger's.
  const fileFault = urlFault(Redacted.value(url)) === words.authority_file
  return new DatabaseNotTrusted({ reason: fileFault ? "authority_file" : reason })
}

const notAfterSeconds = Metric.gauge("gatehouse_database_certificate_not_after_seconds", {
  description: "End of the certificate that the database showed last, in seconds since 1970."
})

/** How long before a certificate's end each look at it is a warning, in milliseconds: time to renew it in a working week. */
const warnBefore = 45 * 86_400_000

/** Tells of the certificate that a database showed last: a figure, and a warning each six hours when its end is near. */
export const watchCertificate = (name: string) => {
  let notAfter: number | undefined
  const look = Effect.gen(function* () {
    if (notAfter === undefined) return
    yield* Metric.update(Metric.withAttributes(notAfterSeconds, { database: name }), notAfter / 1000)
    if (notAfter - (yield* Clock.currentTimeMillis) > warnBefore) return
    yield* Effect.logWarning(`${name}: the certificate must be renewed (gatehouse secrets renew)`).pipe(
      Effect.annotateLogs({ notAfter: new Date(notAfter).toISOString() })
    )
  })
  return {
    seen: (at: number) => void (notAfter = at),
    watch: Effect.repeat(look, Schedule.min([Schedule.spaced("6 hours"), Schedule.exponential("10 seconds")]))
  }
}
