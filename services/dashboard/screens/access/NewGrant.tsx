/** Gives a user a role in an environment, for good or for a while; must not decide whether that is allowed. */
import { useId, useState } from "preact/hooks"
import type { UserWithGrants } from "#shared/api/auth.ts"
import { api } from "../../api.ts"
import { Dialog, ErrorLine, useAction } from "../../components/Dialog.tsx"
import { Options } from "../../components/Options.tsx"
import { fullTime } from "../../format.ts"
import type { RoleBook } from "./useRoleBook.ts"

interface NewGrantProps {
  readonly user: UserWithGrants
  readonly environment: string
  readonly book: RoleBook
  readonly onClose: () => void
  readonly onAdded: () => Promise<void>
}

const hours: ReadonlyArray<readonly [hours: number, text: string]> = [
  [0, "Until removed"],
  [1, "1 hour"],
  [8, "8 hours"],
  [24, "1 day"],
  [168, "7 days"],
  [720, "30 days"]
]

export const NewGrant = ({ book, environment, onAdded, onClose, user }: NewGrantProps) => {
  const [role, setRole] = useState("")
  const [where, setWhere] = useState(environment)
  const [length, setLength] = useState(0)
  const [reason, setReason] = useState("")
  const { busy, error, run } = useAction()
  const ids = { role: useId(), where: useId(), length: useId(), reason: useId() }
  const chosen = book.roles?.find(({ name }) => name === role)
  const end = length === 0 ? null : Date.now() + length * 3_600_000

  const submit = (event: Event) => {
    event.preventDefault()
    void run(async () => {
      await api.addGrant({
        userId: user.id,
        role,
        environment: where,
        expiresAt: end === null ? null : new Date(end).toISOString(),
        reason: reason.trim() === "" ? null : reason.trim()
      })
      await onAdded()
      onClose()
    })
  }

  return (
    <Dialog title={`Grant for ${user.name}`} onClose={onClose}>
      <form onSubmit={submit}>
        <div class="dialog-body">
          <div class="field">
            <label for={ids.role}>Role</label>
            <select id={ids.role} required value={role} onChange={(event) => setRole(event.currentTarget.value)}>
              <option value="" disabled>
                Choose a role
              </option>
              <Options of={(book.roles ?? []).map(({ name }) => name)} />
            </select>
            <p class="hint">{book.error ?? chosen?.description ?? "\u00a0"}</p>
          </div>
          <div class="field-row">
            <div class="field">
              <label for={ids.where}>Environment</label>
              <select id={ids.where} value={where} onChange={(event) => setWhere(event.currentTarget.value)}>
                <option value={environment}>{environment}</option>
                <option value="*">every environment</option>
              </select>
            </div>
            <div class="field">
              <label for={ids.length}>How long</label>
              <select id={ids.length} value={length} onChange={(event) => setLength(Number(event.currentTarget.value))}>
                <Options of={hours} />
              </select>
            </div>
          </div>
          {end === null ? null : <p class="hint">It ends on {fullTime(end)} by itself.</p>}
          <div class="field">
            <label for={ids.reason}>
              Reason <small>optional, kept with the grant</small>
            </label>
            <input
              id={ids.reason}
              value={reason}
              maxLength={500}
              autocomplete="off"
              onInput={(event) => setReason(event.currentTarget.value)}
            />
          </div>
        </div>
        <ErrorLine error={error} />
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button button-primary" disabled={busy || role === ""}>
            Add grant
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
