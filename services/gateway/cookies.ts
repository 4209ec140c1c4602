/** The gateway's cookies: names, reading without surprises, and the one set of attributes they are set and cleared with. */

export const sessionCookie = "__Host-gatehouse"
export const loginCookie = "__Host-gatehouse-login"
/** Marks that this browser was just sent to the login, so that a cookie which does not stick is told, not looped over. */
export const redirectCookie = "__Host-gatehouse-redirected"

/** Every value a Cookie header holds under exactly this name. */
export const cookieValues = (header: string | null, name: string): ReadonlyArray<string> => {
  if (header === null || !header.includes(name)) return []
  const values: Array<string> = []
  for (const part of header.split(";")) {
    const equals = part.indexOf("=")
    if (equals !== -1 && part.slice(0, equals).trim() === name) values.push(part.slice(equals + 1).trim())
  }
  return values
}

/** `__Host-` demands Secure, Path=/ and no Domain: no sibling host can plant the cookie. `maxAge` in seconds; 0 deletes. */
export const setCookie = (name: string, value: string, maxAge?: number): string =>
  `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax${maxAge === undefined ? "" : `; Max-Age=${maxAge}`}`
