/** Where a login may lead (spec R7): a canonical path of this gateway, or `/`; must never yield another origin. */
import { canonicalTarget, isWithin } from "./canonicalPath.ts"

/** `value` if it is a path (and query) of `publicOrigin` in canonical form, else `/`. */
export const safeReturnTo = (value: string | null | undefined, publicOrigin: string): string => {
  if (value == null || !value.startsWith("/") || value.startsWith("//")) return "/"
  const target = canonicalTarget(publicOrigin + value, publicOrigin)
  if (typeof target === "string" || target.needs.length > 0) return "/"
  const url = URL.parse(value, publicOrigin)
  if (url === null || url.origin !== new URL(publicOrigin).origin) return "/"
  // A login that leads to the login (or out of it) is a loop.
  if (isWithin(target.reading ?? target.path, "/auth")) return "/"
  return url.pathname === target.path ? value : "/"
}
