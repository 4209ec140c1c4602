/** Edits a role as rows of rights; the gateway judges them, and its faults are shown at their row. */
import { useId, useState } from "preact/hooks"
import type { Right, Role } from "#shared/api/auth.ts"
import { api, ApiError } from "../../api.ts"
import { Dialog, ErrorLine, useAction } from "../../components/Dialog.tsx"
import { Icon } from "../../components/Icon.tsx"

interface RoleEditorProps {
  /** Undefined makes a new one. */
  readonly role: Role | undefined
  readonly taken: ReadonlyArray<string>
  readonly environment: string
  readonly onClose: () => void
  readonly onSaved: () => Promise<void>
}

const emptyRight: Right = { environment: "*", service: "", action: "", effect: "allow" }

interface RowProps {
  readonly right: Right
  readonly number: number
  readonly faults: ReadonlyArray<string>
  readonly onChange: (right: Right) => void
  readonly onRemove: () => void
}

const RightRow = ({ faults, number, onChange, onRemove, right }: RowProps) => {
  const field = (key: "service" | "action" | "environment", title: string) => (
    <input
      class="mono"
      required
      aria-label={`${title} of right ${number}`}
      placeholder={title.toLowerCase()}
      autocomplete="off"
      spellcheck={false}
      value={right[key]}
      onInput={(event) => onChange({ ...right, [key]: event.currentTarget.value.trim() })}
    />
  )
  return (
    <li>
      <div class="right-row">
        <select
          aria-label={`Effect of right ${number}`}
          value={right.effect}
          onChange={(event) => onChange({ ...right, effect: event.currentTarget.value === "deny" ? "deny" : "allow" })}
        >
          <option value="allow">may</option>
          <option value="deny">never</option>
        </select>
        {field("service", "Service")}
        {field("action", "Action")}
        {field("environment", "Environment")}
        <button type="button" class="icon-button" aria-label={`Remove right ${number}`} onClick={onRemove}>
          <Icon name="close" />
        </button>
      </div>
      {faults.length === 0 ? null : <p class="error-line">{faults.join("; ")}</p>}
    </li>
  )
}

/** The faults that lie in the right of that index. */
const faultsAt = (error: ApiError | undefined, index: number): ReadonlyArray<string> =>
  (error?.problem?.errors ?? [])
    .filter(({ pointer }) => pointer.startsWith(`/rights/${index}/`) || pointer === `/rights/${index}`)
    .map(({ detail, pointer }) => `${pointer.split("/").at(-1)}: ${detail}`)

export const RoleEditor = ({ environment, onClose, onSaved, role, taken }: RoleEditorProps) => {
  const [name, setName] = useState(role?.name ?? "")
  const [description, setDescription] = useState(role?.description ?? "")
  const [rights, setRights] = useState<ReadonlyArray<Right>>(role?.rights ?? [emptyRight])
  const [refusal, setRefusal] = useState<ApiError>()
  const { busy, error, run } = useAction()
  const ids = { name: useId(), description: useId() }
  const placed = rights.some((_, index) => faultsAt(refusal, index).length > 0)
  const collides = role === undefined && taken.includes(name)

  const submit = (event: Event) => {
    event.preventDefault()
    setRefusal(undefined)
    void run(async () => {
      try {
        await api.putRole(name, { description, rights })
      } catch (cause) {
        if (cause instanceof ApiError) setRefusal(cause)
        throw cause
      }
      await onSaved()
      onClose()
    })
  }

  return (
    <Dialog title={role === undefined ? "New role" : `Role ${role.name}`} onClose={onClose} class="dialog-wide">
      <form onSubmit={submit}>
        <div class="dialog-body">
          {role === undefined ? (
            <div class="field">
              <label for={ids.name}>Name</label>
              <input
                id={ids.name}
                class="mono"
                required
                pattern="[a-z][\-a-z0-9]*"
                title="Lower-case letters, digits and dashes"
                maxLength={63}
                autocomplete="off"
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
              />
              {collides ? <p class="error-line">There is already a role of this name.</p> : null}
            </div>
          ) : null}
          <div class="field">
            <label for={ids.description}>Description</label>
            <input
              id={ids.description}
              maxLength={500}
              autocomplete="off"
              value={description}
              onInput={(event) => setDescription(event.currentTarget.value)}
            />
          </div>
          <fieldset class="field">
            <legend>
              Rights <small>* stands for all; “never” beats every “may”</small>
            </legend>
            <div class="right-row right-titles" aria-hidden="true">
              <span>Effect</span>
              <span>Service</span>
              <span>Action</span>
              <span>Environment</span>
            </div>
            <ol class="right-rows">
              {rights.map((right, index) => (
                <RightRow
                  key={index}
                  right={right}
                  number={index + 1}
                  faults={faultsAt(refusal, index)}
                  onChange={(next) => setRights(rights.with(index, next))}
                  onRemove={() => setRights(rights.toSpliced(index, 1))}
                />
              ))}
            </ol>
            <button
              type="button"
              class="button button-small"
              onClick={() => setRights([...rights, { ...emptyRight, environment }])}
            >
              <Icon name="plus" />
              Add right
            </button>
          </fieldset>
        </div>
        <ErrorLine error={placed ? "Some rights are not acceptable." : error} />
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button button-primary" disabled={busy || collides}>
            Save role
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
