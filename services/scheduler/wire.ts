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

/** Offsets as Postgres takes them, which is all that any zone has; hour 24 is ISO 8601, not RFC 3339. */
const rfc3339 =
  /^\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:[Zz]|[+-](?:0\d|1[0-5]):[0-5]\d)$/u

/** What four digits of a year can show, in UTC. */
const earliest = Date.parse("0001-01-01T00:00:00Z")
const latest = Date.parse("9999-12-31T23:59:59.999Z")

/** Whether text is a time of RFC 3339 that exists, in UTC too; Date takes 31 February for 3 March. */
export const isTime = (text: string): boolean => {
  if (!rfc3339.test(text)) return false
  const millis = Date.parse(text)
  const [year, month, day] = text.slice(0, 10).split("-").map(Number) as [number, number, number]
  return millis >= earliest && millis <= latest && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
}
