/** Keyset cursors of the list of jobs, bound to the sort and filter they were given for; must read no row. */
import { createHash } from "node:crypto"
import type { JobSort } from "#shared/api/scheduler.ts"
import type { JobsAsked } from "./JobStore.ts"

/** Where a page ended. `at` is the end of the job, to the microsecond, where that is the order. */
export interface Place {
  readonly id: string
  readonly at: string
}

const shape =
  /^([0-9a-f]{16})\.([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\.(|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z)$/u

export const sortOf = ({ sort = "newest" }: JobsAsked): JobSort => sort

/** Not a secret: it tells a mistake, not an attack; the place within is the caller's to choose anyway. */
const markOf = (asked: JobsAsked) => {
  const { kind, q, queue, schedule, since, state, target, until } = asked
  const parts = [sortOf(asked), kind, q, queue, schedule, since, state, target, until]
  return createHash("sha256")
    .update(JSON.stringify(parts.map((part) => part ?? null)))
    .digest("hex")
    .slice(0, 16)
}

export const cursorOf = (asked: JobsAsked, { at, id }: Place): string =>
  Buffer.from(`${markOf(asked)}.${id}.${at}`).toString("base64url")

/** Undefined if it is none of ours, or of another list. */
export const placeOf = (asked: JobsAsked, cursor: string): Place | undefined => {
  const found = shape.exec(Buffer.from(cursor, "base64url").toString())
  if (found === null || found[1] !== markOf(asked)) return undefined
  const place = { id: found[2]!, at: found[3]! }
  const { at } = place
  const finished = sortOf(asked) === "finished"
  const sound = finished ? !Number.isNaN(Date.parse(at)) : at === ""
  return sound && cursorOf(asked, place) === cursor ? place : undefined
}
