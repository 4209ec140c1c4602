/** Proposals: kept once per workload and action, decided by a person, executed through the one write path; must act on none by itself. */
import { Clock, Context, Effect, Layer, Schedule } from "effect"
import type { Action, Evidence, Proposal, ProposalInput } from "#shared/api/admin.ts"
import type { NotFound, Unavailable } from "#shared/domain/errors.ts"
import type { Principal } from "#shared/domain/identity.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { Database } from "#shared/sql.ts"
import { ActionLog } from "./ActionLog.ts"
import { scopeOf } from "./Authority.ts"
import { digestOf, templateDigest } from "./digests.ts"
import { Feed } from "./Feed.ts"
import { type Operation, type OperationRefusal, Operations } from "./Operations.ts"
import { maskText } from "#shared/kubernetes/mask.ts"
import { ProposalStore } from "./ProposalStore.ts"
import { Stale } from "./refusals.ts"
import type { IdempotencyKey } from "./idempotency.ts"
import { type WriteRefusal, Writes } from "./Writes.ts"
import {
  KeyReused,
  ProposalCoolingDown,
  ProposalDecided,
  ProposalExpired,
  ProposalStorm,
  SelfApproval
} from "./writeRefusals.ts"

const minute = 60_000

/** Seconds a proposal waits unless it says otherwise. */
const defaultTtl = 43_200
/** Milliseconds in which what a person has rejected is not proposed again. */
const cooldown = 60 * minute
/** Proposals that one namespace keeps within `stormMinutes`. */
const stormLimit = 20
const stormMinutes = 10

/** Somebody deciding, as the request has proved. */
export interface Decider {
  readonly principal: Principal
  readonly requestId: string
}

export type Kept = { readonly proposal: Proposal; readonly created: boolean }

export interface ProposalOptions {
  /** Namespaces where who proposed may not approve. */
  readonly fourEyes: ReadonlyArray<string>
}

export class Proposals extends Context.Service<
  Proposals,
  {
    /** Keeps it, or gives the open one for the same workload and action, or what `key` has come to, whatever became of that. */
    readonly propose: (
      input: ProposalInput,
      proposer: Principal,
      key?: IdempotencyKey
    ) => Effect.Effect<Kept, OperationRefusal | KeyReused | ProposalCoolingDown | ProposalStorm>
    /** Runs the proposed action; once, whoever else approves at the same time. */
    readonly approve: (
      id: string,
      input: { readonly digest: string; readonly reason: string },
      decider: Decider,
      key?: IdempotencyKey
    ) => Effect.Effect<
      Action,
      NotFound | OperationRefusal | WriteRefusal | SelfApproval | ProposalDecided | ProposalExpired
    >
    readonly reject: (
      id: string,
      reason: string,
      decider: Decider
    ) => Effect.Effect<Proposal, NotFound | Unavailable | Stale | ProposalDecided | ProposalExpired>
    /** Expires what nobody decided in time; done every half minute, and before a proposal is shown or decided. */
    readonly sweep: Effect.Effect<void, Unavailable>
  }
>()("gatehouse/admin/Proposals") {
  static readonly layer = (options: ProposalOptions) => Layer.effect(Proposals, makeProposals(options))
}

/** What an approval is given for: nothing of it may have changed when it is executed. */
const proposalDigest = (
  { action, target, toRevision }: Pick<Proposal, "action" | "target" | "toRevision">,
  live: KubernetesObject
): string =>
  digestOf([action, toRevision, live.metadata.uid ?? target.uid, live.metadata.generation ?? 0, templateDigest(live)])

const operationOf = (action: Proposal["action"], toRevision: number | null): Operation =>
  action === "undo" ? { action, toRevision: toRevision ?? 0 } : { action }

/** What a crashed container said last may hold the password it was given. */
const maskEvidence = (evidence: Evidence): Evidence => ({
  ...evidence,
  reason: maskText(evidence.reason),
  previousLog: evidence.previousLog.map(maskText),
  events: evidence.events.map((event) => ({ ...event, message: maskText(event.message) })),
  changes: evidence.changes.map(({ after, before, path }) => ({
    path,
    before: before === null ? null : maskText(before),
    after: after === null ? null : maskText(after)
  }))
})

const actorOf = ({ name, userId }: Principal) => ({ id: userId, name })

const makeProposals = Effect.fnUntraced(function* ({ fourEyes }: ProposalOptions) {
  const database = yield* Database
  const log = yield* ActionLog
  const operations = yield* Operations
  const store = yield* ProposalStore
  const writes = yield* Writes

  const feed = yield* Feed
  const announce = (id: string) =>
    store.find(id).pipe(
      Effect.flatMap((proposal) => feed.publish({ event: "proposal", data: proposal })),
      Effect.ignore
    )
  /** Namespaces whose storm has been recorded, until when: one row for all that are not kept. */
  const storms = new Map<string, number>()

  const storm = Effect.fnUntraced(function* ({ summary, target }: ProposalInput, proposer: Principal, now: number) {
    const { kind, name, namespace } = target
    if ((storms.get(namespace) ?? 0) <= now) {
      storms.set(namespace, now + stormMinutes * minute)
      const content = JSON.stringify({ limit: stormLimit, minutes: stormMinutes, first: summary })
      yield* log.record([{ event: "storm", namespace, kind, name, actor: proposer.userId, content }])
    }
    return yield* new ProposalStorm({ limit: stormLimit, minutes: stormMinutes })
  })

  const replayed = Effect.fnUntraced(function* (caller: string, key: IdempotencyKey | undefined) {
    const known = key === undefined ? undefined : yield* store.ofKey(caller, key.key)
    if (known === undefined) return undefined
    if (known.requestHash !== key?.requestHash) return yield* new KeyReused()
    return { proposal: yield* Effect.catchTag(store.find(known.proposalId), "NotFound", Effect.die), created: false }
  })

  const propose = Effect.fn("Proposals.propose")(function* (
    input: ProposalInput,
    proposer: Principal,
    key?: IdempotencyKey
  ) {
    // First: who lost the answer may ask when it is decided and done, and the workload is another.
    const known = yield* replayed(proposer.userId, key)
    if (known !== undefined) return known
    const { action, target } = input
    const toRevision = input.toRevision ?? null
    const prepared = yield* operations.prepare(target, operationOf(action, toRevision))
    const live = prepared.before
    const stale = new Stale({ kind: target.kind, name: target.name })
    if (live.metadata.uid !== target.uid || live.metadata.generation !== target.generation) return yield* stale
    const digest = proposalDigest({ action, target, toRevision }, live)
    const now = yield* Clock.currentTimeMillis
    const id = uuidv7(now)
    const remember = (proposalId: string) =>
      key === undefined ? Effect.void : store.keepKey(proposer.userId, key, proposalId)
    const kept = yield* database.transaction(
      Effect.gen(function* () {
        // Whoever proposes for this namespace at the same time waits here, and then sees this one.
        yield* log.lock
        const first = yield* replayed(proposer.userId, key)
        if (first !== undefined) return { id: first.proposal.id, created: false }
        const open = yield* store.open({ action, target })
        if (open !== undefined) {
          const overdue = Date.parse(open.expiresAt) <= now
          if (!overdue && (open.digest === digest || open.state !== "pending")) {
            yield* remember(open.id)
            return { id: open.id, created: false }
          }
          const to = overdue ? "expired" : "superseded"
          const message = overdue ? "" : "the workload has changed and was proposed for again"
          yield* store.move(open, { from: ["pending"], to, actor: "", message })
        }
        const rejected = yield* store.rejectedAt({ action, target })
        if (rejected !== undefined && rejected + cooldown > now) {
          return yield* new ProposalCoolingDown({ until: new Date(rejected + cooldown).toISOString() })
        }
        if ((yield* store.countSince(target.namespace, now - stormMinutes * minute)) >= stormLimit) return undefined
        yield* store.insert({
          id,
          state: "pending",
          action,
          target,
          toRevision,
          summary: maskText(input.summary),
          incidentId: input.incidentId,
          evidence: maskEvidence(input.evidence),
          digest,
          proposer: actorOf(proposer),
          createdAt: new Date(now).toISOString(),
          expiresAt: new Date(now + (input.ttlSeconds ?? defaultTtl) * 1000).toISOString(),
          decision: null,
          actionId: null,
          message: ""
        })
        yield* remember(id)
        return { id, created: true, superseded: open?.id }
      })
    )
    if (kept === undefined) return yield* storm(input, proposer, now)
    if (kept.superseded !== undefined) yield* announce(kept.superseded)
    if (kept.created) yield* announce(kept.id)
    const proposal = yield* Effect.catchTag(store.find(kept.id), "NotFound", Effect.die)
    return { proposal, created: kept.created }
  })

  const decided = (proposal: Proposal) =>
    proposal.state === "expired"
      ? new ProposalExpired()
      : proposal.state === "stale" || proposal.state === "superseded"
        ? new Stale({ kind: proposal.target.kind, name: proposal.target.name })
        : new ProposalDecided({ state: proposal.state })

  const moveAlone = Effect.fnUntraced(function* (proposal: Proposal, move: Parameters<typeof store.move>[1]) {
    const moved = yield* database.transaction(Effect.andThen(log.lock, store.move(proposal, move)))
    if (moved) yield* announce(proposal.id)
    return moved
  })

  /** The proposal, if it can still be decided; what is overdue expires here and now. */
  const pending = Effect.fnUntraced(function* (id: string) {
    const proposal = yield* store.find(id)
    if (proposal.state !== "pending") return yield* decided(proposal)
    if (Date.parse(proposal.expiresAt) <= (yield* Clock.currentTimeMillis)) {
      yield* moveAlone(proposal, { from: ["pending"], to: "expired", actor: "" })
      return yield* new ProposalExpired()
    }
    return proposal
  })

  const approve = Effect.fn("Proposals.approve")(function* (
    id: string,
    input: { readonly digest: string; readonly reason: string },
    { principal, requestId }: Decider,
    key?: IdempotencyKey
  ) {
    const approver = actorOf(principal)
    // An approval is used up by its execution: who asks again is told what came of it.
    const known = yield* writes.replay(approver.id, key)
    if (known !== undefined) return known
    const proposal = yield* pending(id)
    const { action, target, toRevision } = proposal
    if (fourEyes.includes(target.namespace) && proposal.proposer.id === approver.id) return yield* new SelfApproval()
    const stale = new Stale({ kind: target.kind, name: target.name })
    // The approver has seen another proposal than this: that says nothing about the workload.
    if (input.digest !== proposal.digest) return yield* stale
    /** The workload is not any more what was proposed for: the proposal is over. */
    const changed = Effect.andThen(
      moveAlone(proposal, {
        from: ["pending"],
        to: "stale",
        actor: approver.id,
        message: "the workload was changed after this was proposed"
      }),
      Effect.fail(stale)
    )
    const done = yield* operations
      .perform<Stale | ProposalDecided | Unavailable>({
        target,
        operation: operationOf(action, toRevision),
        caller: { actor: proposal.proposer, sessionId: principal.sessionId, requestId },
        approver,
        proposalId: id,
        reason: input.reason,
        scope: scopeOf("approve", target.namespace),
        key,
        check: ({ before }) => (proposalDigest(proposal, before) === proposal.digest ? Effect.void : changed),
        commit: (actionId) =>
          Effect.gen(function* () {
            const decision = { decision: "approved" as const, actor: approver, reason: input.reason }
            const approved = yield* store.move(proposal, {
              from: ["pending"],
              to: "approved",
              actor: approver.id,
              decision
            })
            if (!approved) return yield* new ProposalDecided({ state: "decided" })
            yield* store.move(proposal, { from: ["approved"], to: "executing", actor: "", actionId })
          })
      })
      .pipe(Effect.catchTag("WorkloadNotFound", () => changed))
    yield* announce(id)
    return done
  })

  const reject = Effect.fn("Proposals.reject")(function* (id: string, reason: string, { principal }: Decider) {
    const proposal = yield* pending(id)
    const actor = actorOf(principal)
    const moved = yield* moveAlone(proposal, {
      from: ["pending"],
      to: "rejected",
      actor: actor.id,
      decision: { decision: "rejected", actor, reason }
    })
    const now = yield* store.find(id)
    return moved ? now : yield* decided(now)
  })

  yield* store.forgetKeys.pipe(
    Effect.catch((error) => Effect.logDebug("old idempotency keys stay", error.message)),
    Effect.repeat(Schedule.spaced("1 hour")),
    Effect.forkScoped
  )

  const sweep = Effect.gen(function* () {
    for (const proposal of yield* store.overdue) {
      yield* moveAlone(proposal, { from: ["pending"], to: "expired", actor: "" })
    }
  })
  yield* sweep.pipe(
    Effect.catch((error) => Effect.logDebug("proposals cannot be expired", error.message)),
    Effect.repeat(Schedule.spaced("30 seconds")),
    Effect.forkScoped
  )

  return Proposals.of({ propose, approve, reject, sweep })
})
