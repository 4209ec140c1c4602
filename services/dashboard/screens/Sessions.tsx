/** Where I am logged in and which tokens I gave away, each to be ended, and a new token to be made; must keep no token. */
import { useState } from "preact/hooks"
import type { Me, Session } from "#shared/api/auth.ts"
import { api } from "../api.ts"
import { Confirm } from "../components/Dialog.tsx"
import { Icon } from "../components/Icon.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { More, Table, Time } from "../components/Table.tsx"
import { userAgentName } from "../format.ts"
import { usePages } from "../usePages.ts"
import { NewToken } from "./sessions/NewToken.tsx"

const nameOf = (session: Session) =>
  session.kind === "token"
    ? session.label || "Token"
    : session.userAgent === null
      ? "Browser"
      : userAgentName(session.userAgent)

type Asking =
  | { readonly kind: "one"; readonly session: Session }
  | { readonly kind: "others" }
  | { readonly kind: "token" }

export const Sessions = ({ me }: { readonly me: Me }) => {
  const [asking, setAsking] = useState<Asking>()
  const list = usePages(api.sessions, "sessions")
  const close = () => setAsking(undefined)
  const others = list.items?.filter(({ current }) => !current) ?? []

  return (
    <>
      <header class="page-head">
        <div>
          <h1 tabIndex={-1}>Sessions &amp; tokens</h1>
          <p class="page-sub">Everything that can act as you in this environment.</p>
        </div>
        <div class="page-tools">
          {others.length === 0 ? null : (
            <button type="button" class="button" onClick={() => setAsking({ kind: "others" })}>
              End all others
            </button>
          )}
          <button type="button" class="button button-primary" onClick={() => setAsking({ kind: "token" })}>
            <Icon name="plus" />
            New access token
          </button>
        </div>
      </header>
      {list.error === undefined ? null : <Failed message={list.error} onRetry={() => void list.reload()} />}
      {list.items === undefined ? (
        list.error === undefined ? (
          <Loading what="your sessions" />
        ) : null
      ) : list.items.length === 0 ? (
        <Message icon="sessions" title="No session is listed" />
      ) : (
        <Table
          caption="Sessions and tokens"
          rows={list.items}
          rowKey={({ id }) => id}
          rowClass={({ current }) => (current ? "row-current" : "")}
          columns={[
            {
              title: "What",
              cell: (session) => (
                <span class="cell-main">
                  <span class="cell-title">
                    {nameOf(session)}
                    {session.current ? <span class="tag tag-accent">this session</span> : null}
                  </span>
                  <small>{session.kind === "token" ? "Refresh token" : "Browser session"}</small>
                </span>
              )
            },
            { title: "Last used", cell: ({ lastSeenAt }) => <Time at={lastSeenAt} /> },
            { title: "Signed in", cell: ({ authTime }) => <Time at={authTime} /> },
            { title: "Ends", cell: ({ expiresAt }) => <Time at={expiresAt} /> },
            { title: "Address", cell: ({ ip }) => <span class="mono">{ip ?? "–"}</span> },
            {
              title: "Action",
              quiet: true,
              cell: (session) =>
                session.current ? null : (
                  <button
                    type="button"
                    class="button button-small"
                    aria-label={`End ${nameOf(session)}`}
                    onClick={() => setAsking({ kind: "one", session })}
                  >
                    End
                  </button>
                )
            }
          ]}
        />
      )}
      <More more={list.more} busy={list.busy} />
      {asking?.kind === "one" ? (
        <Confirm
          title={asking.session.kind === "token" ? "End this token?" : "End this session?"}
          action="End"
          danger
          onClose={close}
          onConfirm={async () => {
            await api.endSession(asking.session.id)
            await list.reload()
          }}
        >
          <p>
            <b>{nameOf(asking.session)}</b>
            {asking.session.ip === null ? "" : ` at ${asking.session.ip}`} can no longer act as you, within seconds.
          </p>
        </Confirm>
      ) : null}
      {asking?.kind === "others" ? (
        <Confirm
          title="End all others?"
          action={`End ${others.length}`}
          danger
          onClose={close}
          onConfirm={async () => {
            try {
              for (const { id } of others) await api.endSession(id)
            } finally {
              await list.reload()
            }
          }}
        >
          <p>
            {others.length === 1 ? "One session or token is" : `${others.length} sessions and tokens are`} ended. This
            one stays.
          </p>
        </Confirm>
      ) : null}
      {asking?.kind === "token" ? <NewToken me={me} onClose={close} onCreated={() => void list.reload()} /> : null}
    </>
  )
}
