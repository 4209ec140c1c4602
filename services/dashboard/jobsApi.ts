/** The scheduler's API as the browser calls it: jobs, schedules, incidents; must hold no state. */
import type {
  Incident,
  IncidentChain,
  Job,
  JobDetail,
  ScheduleInput,
  ScheduleView,
  WatchHealth
} from "#shared/api/scheduler.ts"
import type { JobKinds, MuteInput, SlotPreview } from "#shared/api/scheduler.ts"
import type { Page } from "#shared/api/paging.ts"
import { call, id, query } from "./api.ts"

type Filter = Readonly<Record<string, string | undefined>>

const post = <A>(path: string, json?: unknown, idempotencyKey?: string) =>
  call<A>(path, {
    method: "POST",
    ...(json === undefined ? {} : { json }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey })
  })

const schedulePath = (name: string) => `/jobs/schedules/${id(name)}`
const incidentPath = (incident: string) => `/jobs/incidents/${id(incident)}`

export const jobsApi = {
  jobs: (filter: Filter, cursor?: string) => call<Page<Job>>(`/jobs${query({ limit: 50, ...filter, cursor })}`),
  job: (job: string) => call<JobDetail>(`/jobs/${id(job)}`),
  logPath: (job: string) => `/jobs/${id(job)}/logs`,
  cancel: (job: string, reason: string, key: string) => post<Job>(`/jobs/${id(job)}/cancel`, { reason }, key),
  retry: (job: string, key: string) => post<Job>(`/jobs/${id(job)}/retry`, undefined, key),
  kinds: () => call<typeof JobKinds.Type>("/jobs/kinds"),
  health: () => call<WatchHealth>("/jobs/health"),
  schedules: () => call<{ readonly items: ReadonlyArray<ScheduleView> }>("/jobs/schedules"),
  putSchedule: (name: string, input: ScheduleInput) =>
    call<ScheduleView>(schedulePath(name), { method: "PUT", json: input }),
  deleteSchedule: (name: string) => call<void>(schedulePath(name), { method: "DELETE" }),
  previewSlots: (name: string, n: number) =>
    call<typeof SlotPreview.Type>(`${schedulePath(name)}/preview${query({ n })}`),
  trigger: (name: string, key: string) => post<Job>(`${schedulePath(name)}/trigger`, undefined, key),
  setEnabled: (name: string, enabled: boolean, key: string) =>
    post<ScheduleView>(`${schedulePath(name)}/${enabled ? "resume" : "pause"}`, undefined, key),
  incidents: (filter: Filter, cursor?: string) =>
    call<Page<Incident>>(`/jobs/incidents${query({ limit: 50, ...filter, cursor })}`),
  incident: (incident: string) => call<IncidentChain>(incidentPath(incident)),
  acknowledge: (incident: string, key: string) => post<Incident>(`${incidentPath(incident)}/ack`, undefined, key),
  mute: (incident: string, input: typeof MuteInput.Type, key: string) =>
    post<Incident>(`${incidentPath(incident)}/mute`, input, key)
}
