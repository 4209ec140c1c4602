/** `/admin/*` from memory: a cluster that does what it is told, with streams and logs under the test's control. */
import type { Action, Actor, Capabilities, Plan, Proposal, UndoPreview, Workload } from "#shared/api/admin.ts"
import { makeActions, makePlan, makeProposals } from "../demoActions.ts"
import { badChanges, demoId, makeDetail, makeEvents, makeHistory, makeWorkloads, previousLog } from "../demoCluster.ts"
import { notFound, refused } from "./answers.ts"
import { makeStreams } from "./streams.ts"

type Allowances = Capabilities["namespaces"][number]["actions"]
const allowed = { allowed: true, code: "ok", reason: "" }
const everything = (): Allowances => ({
  read: allowed,
  plan: allowed,
  apply: allowed,
  restart: allowed,
  undo: allowed,
  pause: allowed,
  resume: allowed,
  scale: allowed,
  approve: allowed,
  propose: { allowed: false, code: "scope_missing", reason: "You need the right admin:propose." }
})

export const makeAdmin = (environment: string, me: Actor) => {
  const workloads: Array<Workload> = makeWorkloads(environment)
  const proposals: Array<Proposal> = makeProposals(environment)
  const actions: Array<Action> = makeActions(environment)
  const capabilities: { namespaces: Array<Capabilities["namespaces"][number]> } = {
    namespaces: [
      {
        namespace: environment,
        cluster: "simulated cluster",
        fourEyes: environment === "prod",
        directApply: environment === "dev",
        actions: everything()
      }
    ]
  }
  const state = {
    staleSince: null as string | null,
    /** What the stream and the reads answer instead. */
    status: 200,
    history: makeHistory(),
    events: makeEvents(),
    chain: { ok: true, rows: 1284, brokenAt: null as string | null },
    plan: makePlan(environment) as Plan,
    /** Answered to the next plan instead of one. */
    planRefusal: undefined as Response | undefined,
    previousLog: [...previousLog] as Array<string>
  }
  const streams = makeStreams(() => [
    { event: "snapshot", data: { workloads, proposals, actions, staleSince: state.staleSince } }
  ])
  let lines: ReadonlyArray<string> = []
  let ended = false
  const logs = makeStreams(() => [
    ...lines.map((text) => ({ event: "line", data: { at: new Date().toISOString(), text } })),
    ...(ended ? [{ event: "end", data: { reason: "complete", detail: "" } }] : [])
  ])
  /** Query of each request for a log, with the pod as `pod`. */
  const logsAsked: Array<URLSearchParams> = []
  let next = 900

  const tellWorkload = (workload: Workload) => {
    const index = workloads.findIndex(({ uid }) => uid === workload.uid)
    workloads[index] = workload
    streams.tell("workload", workload)
  }
  const record = (more: Partial<Action> & Pick<Action, "action" | "kind" | "name" | "reason">): Action => {
    const now = new Date().toISOString()
    const done: Action = {
      id: demoId(next++),
      namespace: environment,
      uid: null,
      actor: me,
      approver: null,
      proposalId: null,
      requestId: demoId(next + 5000),
      state: "succeeded",
      message: `${more.kind.toLowerCase()}.apps/${more.name} ${more.action}`,
      undo: null,
      objects: [],
      backup: `${environment}/${more.kind}/${more.name}/20261126T090000Z.yaml`,
      upstreamStatus: 200,
      rollout: null,
      createdAt: now,
      finishedAt: now,
      ...more
    }
    actions.unshift(done)
    streams.tell("action", done)
    return done
  }
  const preview = (toRevision: number): UndoPreview => ({
    fromRevision: 5,
    toRevision,
    skipped: false,
    message: "deployment.apps/shop-api rolled back",
    changes: badChanges,
    lostAnnotations: ["team.example.net/on-call"],
    warnings:
      toRevision === 3 ? [] : ["The template of revision 4 differs from that of revision 3 only in restartedAt."]
  })

  const decide = (proposal: Proposal, decision: "approved" | "rejected", reason: string, more: Partial<Proposal>) => {
    const decided: Proposal = {
      ...proposal,
      state: decision === "approved" ? "succeeded" : "rejected",
      decision: { decision, actor: me, reason, at: new Date().toISOString() },
      ...more
    }
    proposals[proposals.indexOf(proposal)] = decided
    streams.tell("proposal", decided)
    return decided
  }

  const read = (request: Request, parts: ReadonlyArray<string>, query: URLSearchParams): Response => {
    if (state.status !== 200) return refused(state.status, "k8s_unavailable", "the cluster cannot be reached")
    const [, what, third, fourth, name, last] = parts
    if (what === "stream") return streams.answer(request)
    if (what === "capabilities") return Response.json(capabilities)
    if (what === "proposals") {
      if (third === undefined) return Response.json({ items: proposals, nextCursor: null })
      const found = proposals.find(({ id }) => id === third)
      return found === undefined ? notFound() : Response.json(found)
    }
    if (what === "actions") {
      if (third === "verify") return Response.json(state.chain)
      if (third !== undefined) {
        const found = actions.find(({ id }) => id === third)
        return found === undefined ? notFound() : Response.json(found)
      }
      const asked = (name: string, value: string) => [null, value].includes(query.get(name))
      const fits = actions.filter(
        ({ action, actor, name: target, state: found }) =>
          asked("action", action) && asked("state", found) && asked("actor", actor.id) && asked("name", target)
      )
      return Response.json({ items: fits, nextCursor: null })
    }
    if (what !== "ns") return notFound()
    if (third !== environment) return refused(403, "namespace_denied", "this namespace is not yours")
    if (fourth === "workloads") return Response.json({ items: workloads })
    if (fourth === "events") return Response.json({ items: state.events })
    if (fourth === "pods") {
      const asked = new URLSearchParams(query)
      asked.set("pod", name!)
      logsAsked.push(asked)
      lines =
        query.get("previous") === "true"
          ? state.previousLog
          : Array.from({ length: 40 }, (_, index) => `GET /healthz 200 ${index} ms`)
      ended = query.get("follow") !== "true"
      const answer = logs.answer(request)
      if (ended) logs.end()
      return answer
    }
    const workload = workloads.find((one) => one.kind === fourth && one.name === name)
    if (workload === undefined) return notFound()
    switch (last) {
      case undefined:
        return Response.json(makeDetail(workload))
      case "status":
        return Response.json(makeDetail(workload).status)
      case "history":
        return Response.json({ items: state.history })
      case "diff":
        return Response.json({ from: Number(query.get("from")), to: Number(query.get("to")), changes: badChanges })
      default:
        return notFound()
    }
  }

  const change = (parts: ReadonlyArray<string>, body: string): Response => {
    const input = JSON.parse(body) as Record<string, string> & {
      dryRun?: boolean
      toRevision?: number
      replicas?: number
    }
    const reason = input["reason"] ?? ""
    const [, what, third, verb] = parts
    if (what === "proposals") {
      const proposal = proposals.find(({ id }) => id === third)
      if (proposal === undefined) return notFound()
      if (proposal.state !== "pending") return refused(409, "already_decided", "somebody else has decided")
      if (verb === "reject") return Response.json(decide(proposal, "rejected", reason, {}))
      if (input["digest"] !== proposal.digest) return refused(409, "stale", "the workload has changed since")
      const { kind, name } = proposal.target
      const done = record({
        action: proposal.action,
        kind,
        name,
        reason,
        approver: me,
        actor: proposal.proposer,
        proposalId: proposal.id
      })
      decide(proposal, "approved", reason, { actionId: done.id, message: done.message })
      return Response.json(done, { status: 202 })
    }
    if (verb === "plan") return state.planRefusal?.clone() ?? Response.json(state.plan)
    if (verb === "apply") {
      const objects = state.plan.objects.map(({ change, kind, name }) => ({
        kind,
        name,
        result:
          change === "create"
            ? ("created" as const)
            : change === "update"
              ? ("configured" as const)
              : ("unchanged" as const),
        message: ""
      }))
      return Response.json(record({ action: "apply", kind: "", name: `${objects.length} objects`, reason, objects }), {
        status: 202
      })
    }
    const workload = workloads.find((one) => one.kind === input["kind"] && one.name === input["name"])
    if (workload === undefined) return notFound()
    const target = { kind: workload.kind, name: workload.name, reason }
    if (verb === "undo") {
      const found = preview(typeof input.toRevision === "number" ? input.toRevision : 4)
      if (input.dryRun === true) return Response.json(found)
      return Response.json(record({ ...target, action: "undo", undo: found, message: found.message }), { status: 202 })
    }
    if (verb === "restart") return Response.json(record({ ...target, action: "restart" }), { status: 202 })
    if (verb === "scale") tellWorkload({ ...workload, desired: input.replicas ?? 0 })
    else if (verb === "pause" || verb === "resume") tellWorkload({ ...workload, paused: verb === "pause" })
    else return notFound()
    return Response.json(record({ ...target, action: verb as Action["action"] }), { status: 202 })
  }

  return {
    state,
    workloads,
    proposals,
    actions,
    capabilities,
    streams,
    logs,
    logsAsked,
    everyStream: [streams, logs],
    tellWorkload,
    /** The environment's namespace may not do this now, for this reason. */
    forbid: (action: keyof Allowances, reason: string) => {
      const [first] = capabilities.namespaces
      capabilities.namespaces[0] = {
        ...first!,
        actions: { ...first!.actions, [action]: { allowed: false, code: "window_denied", reason } }
      }
    },
    read,
    change
  }
}
