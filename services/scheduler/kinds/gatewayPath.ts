/** Which URLs a job may call: paths of the configured gateway, and not those by which the platform itself is changed (SSRF, confused deputy); must send nothing. */
import { Schema } from "effect"

/**
 * Behind these paths the platform acts on its own identity's rights: whoever may make jobs must not borrow them to decide,
 * to change the cluster, or to make jobs in the scheduler's name.
 */
const closed = ["auth", "admin", "jobs", "openapi", ".well-known", "dashboard"]

/** Nothing escaped, so that nothing is read differently behind: segments of unreserved characters, then an optional query. */
const plain = /^\/[A-Za-z0-9._~-]+(?:\/[A-Za-z0-9._~:@-]+)*\/?(?:\?[A-Za-z0-9._~:@!$'()*+,;=/?&%-]*)?$/u

/** A path, with its query, that a job may call at the gateway. */
export const isCallable = (path: string): boolean => {
  if (!plain.test(path)) return false
  const segments = path.split("?")[0]!.split("/").slice(1)
  return !segments.some((one) => one === "." || one === "..") && !closed.includes(segments[0]!.toLowerCase())
}

export const GatewayPath = Schema.String.check(
  Schema.isMaxLength(2000),
  Schema.makeFilter((path) => isCallable(path) || "not a plain path of a service behind the gateway", {
    expected: "a path of a service behind the gateway"
  })
)
