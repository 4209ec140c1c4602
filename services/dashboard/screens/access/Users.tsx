/** The users, found by name or e-mail, with their grants; changes only where allowed, each confirmed. */
import { useEffect, useState } from "preact/hooks"
import type { Grant, Me, UserWithGrants } from "#shared/api/auth.ts"
import { api } from "../../api.ts"
import { Confirm } from "../../components/Dialog.tsx"
import { Icon } from "../../components/Icon.tsx"
import { Failed, Loading, Message } from "../../components/Messages.tsx"
import { More, Table, Time } from "../../components/Table.tsx"
import { setQuery, useLocation } from "../../router.ts"
import { usePages } from "../../usePages.ts"
import type { RoleBook } from "./useRoleBook.ts"
import { GrantChip } from "./GrantChip.tsx"
import { NewGrant } from "./NewGrant.tsx"

interface UsersProps {
  readonly me: Me
  readonly mayWrite: boolean
  readonly book: RoleBook
}

type Asking =
  | { readonly kind: "grant"; readonly user: UserWithGrants }
  | { readonly kind: "revoke"; readonly user: UserWithGrants; readonly grant: Grant }
  | { readonly kind: "disable"; readonly user: UserWithGrants }

/** Milliseconds after the last key before the search is asked. */
const settle = 200

export const Users = ({ book, mayWrite, me }: UsersProps) => {
  const { query } = useLocation()
  const q = query.get("q") ?? ""
  const [text, setText] = useState(q)
  const [asking, setAsking] = useState<Asking>()
  const list = usePages((cursor) => api.users(q, cursor), q)
  const close = () => setAsking(undefined)

  useEffect(() => {
    if (text === q) return
    const timer = setTimeout(() => setQuery("q", text), settle)
    return () => clearTimeout(timer)
  }, [text])

  return (
    <>
      <div class="toolbar">
        <label class="search">
          <Icon name="search" />
          <span class="visually-hidden">Search users</span>
          <input
            type="search"
            data-search
            value={text}
            placeholder="Name or e-mail"
            autocomplete="off"
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <kbd>/</kbd>
        </label>
      </div>
      {list.error === undefined ? null : <Failed message={list.error} onRetry={() => void list.reload()} />}
      {list.items === undefined ? (
        list.error === undefined ? (
          <Loading what="users" />
        ) : null
      ) : list.items.length === 0 ? (
        <Message icon="search" title={q === "" ? "Nobody has signed in yet" : "Nobody matches"}>
          <p>{q === "" ? "People appear here after their first login." : `No name or e-mail contains “${q}”.`}</p>
        </Message>
      ) : (
        <Table
          caption="Users"
          rows={list.items}
          rowKey={({ id }) => id}
          rowClass={({ disabled }) => (disabled ? "row-disabled" : "")}
          columns={[
            {
              title: "User",
              cell: (user) => (
                <span class="cell-main">
                  <span class="cell-title">
                    {user.name}
                    {user.id === me.user.id ? <span class="tag tag-accent">you</span> : null}
                    {user.disabled ? <span class="tag tag-danger">disabled</span> : null}
                  </span>
                  <small>{user.email ?? user.subject}</small>
                </span>
              )
            },
            {
              title: "Grants",
              cell: (user) => (
                <span class="chips">
                  {user.grants.length === 0 ? <span class="muted">none</span> : null}
                  {user.grants.map((grant) => (
                    <GrantChip
                      key={grant.id}
                      grant={grant}
                      onRemove={mayWrite ? () => setAsking({ kind: "revoke", user, grant }) : undefined}
                    />
                  ))}
                  {mayWrite ? (
                    <button
                      type="button"
                      class="chip chip-add"
                      aria-label={`Add a grant for ${user.name}`}
                      onClick={() => setAsking({ kind: "grant", user })}
                    >
                      <Icon name="plus" />
                      Grant
                    </button>
                  ) : null}
                </span>
              )
            },
            { title: "Provider", cell: ({ provider }) => provider },
            { title: "Last login", cell: ({ lastLoginAt }) => <Time at={lastLoginAt} /> },
            {
              title: "Action",
              quiet: true,
              cell: (user) =>
                mayWrite && user.id !== me.user.id ? (
                  <button
                    type="button"
                    class="button button-small"
                    aria-label={`${user.disabled ? "Enable" : "Disable"} ${user.name}`}
                    onClick={() => setAsking({ kind: "disable", user })}
                  >
                    {user.disabled ? "Enable" : "Disable"}
                  </button>
                ) : null
            }
          ]}
        />
      )}
      <More more={list.more} busy={list.busy} />
      {asking?.kind === "grant" ? (
        <NewGrant user={asking.user} environment={me.environment} book={book} onClose={close} onAdded={list.reload} />
      ) : null}
      {asking?.kind === "revoke" ? (
        <Confirm
          title="Remove this grant?"
          action="Remove"
          danger
          onClose={close}
          onConfirm={async () => {
            await api.removeGrant(asking.grant.id)
            await list.reload()
          }}
        >
          <p>
            <b>{asking.user.name}</b> loses the role <b>{asking.grant.role}</b> in{" "}
            <b>{asking.grant.environment === "*" ? "every environment" : asking.grant.environment}</b>, within seconds.
          </p>
        </Confirm>
      ) : null}
      {asking?.kind === "disable" ? (
        <Confirm
          title={asking.user.disabled ? "Enable this user?" : "Disable this user?"}
          action={asking.user.disabled ? "Enable" : "Disable"}
          danger={!asking.user.disabled}
          onClose={close}
          onConfirm={async () => {
            await api.setDisabled(asking.user.id, !asking.user.disabled)
            await list.reload()
          }}
        >
          <p>
            <b>{asking.user.name}</b>{" "}
            {asking.user.disabled
              ? "may sign in again, with the grants listed."
              : "is signed out everywhere and cannot sign in. Grants are kept."}
          </p>
        </Confirm>
      ) : null}
    </>
  )
}
