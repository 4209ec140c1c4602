/** Proposals, actions and a plan of a small team for the browser tests; pure data, made anew for each test. */
import type { Action, Plan, Proposal } from "#shared/api/admin.ts"
import { ago, amira, badChanges, demoId, jonas, makeEvents, previousLog, scheduler } from "./demoCluster.ts"

export const makeProposals = (namespace: string): Array<Proposal> => {
  const base = (number: number, minutes: number): Proposal => ({
    id: demoId(number),
    state: "pending",
    action: "undo",
    target: { namespace, kind: "Deployment", name: "shop-api", uid: demoId(1), generation: 7 },
    toRevision: 4,
    summary: "shop-api keeps crashing since revision 5 (2.8.0). Revision 4 (2.7.4) was healthy for 2 days.",
    incidentId: demoId(701),
    evidence: {
      class: "crash_loop",
      container: "api",
      exitCode: 1,
      reason: "CrashLoopBackOff",
      restarts: 14,
      podCount: 1,
      firstSeenAt: ago(minutes + 3),
      previousLog,
      events: makeEvents().map(({ at, count, message, reason }) => ({ at, count, message, reason })),
      revision: 5,
      lastGoodRevision: 4,
      changes: badChanges
    },
    digest: "3f6a9e0c1b7d4a2588e6f1c09d3b7a5e4c2f8d1b6a907e5d3c1f9b8a7e6d5c4b",
    proposer: scheduler,
    createdAt: ago(minutes),
    expiresAt: ago(minutes - 720),
    decision: null,
    actionId: null,
    message: ""
  })
  return [
    base(601, 20),
    {
      ...base(602, 5000),
      state: "succeeded",
      action: "restart",
      target: { namespace, kind: "Deployment", name: "mailer", uid: demoId(5), generation: 3 },
      toRevision: null,
      summary: "mailer crashes for 26 hours without a change; a restart has helped before.",
      decision: { decision: "approved", actor: amira, reason: "Known leak, fix is in 0.9.5", at: ago(4990) },
      actionId: demoId(204),
      message: "deployment.apps/mailer restarted"
    },
    {
      ...base(603, 9000),
      state: "rejected",
      target: { namespace, kind: "Deployment", name: "catalog", uid: demoId(4), generation: 9 },
      toRevision: 6,
      decision: { decision: "rejected", actor: amira, reason: "The database was down, not the release", at: ago(8990) }
    },
    {
      ...base(604, 20_000),
      state: "expired",
      target: { namespace, kind: "Deployment", name: "search", uid: demoId(3), generation: 2 },
      toRevision: 2
    }
  ]
}

export const action = (number: number, namespace: string, more: Partial<Action>): Action => ({
  id: demoId(number),
  action: "restart",
  namespace,
  kind: "Deployment",
  name: "checkout",
  uid: demoId(2),
  actor: amira,
  approver: null,
  reason: "Picks up the new certificate",
  proposalId: null,
  requestId: demoId(number + 5000),
  state: "succeeded",
  message: "deployment.apps/checkout restarted",
  undo: null,
  objects: [],
  backup: `${namespace}/Deployment/checkout/20261126T085${number % 10}00Z-${demoId(number)}.yaml`,
  upstreamStatus: 200,
  rollout: null,
  createdAt: ago(1),
  finishedAt: ago(1),
  ...more
})

export const makeActions = (namespace: string): Array<Action> => [
  action(202, namespace, {}),
  action(201, namespace, {
    action: "apply",
    name: "shop-api",
    actor: jonas,
    reason: "Release 2.8.0: new payment provider",
    message: "1 object configured",
    objects: [
      { kind: "Deployment", name: "shop-api", result: "configured", message: "" },
      { kind: "ConfigMap", name: "shop-api", result: "unchanged", message: "" }
    ],
    rollout: { phase: "stalled", message: "container api waits in CrashLoopBackOff", at: ago(18) },
    createdAt: ago(24),
    finishedAt: ago(24)
  }),
  action(203, namespace, {
    action: "pause",
    name: "search",
    reason: "Index is being rebuilt",
    message: "deployment.apps/search paused",
    createdAt: ago(190),
    finishedAt: ago(190)
  }),
  action(206, namespace, {
    action: "scale",
    name: "catalog",
    actor: jonas,
    reason: "Black Friday",
    state: "failed",
    message: "a HorizontalPodAutoscaler owns the replicas of catalog",
    upstreamStatus: 409,
    backup: null,
    createdAt: ago(1500),
    finishedAt: ago(1500)
  }),
  action(205, namespace, {
    action: "scale",
    name: "thumbnails",
    actor: jonas,
    reason: "Not needed until spring",
    message: "deployment.apps/thumbnails scaled",
    rollout: { phase: "complete", message: "successfully rolled out", at: ago(2899) },
    createdAt: ago(2900),
    finishedAt: ago(2900)
  }),
  action(204, namespace, {
    name: "mailer",
    actor: scheduler,
    approver: amira,
    reason: "Known leak, fix is in 0.9.5",
    proposalId: demoId(602),
    message: "deployment.apps/mailer restarted",
    rollout: { phase: "complete", message: "successfully rolled out", at: ago(4985) },
    createdAt: ago(4989),
    finishedAt: ago(4989)
  })
]

export const makePlan = (namespace: string): Plan => ({
  planId: demoId(801),
  namespace,
  digest: "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184",
  expiresAt: ago(-10),
  objects: [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      name: "catalog",
      change: "update",
      changes: [
        {
          path: "/spec/template/spec/containers/0/image",
          before: '"registry.example.net/shop/catalog:1.19.0"',
          after: '"registry.example.net/shop/catalog:1.20.0"'
        },
        { path: "/spec/template/spec/containers/0/resources/limits/memory", before: '"256Mi"', after: '"384Mi"' }
      ],
      warnings: ["spec.template.spec.containers[0]: no readinessProbe"],
      conflicts: []
    },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      name: "catalog-flags",
      change: "create",
      changes: [{ path: "/data/newSearch", before: null, after: '"on"' }],
      warnings: [],
      conflicts: []
    },
    {
      apiVersion: "v1",
      kind: "Service",
      name: "catalog",
      change: "unchanged",
      changes: [],
      warnings: [],
      conflicts: []
    }
  ]
})
