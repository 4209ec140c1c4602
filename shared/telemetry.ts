/** Logs and metrics: JSON lines without secrets or line breaks, Prometheus text; must not know any service. */
import { Config, Effect, Layer, Logger, References } from "effect"
import { PrometheusMetrics } from "effect/observability"

const secrets: ReadonlyArray<readonly [RegExp, string]> = [
  // A JWT or JWS: three base64url parts, the first a JSON object.
  [/\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/gu, "<token>"],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/giu, "$1 <redacted>"],
  [/(__Host-gatehouse[a-z-]*=)[^;\s"]+/gu, "$1<redacted>"],
  // Tokens of a KV server (Vault, OpenBao): service, batch, recovery.
  [/\b(?:hv)?[sbr]\.[A-Za-z0-9_-]{20,}/gu, "<token>"],
  [/\bgt[hr]_[A-Za-z0-9_-]{8,}/gu, "<token>"],
  [
    /([?&](?:code|state|token|access_token|refresh_token|id_token|client_secret|code_verifier)=)[^&\s"#]+/giu,
    "$1<redacted>"
  ],
  [/(postgres(?:ql)?:\/\/[^:@/\s"]*:)[^@\s"]+@/giu, "$1<redacted>@"]
]

/** Takes tokens, cookies, passwords in URLs and secret query parameters out of a line of log. */
export const redact = (line: string): string =>
  secrets.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), line)

const toConsole = <A>(logger: Logger.Logger<A, string>) =>
  // boundary: the console is where a container's log goes.
  Logger.map(logger, (line) => console.log(redact(line)))

const settings = Config.all({
  format: Config.Literals(["json", "text"], "LOG_FORMAT").pipe(Config.withDefault("json" as const)),
  level: Config.Literals(["Debug", "Info", "Warn", "Error"], "LOG_LEVEL").pipe(Config.withDefault("Info" as const))
})

/** One JSON object a line (`LOG_FORMAT=text` for people) from `LOG_LEVEL` up, each with the service's name. */
export const logging = (service: string) =>
  Layer.unwrap(
    Effect.map(settings, ({ format, level }) =>
      Layer.mergeAll(
        Logger.layer([toConsole(format === "json" ? Logger.formatJson : Logger.formatLogFmt)]),
        Layer.succeed(References.MinimumLogLevel, level),
        Layer.succeed(References.CurrentLogAnnotations, { service })
      )
    )
  )

/** Everything this process counts, as Prometheus text 0.0.4. */
export const metricsText = PrometheusMetrics.format()
