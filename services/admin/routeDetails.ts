/** The words of each route in the OpenAPI description; must hold no behaviour. */
import { Schema } from "effect"
import {
  Action,
  ActionPage,
  Capabilities,
  ChainCheck,
  EventList,
  History,
  Plan,
  Proposal,
  ProposalPage,
  RevisionDiff,
  RolloutStatus,
  UndoPreview,
  WorkloadDetail,
  WorkloadList
} from "#shared/api/admin.ts"
import { detail } from "#shared/openApi.ts"
import { LogQuery } from "./Logs.ts"
import { ActionQuery, DiffQuery, EventsQuery, ProposalQuery, StatusQuery, StreamQuery } from "./requests.ts"

const tag = "admin"
const stream = { type: "text/event-stream", description: "Server-sent events" }
const headers = {
  "Idempotency-Key": "Makes a repeated request give the same action; another body with it is refused with 422"
}
const asked = "202 with the action, or 200 where nothing had to be written."
const write = (summary: string, description: string) =>
  detail({
    summary,
    description: `${description} ${asked}`,
    tag,
    headers,
    answers: { 200: Action, 202: Action },
    problems: [400, 404, 409, 413, 415, 422]
  })

export const routeDetails = {
  workloads: detail({ summary: "The workloads of a namespace", tag, answers: { 200: WorkloadList } }),
  events: detail({
    summary: "Kubernetes events of a namespace, or of one workload with its pods",
    tag,
    query: EventsQuery,
    answers: { 200: EventList },
    problems: [422]
  }),
  workload: detail({
    summary: "One workload with its revisions, pods and YAML, secrets masked",
    tag,
    answers: { 200: WorkloadDetail },
    problems: [404, 422]
  }),
  status: detail({
    summary: "Where its rollout stands, in kubectl's words and beyond them",
    tag,
    query: StatusQuery,
    answers: { 200: RolloutStatus },
    problems: [404, 422]
  }),
  history: detail({ summary: "Its revisions, ascending", tag, answers: { 200: History }, problems: [404, 422] }),
  diff: detail({
    summary: "What differs between two of its revisions",
    description: "Without `from` and `to`: the previous and the present one.",
    tag,
    query: DiffQuery,
    answers: { 200: RevisionDiff },
    problems: [404, 409, 422]
  }),
  logs: detail({
    summary: "Log lines of a container",
    tag,
    query: LogQuery,
    answers: { 200: stream },
    problems: [404, 422, 429]
  }),
  plan: detail({
    summary: "What a manifest would change",
    description:
      "Every object is validated by the API server; nothing is written. The plan can be applied for ten minutes.",
    tag,
    answers: { 200: Plan },
    problems: [400, 413, 415, 422]
  }),
  apply: detail({
    summary: "Apply a plan, exactly as it was shown",
    description: `A manifest in its place where the namespace's policy allows it. ${asked}`,
    tag,
    headers,
    answers: { 200: Action, 202: Action },
    problems: [400, 409, 410, 413, 415, 422]
  }),
  restart: write("Restart a workload's pods", "As `kubectl rollout restart`."),
  undo: detail({
    summary: "Go back to an earlier revision",
    description: `As \`kubectl rollout undo\`. With \`dryRun\` 200 and what it would do. ${asked}`,
    tag,
    headers,
    answers: { 200: Schema.Union([Action, UndoPreview]), 202: Action },
    problems: [400, 404, 409, 413, 415, 422]
  }),
  pause: write("Pause a Deployment's rollout", "As `kubectl rollout pause`."),
  resume: write("Resume a Deployment's rollout", "As `kubectl rollout resume`."),
  scale: write("Set the number of replicas", "Refused where an autoscaler owns it."),
  actions: detail({
    summary: "What was done, newest first",
    tag,
    query: ActionQuery,
    answers: { 200: ActionPage },
    problems: [422]
  }),
  action: detail({ summary: "One action", tag, answers: { 200: Action }, problems: [404] }),
  verify: detail({
    summary: "Whether the record of actions is what was written",
    tag,
    answers: { 200: ChainCheck }
  }),
  proposals: detail({
    summary: "Proposals, newest first",
    tag,
    query: ProposalQuery,
    answers: { 200: ProposalPage },
    problems: [422]
  }),
  proposal: detail({ summary: "One proposal", tag, answers: { 200: Proposal }, problems: [404] }),
  propose: detail({
    summary: "Propose an undo or a restart for a person to decide",
    description:
      "201, or 200 with the open proposal for the same workload and action, or with what the key has come to.",
    tag,
    headers: { "Idempotency-Key": "Makes a repeated request give the same proposal, whatever became of it since" },
    answers: { 200: Proposal, 201: Proposal },
    problems: [400, 404, 409, 413, 415, 422, 429]
  }),
  approve: detail({
    summary: "Approve a proposal, which runs it",
    tag,
    headers,
    answers: { 200: Action, 202: Action },
    problems: [400, 404, 409, 410, 413, 415, 422]
  }),
  reject: detail({
    summary: "Reject a proposal; the same is not proposed again for an hour",
    tag,
    answers: { 200: Proposal },
    problems: [400, 404, 409, 410, 413, 415, 422]
  }),
  capabilities: detail({
    summary: "What the caller may do where, and if not, why",
    tag,
    answers: { 200: Capabilities }
  }),
  stream: detail({
    summary: "Workloads, actions and proposals as they change",
    description: "`Last-Event-ID` replays what was missed in the last five minutes.",
    tag,
    query: StreamQuery,
    answers: { 200: stream },
    problems: [422]
  }),
  openapi: detail({
    summary: "This description",
    tag,
    answers: { 200: Schema.Record(Schema.String, Schema.Unknown) }
  })
}
