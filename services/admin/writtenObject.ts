/** What is remembered of an object that was just written; pure. */
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

/** An object as it is once it was written: its rollout is told from the one before by the generation. */
export interface WrittenObject {
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly generation: number
}

export const writtenObject = ({ kind, metadata }: KubernetesObject): WrittenObject => ({
  kind,
  name: metadata.name,
  uid: metadata.uid ?? "",
  generation: metadata.generation ?? 0
})
