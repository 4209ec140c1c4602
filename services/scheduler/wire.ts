/** The parts of the scheduler's wire that only its own routes need; must hold no behaviour. */
import { Schema } from "effect"
import { JobLogLine } from "#shared/api/scheduler.ts"

/** Query of GET /jobs/:id/logs. */
export const LogQuery = Schema.Struct({
  /** This level and those above it. */
  level: Schema.optionalKey(JobLogLine.fields.level),
  /** Lines with a greater id. */
  after: Schema.optionalKey(Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))),
  limit: Schema.optionalKey(
    Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: 1000 }))
  )
})

/** Query of GET /jobs/schedules/:name/preview. */
export const PreviewQuery = Schema.Struct({
  n: Schema.optionalKey(Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: 100 }))),
  from: Schema.optionalKey(Schema.String)
})

/** Answer of POST /jobs/schedules/:name/backfill. */
export const Backfilled = Schema.Struct({
  /** Slots that have a job now and had none before. */
  enqueued: Schema.Int,
  /** Slots that had run, or been left out by a policy, already. */
  known: Schema.Int
})

/** Answer of GET /jobs/audit/verify. */
export const AuditVerdict = Schema.Struct({
  ok: Schema.Boolean,
  rows: Schema.Int,
  /** The first row that is not as it was written. */
  brokenAt: Schema.NullOr(Schema.Int)
})

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/u

/** Whether text is a time of RFC 3339 that exists; Date takes 31 February for 3 March. */
export const isTime = (text: string): boolean => {
  if (!rfc3339.test(text)) return false
  const millis = Date.parse(text)
  const [year, month, day] = text.slice(0, 10).split("-").map(Number) as [number, number, number]
  return !Number.isNaN(millis) && year > 0 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
}
