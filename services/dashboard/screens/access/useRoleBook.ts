/** The roles there are, for every part of the access screen; must change none. */
import type { Role } from "#shared/api/auth.ts"
import { api } from "../../api.ts"
import { useLoaded } from "../../useLoaded.ts"

/** The roles as far as they are known; an error is told where they are needed. */
export interface RoleBook {
  readonly roles: ReadonlyArray<Role> | undefined
  readonly error: string | undefined
  readonly reload: () => Promise<void>
}

export const useRoleBook = (): RoleBook => {
  const { error, reload, value } = useLoaded(api.roles, "roles")
  return { roles: value?.items, error, reload }
}
