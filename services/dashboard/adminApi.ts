/** Admin's API as the browser calls it: reads, and acts that each carry the key of the wish they serve; must hold no state. */
import type {
  Action,
  ApplyInput,
  Capabilities,
  ChainCheck,
  ClusterEvent,
  History,
  Plan,
  Proposal,
  RevisionDiff,
  ScaleInput,
  TargetInput,
  UndoInput,
  UndoPreview,
  Workload,
  WorkloadDetail
} from "#shared/api/admin.ts"
import type { Page } from "#shared/api/paging.ts"
import { call, id, query } from "./api.ts"

type TargetName = Pick<Workload, "kind" | "name" | "namespace">

const workloadPath = ({ kind, name, namespace }: TargetName) => `/admin/ns/${id(namespace)}/${id(kind)}/${id(name)}`

/** A key for one wish of a person (RFC 9562 UUID, version 4); works without a secure context, unlike crypto.randomUUID. */
export const newKey = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
}

const act = <A>(path: string, json: unknown, idempotencyKey: string) =>
  call<A>(path, { method: "POST", json, idempotencyKey })

export interface ActionFilter {
  readonly namespace?: string
  /** A workload's whole name. */
  readonly name?: string
  readonly action?: string
  /** An actor's id. */
  readonly actor?: string
  readonly state?: string
}

export const adminApi = {
  capabilities: () => call<Capabilities>("/admin/capabilities"),
  workload: (target: TargetName) => call<WorkloadDetail>(workloadPath(target)),
  history: (target: TargetName) => call<typeof History.Type>(`${workloadPath(target)}/history`),
  diff: (target: TargetName, from: number, to: number) =>
    call<typeof RevisionDiff.Type>(`${workloadPath(target)}/diff${query({ from, to })}`),
  events: ({ kind, name, namespace }: TargetName) =>
    call<{ readonly items: ReadonlyArray<ClusterEvent> }>(`/admin/ns/${id(namespace)}/events${query({ kind, name })}`),
  logPath: (
    namespace: string,
    pod: string,
    asked: Readonly<Record<"container" | "previous" | "follow" | "tailLines" | "sinceSeconds", string | undefined>>
  ) => `/admin/ns/${id(namespace)}/pods/${id(pod)}/logs${query(asked)}`,
  restart: (namespace: string, input: TargetInput, key: string) =>
    act<Action>(`/admin/ns/${id(namespace)}/restart`, input, key),
  pause: (namespace: string, input: TargetInput, key: string) =>
    act<Action>(`/admin/ns/${id(namespace)}/pause`, input, key),
  resume: (namespace: string, input: TargetInput, key: string) =>
    act<Action>(`/admin/ns/${id(namespace)}/resume`, input, key),
  scale: (namespace: string, input: ScaleInput, key: string) =>
    act<Action>(`/admin/ns/${id(namespace)}/scale`, input, key),
  undo: (namespace: string, input: UndoInput, key: string) =>
    act<Action>(`/admin/ns/${id(namespace)}/undo`, input, key),
  previewUndo: (namespace: string, input: UndoInput) =>
    act<UndoPreview>(`/admin/ns/${id(namespace)}/undo`, { ...input, dryRun: true } satisfies UndoInput, newKey()),
  plan: (namespace: string, manifest: string) => act<Plan>(`/admin/ns/${id(namespace)}/plan`, { manifest }, newKey()),
  apply: (namespace: string, input: ApplyInput, key: string) =>
    act<Action>(`/admin/ns/${id(namespace)}/apply`, input, key),
  proposals: (state: string, cursor?: string) =>
    call<Page<Proposal>>(`/admin/proposals${query({ limit: 50, state, cursor })}`),
  proposal: (proposal: string) => call<Proposal>(`/admin/proposals/${id(proposal)}`),
  approve: (proposal: string, digest: string, reason: string, key: string) =>
    act<Action>(`/admin/proposals/${id(proposal)}/approve`, { digest, reason }, key),
  reject: (proposal: string, reason: string, key: string) =>
    act<Proposal>(`/admin/proposals/${id(proposal)}/reject`, { reason }, key),
  actions: (filter: ActionFilter, cursor?: string) =>
    call<Page<Action>>(`/admin/actions${query({ limit: 50, ...filter, cursor })}`),
  action: (action: string) => call<Action>(`/admin/actions/${id(action)}`),
  verify: () => call<ChainCheck>("/admin/actions/verify")
}
