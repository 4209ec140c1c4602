/** What every new namespace gets: its default ServiceAccount; must not delete any. */
import { kinds } from "../kinds.ts"
import { type Fields, nameOf } from "../values.ts"
import { type Control, manager } from "./ownedPods.ts"

export const reconcileNamespace = (control: Control, namespace: Fields): void => {
  const name = nameOf(namespace)
  if (control.store.get(kinds.ServiceAccount, name, "default") !== undefined) return
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } }
  control.writes.create(kinds.ServiceAccount, name, account, { manager })
}
