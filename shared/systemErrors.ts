/** What the operating system says of a failure; must put it in no words, those are the caller's. */

/** The code of a system's error, such as ENOSPC. */
export const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : "unknown"
