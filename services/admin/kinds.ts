/** The names of workload kinds as people and paths write them; must know nothing else of a kind. */
import { WorkloadKind } from "#shared/domain/workload.ts"

/** `Deployment`, `deployment`, `deployments` (the same for the others), else undefined. */
export const workloadKindOf = (text: string): WorkloadKind | undefined =>
  WorkloadKind.literals.find(
    (kind) => text === kind || text === kind.toLowerCase() || text === `${kind.toLowerCase()}s`
  )

/** `deployment.apps/web`, as kubectl prints an object. */
export const printed = (kind: WorkloadKind, name: string): string => `${kind.toLowerCase()}.apps/${name}`

/** Which workload is meant, by name. */
export interface WorkloadRef {
  readonly namespace: string
  readonly kind: WorkloadKind
  readonly name: string
}
