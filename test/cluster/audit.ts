/** Reads the API server's audit log; must not interpret it. */
import { readFileSync } from "node:fs"

/** One audited request; fields of audit.k8s.io/v1 that tests look at. */
export interface AuditEvent {
  readonly auditID: string
  readonly stage: "ResponseStarted" | "ResponseComplete" | "Panic"
  readonly verb: string
  readonly requestURI: string
  readonly user: { readonly username: string; readonly groups?: ReadonlyArray<string> }
  readonly impersonatedUser?: { readonly username: string }
  readonly userAgent?: string
  readonly objectRef?: {
    readonly resource: string
    readonly namespace?: string
    readonly name?: string
    readonly apiGroup?: string
    readonly subresource?: string
  }
  readonly responseStatus?: { readonly code: number; readonly reason?: string }
  readonly requestObject?: object
  readonly responseObject?: object
  readonly stageTimestamp: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** Complete lines only: the last one may be half written. */
export const readAudit = (path: string): ReadonlyArray<AuditEvent> => {
  const text = readFileSync(path, "utf8")
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as AuditEvent)
}
