/** What the scheduler's routes say of themselves in the OpenAPI description; must hold no behaviour. */
import { Schema } from "effect"
import {
  CancelledMany,
  CancelPreview,
  Job,
  JobDetail,
  JobKinds,
  JobLog,
  JobPage,
  JobQuery,
  ScheduleList,
  ScheduleView,
  SlotPreview,
  WatchHealth
} from "#shared/api/scheduler.ts"
import { detail } from "#shared/openApi.ts"
import { AuditVerdict, Backfilled, LogQuery, PreviewQuery } from "./wire.ts"

const tag = "scheduler"

export const routeDetails = {
  jobs: detail({
    summary: "Jobs, newest first",
    description:
      "`q` is part, in either case, of the id, kind, schedule, reason or an attempt's error; payloads are not searched. `queue` is the part of the kind before its first dot. `sort=finished` shows only jobs that have ended. A cursor belongs to the filter and sort that it was given for.",
    tag,
    query: JobQuery,
    answers: { 200: JobPage },
    problems: [400]
  }),
  enqueue: detail({
    summary: "Run a job",
    description:
      "201 once the job is kept: from then on it is run whatever happens. 200 with the job that is there already for a known `uniqueKey` or a repeated request.",
    tag,
    headers: { "idempotency-key": "Makes a repetition of this request harmless" },
    answers: { 200: Job, 201: Job },
    problems: [400, 409, 413, 415, 422]
  }),
  kinds: detail({ summary: "What kinds of job there are", tag, answers: { 200: JobKinds } }),
  job: detail({ summary: "One job with its attempts", tag, answers: { 200: JobDetail }, problems: [404] }),
  logs: detail({
    summary: "What a job has logged",
    description:
      "With `Accept: text/event-stream` a stream: an event `line` for each line, resumed by `Last-Event-ID`, and `end` when the job has ended.",
    tag,
    query: LogQuery,
    headers: { "last-event-id": "The last line a stream has shown" },
    answers: { 200: JobLog },
    problems: [400, 404]
  }),
  cancel: detail({
    summary: "Cancel a job",
    description: "At once if it waits; a running one is told to end, and given up after 15 s.",
    tag,
    answers: { 200: Job },
    problems: [400, 404, 409, 415, 422]
  }),
  cancelMany: detail({
    summary: "Cancel all jobs that fit a filter",
    description:
      "`confirmCount` is the number that the preview showed: 400 with the present number without it, 409 `count_changed` if it no longer fits. Running jobs are told to end as by a single cancel. In parts of 500: what fails in between has cancelled some, and can be asked for again.",
    tag,
    answers: { 200: CancelledMany },
    problems: [400, 409, 415]
  }),
  previewCancel: detail({
    summary: "How many jobs a cancel by filter would hit, and the newest of them",
    tag,
    answers: { 200: CancelPreview },
    problems: [400, 415]
  }),
  retry: detail({
    summary: "Run a job that has ended once more",
    tag,
    answers: { 201: Job },
    problems: [404, 409, 422]
  }),
  health: detail({ summary: "What the watchman sees, and how long its queue is", tag, answers: { 200: WatchHealth } }),
  stream: detail({
    summary: "What happens to jobs and incidents, as it happens",
    description:
      "Events `job`, `incident`, `health`; `reset` where some are missing and the lists have to be asked again.",
    tag,
    headers: { "last-event-id": "The last event seen" },
    answers: { 200: { type: "text/event-stream", description: "Server-sent events until the client leaves" } }
  }),
  schedules: detail({ summary: "All schedules", tag, answers: { 200: ScheduleList } }),
  schedule: detail({ summary: "One schedule", tag, answers: { 200: ScheduleView }, problems: [404] }),
  putSchedule: detail({
    summary: "Make or change a schedule",
    description: "Slots that have passed are never run again; the answer shows the next five.",
    tag,
    answers: { 200: ScheduleView, 201: ScheduleView },
    problems: [400, 413, 415, 422]
  }),
  deleteSchedule: detail({
    summary: "Delete a schedule; its jobs stay",
    tag,
    answers: { 204: "Deleted" },
    problems: [404, 409]
  }),
  preview: detail({
    summary: "When a schedule will run",
    tag,
    query: PreviewQuery,
    answers: { 200: SlotPreview },
    problems: [400, 404]
  }),
  trigger: detail({ summary: "Run a schedule's job now", tag, answers: { 201: Job }, problems: [404] }),
  pause: detail({ summary: "Pause a schedule", tag, answers: { 200: ScheduleView }, problems: [404] }),
  resume: detail({
    summary: "Resume a schedule; what was due meanwhile is not made up for",
    tag,
    answers: { 200: ScheduleView },
    problems: [404]
  }),
  backfill: detail({
    summary: "Run the slots of a past time that have not run",
    tag,
    answers: { 200: Backfilled },
    problems: [400, 404, 415, 422]
  }),
  audit: detail({
    summary: "Whether the audit's rows are as they were written",
    tag,
    answers: { 200: AuditVerdict }
  }),
  openapi: detail({
    summary: "This description",
    tag,
    answers: { 200: Schema.Record(Schema.String, Schema.Unknown) }
  })
}
