/** The roles and the rights they stand for; changes only where allowed. */
import type { ComponentChildren } from "preact"
import { useState } from "preact/hooks"
import type { Right, Role } from "#shared/api/auth.ts"
import { api } from "../../api.ts"
import { Confirm } from "../../components/Dialog.tsx"
import { Icon } from "../../components/Icon.tsx"
import { Failed, Loading } from "../../components/Messages.tsx"
import type { RoleBook } from "./useRoleBook.ts"
import { RoleEditor } from "./RoleEditor.tsx"

interface RolesProps {
  readonly mayWrite: boolean
  readonly book: RoleBook
  readonly environment: string
}

type Asking =
  | { readonly kind: "new" }
  | { readonly kind: "edit"; readonly role: Role }
  | { readonly kind: "delete"; readonly role: Role }

/** Rights that differ only in their action, on one line: `admin: plan, apply`. */
const grouped = (rights: ReadonlyArray<Right>) => {
  const groups = new Map<string, { readonly right: Right; readonly actions: Array<string> }>()
  for (const right of rights) {
    const key = `${right.effect} ${right.environment} ${right.service}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { right, actions: [right.action] })
    else group.actions.push(right.action)
  }
  return [...groups].map(([key, group]) => ({ key, ...group }))
}

const star = (value: string, every: string) => (value === "*" ? every : value)

const RoleCard = ({ children, role }: { readonly role: Role; readonly children: ComponentChildren }) => (
  <section class="card role" aria-label={`Role ${role.name}`}>
    <header class="role-head">
      <h2>{role.name}</h2>
      {role.builtIn ? <span class="tag">built in</span> : null}
      <span class="role-tools">{children}</span>
    </header>
    <p class="muted">{role.description}</p>
    {role.rights.length === 0 ? <p class="card-empty">No rights.</p> : null}
    <ul class="rights">
      {grouped(role.rights).map(({ actions, key, right }) => (
        <li key={key} class={right.effect === "deny" ? "right-deny" : undefined}>
          <span class="right-effect">{right.effect === "deny" ? "never" : "may"}</span>
          <span>
            <b>{star(right.service, "every service")}</b>{" "}
            {actions.map((action) => (
              <code key={action}>{star(action, "everything")}</code>
            ))}
          </span>
          <small>{star(right.environment, "everywhere")}</small>
        </li>
      ))}
    </ul>
  </section>
)

export const Roles = ({ book, environment, mayWrite }: RolesProps) => {
  const [asking, setAsking] = useState<Asking>()
  const close = () => setAsking(undefined)
  if (book.roles === undefined) {
    return book.error === undefined ? (
      <Loading what="roles" />
    ) : (
      <Failed message={book.error} onRetry={() => void book.reload()} />
    )
  }
  return (
    <>
      {mayWrite ? (
        <div class="toolbar">
          <button type="button" class="button" onClick={() => setAsking({ kind: "new" })}>
            <Icon name="plus" />
            New role
          </button>
        </div>
      ) : null}
      <div class="roles">
        {book.roles.map((role) => (
          <RoleCard key={role.name} role={role}>
            {mayWrite ? (
              <button
                type="button"
                class="button button-small"
                aria-label={`Edit ${role.name}`}
                onClick={() => setAsking({ kind: "edit", role })}
              >
                Edit
              </button>
            ) : null}
            {mayWrite && !role.builtIn ? (
              <button
                type="button"
                class="button button-small"
                aria-label={`Delete ${role.name}`}
                onClick={() => setAsking({ kind: "delete", role })}
              >
                Delete
              </button>
            ) : null}
          </RoleCard>
        ))}
      </div>
      {asking?.kind === "new" || asking?.kind === "edit" ? (
        <RoleEditor
          role={asking.kind === "edit" ? asking.role : undefined}
          taken={book.roles.map(({ name }) => name)}
          environment={environment}
          onClose={close}
          onSaved={book.reload}
        />
      ) : null}
      {asking?.kind === "delete" ? (
        <Confirm
          title={`Delete the role ${asking.role.name}?`}
          action="Delete"
          danger
          onClose={close}
          onConfirm={async () => {
            await api.deleteRole(asking.role.name)
            await book.reload()
          }}
        >
          <p>Everyone who holds it loses what it allows, within seconds. This cannot be undone.</p>
        </Confirm>
      ) : null}
    </>
  )
}
