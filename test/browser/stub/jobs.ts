/** `/jobs/*` from memory: jobs, schedules and incidents that do what they are told, with streams under the test's control. */
import type { Actor, Proposal } from "#shared/api/admin.ts"
import type { Incident, Job, ScheduleInput, ScheduleView } from "#shared/api/scheduler.ts"
import { ago, demoId } from "../demoCluster.ts"
import { makeChain, makeIncidents, makeJobDetail, makeJobLog, makeJobs, makeSchedules } from "../demoJobs.ts"
import { empty, notFound, refused } from "./answers.ts"
import { makeStreams } from "./streams.ts"

const kinds = [
  { kind: "http.call", description: "Calls a service of this environment" },
  { kind: "kubernetes.job", description: "Runs an image to its end" },
  { kind: "backup.database", description: "Saves a database" },
  { kind: "report.daily", description: "Sums up the day" }
]

export const makeWatch = (environment: string, me: Actor, proposals: ReadonlyArray<Proposal>) => {
  const jobs: Array<Job> = makeJobs()
  const schedules: Array<ScheduleView> = makeSchedules()
  const incidents: Array<Incident> = makeIncidents(environment)
  const state = {
    watch: { state: "live", since: null } as { state: "live" | "stale" | "off"; since: string | null },
    log: makeJobLog()
  }
  const streams = makeStreams(() => [])
  const logs = makeStreams(() => state.log.map((line) => ({ event: "line", data: line })))
  let next = 1100

  const tellJob = (job: Job) => {
    const index = jobs.findIndex(({ id }) => id === job.id)
    if (index === -1) jobs.unshift(job)
    else jobs[index] = job
    streams.tell("job", job)
    return job
  }
  const tellIncident = (incident: Incident) => {
    incidents[incidents.findIndex(({ id }) => id === incident.id)] = incident
    streams.tell("incident", incident)
    return incident
  }
  const start = (kind: string, more: Partial<Job>) =>
    tellJob({ ...jobs[0]!, id: demoId(next++), kind, state: "available", attempt: 0, startedAt: null, ...more })

  const says = ({ id, kind, reason, schedule }: Job, q: string) =>
    [id, kind, schedule ?? "", reason].some((text) => text.toLowerCase().includes(q.toLowerCase()))

  const read = (request: Request, [, what, third, fourth]: ReadonlyArray<string>, query: URLSearchParams): Response => {
    const fits = (name: string, value: string | null) => query.get(name) === null || query.get(name) === value
    switch (what) {
      case undefined:
        return Response.json({
          items: jobs.filter(
            (job) =>
              fits("state", job.state) &&
              fits("kind", job.kind) &&
              fits("schedule", job.schedule) &&
              says(job, query.get("q") ?? "")
          ),
          nextCursor: null
        })
      case "stream":
        return streams.answer(request)
      case "kinds":
        return Response.json({ items: kinds })
      case "health":
        return Response.json({
          watch: state.watch,
          workloads: 14,
          pods: 22,
          openIncidents: incidents.filter((one) => one.state === "open").length,
          queue: { due: 0, oldestSeconds: null }
        })
      case "schedules":
        if (fourth === "preview") return Response.json({ slots: [ago(-60), ago(-1500), ago(-2940)], notes: [] })
        return Response.json({ items: schedules })
      case "incidents": {
        if (third === undefined) {
          return Response.json({
            items: incidents.filter(
              (one) => fits("state", one.state) && fits("class", one.class) && fits("proposal", one.remedy)
            ),
            nextCursor: null
          })
        }
        const found = incidents.find(({ id }) => id === third)
        return found === undefined ? notFound() : Response.json(makeChain(found, proposals))
      }
      default: {
        const found = jobs.find(({ id }) => id === what)
        if (found === undefined) return notFound()
        return third === "logs" ? logs.answer(request) : Response.json(makeJobDetail(found))
      }
    }
  }

  const changeSchedule = (method: string, name: string, verb: string | undefined, body: string): Response => {
    const index = schedules.findIndex((one) => one.name === name)
    const found = schedules[index]
    if (method === "PUT") {
      const { payload: _, ...input } = JSON.parse(body) as ScheduleInput
      const made = { ...(found ?? { ...schedules[0]!, builtIn: false, lastJob: null }), ...input, name }
      if (found === undefined) schedules.push(made)
      else schedules[index] = made
      return Response.json(made, { status: found === undefined ? 201 : 200 })
    }
    if (found === undefined) return notFound()
    if (method === "DELETE") {
      schedules.splice(index, 1)
      return empty()
    }
    if (verb === "trigger") return Response.json(start(found.kind, { schedule: name }), { status: 201 })
    schedules[index] = { ...found, enabled: verb === "resume" }
    return Response.json(schedules[index])
  }

  const change = (method: string, [, what, third, fourth]: ReadonlyArray<string>, body: string): Response => {
    if (what === "schedules") return changeSchedule(method, third!, fourth, body)
    if (what === "incidents") {
      const found = incidents.find(({ id }) => id === third)
      if (found === undefined) return notFound()
      const now = new Date().toISOString()
      if (fourth === "ack") return Response.json(tellIncident({ ...found, acknowledged: { actor: me, at: now } }))
      const { until } = JSON.parse(body) as { until: string }
      return Response.json(tellIncident({ ...found, mutedUntil: until }))
    }
    const found = jobs.find(({ id }) => id === what)
    if (found === undefined) return notFound()
    if (third === "retry") return Response.json(start(found.kind, { retryOf: found.id }), { status: 201 })
    if (found.finishedAt !== null) return refused(409, "conflict", "the job has ended")
    const { reason } = JSON.parse(body) as { reason: string }
    return Response.json(tellJob({ ...found, state: "cancelled", reason, finishedAt: new Date().toISOString() }))
  }

  return {
    state,
    jobs,
    schedules,
    incidents,
    streams,
    logs,
    everyStream: [streams, logs],
    tellJob,
    tellIncident,
    read,
    change
  }
}
