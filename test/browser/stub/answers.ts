/** The answers every part of the stub gives. */
import { problemOf, problemResponse } from "#shared/problem.ts"

export const empty = (): Response => new Response(null, { status: 204 })
export const notFound = (): Response => problemResponse(problemOf(404, "not_found", "no such thing"))
export const refused = (status: number, code: string, detail: string): Response =>
  problemResponse(problemOf(status, code, detail))
