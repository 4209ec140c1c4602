/** Everything that was done to the cluster through Gatehouse: filtered as the address says, checked, taken along as a file. */
import { useEffect, useRef, useState } from "preact/hooks"
import type { Action, ChainCheck } from "#shared/api/admin.ts"
import type { Me } from "#shared/api/auth.ts"
import { actionKinds, actionStates } from "./actions/choices.ts"
import { adminApi } from "../adminApi.ts"
import { NamespaceTag } from "../components/Badge.tsx"
import { ErrorLine, useAction } from "../components/Dialog.tsx"
import { Icon } from "../components/Icon.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { FilterSelect, SearchBox } from "../components/SearchBox.tsx"
import { More, Table, Time } from "../components/Table.tsx"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { saveAs } from "../saveAs.ts"
import { useLocation } from "../router.ts"
import { useCluster } from "../useCluster.ts"
import { useCapabilities } from "../useCapabilities.ts"
import { usePages } from "../usePages.ts"
import { actionWords } from "../words.ts"
import { ActionBadge, actOf } from "./actions/ActionWords.tsx"
import { csvOf } from "./actions/export.ts"

export const Actions = ({ me }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "read")} title="Actions" what="the actions" needs="admin:read">
    <Content me={me} />
  </Guarded>
)

/** Everybody seen so far on this page, by id, so that a filter does not take away the choice of another. */
const useActors = (me: Me, actions: ReadonlyArray<Action>): ReadonlyArray<readonly [id: string, name: string]> => {
  const seen = useRef(new Map<string, string>())
  for (const { actor } of actions) seen.current.set(actor.id, actor.name)
  const { id } = me.user
  const others = [...seen.current].filter(([actor]) => actor !== id)
  return [["", "Everybody"], [id, "Me"], ...others.sort(([, one], [, other]) => one.localeCompare(other))]
}

const Content = ({ me }: { readonly me: Me }) => {
  const { query } = useLocation()
  const { namespaces } = useCapabilities()
  const cluster = useCluster()
  const filter = Object.fromEntries(
    ["namespace", "name", "action", "actor", "state"].map((name) => [name, query.get(name) ?? ""])
  )
  const list = usePages((cursor) => adminApi.actions(filter, cursor), JSON.stringify(filter))
  const filtered = Object.values(filter).some((value) => value !== "")

  // What the stream tells changes the rows there are; a new one is asked for, since it may not fit the filter.
  const newest = cluster.actions[0]?.id
  const seen = useRef(newest)
  useEffect(() => {
    if (seen.current !== undefined && newest !== seen.current) void list.reload()
    seen.current = newest
  }, [newest])
  const told = new Map(cluster.actions.map((action) => [action.id, action]))
  const rows = list.items?.map((action) => told.get(action.id) ?? action)
  const actors = useActors(me, [...cluster.actions, ...(rows ?? [])])
  return (
    <>
      <ScreenHead title="Actions" sub="Every change made through Gatehouse, with who, why and what came of it.">
        <Verify />
      </ScreenHead>
      <div class="toolbar">
        <SearchBox label="Name of the workload" placeholder="Workload, by its whole name" name="name" />
        <FilterSelect label="Actor" name="actor" options={actors} />
        {namespaces.length > 1 ? (
          <FilterSelect
            label="Namespace"
            name="namespace"
            options={[["", "Every namespace"], ...namespaces.map(({ namespace }) => [namespace, namespace] as const)]}
          />
        ) : null}
        <FilterSelect
          label="Action"
          name="action"
          options={[["", "Every action"], ...actionKinds.map((kind) => [kind, kind] as const)]}
        />
        <FilterSelect
          label="State"
          name="state"
          options={[["", "Every state"], ...actionStates.map((state) => [state, actionWords[state][1]] as const)]}
        />
        <Export rows={rows} />
      </div>
      {list.error === undefined ? null : <Failed message={list.error} onRetry={() => void list.reload()} />}
      {rows === undefined ? (
        list.error === undefined ? (
          <Loading what="actions" />
        ) : null
      ) : rows.length === 0 ? (
        <Message icon="actions" title={filtered ? "No action matches" : "Nothing has been done yet"}>
          <p>{filtered ? "Nothing fits the filter." : "Applies, restarts, undos and scalings appear here."}</p>
        </Message>
      ) : (
        <Table
          caption="Actions"
          rows={rows}
          rowKey={({ id }) => id}
          columns={[
            {
              title: "Action",
              cell: (action) => (
                <span class="cell-main">
                  <Link to={`/actions/${action.id}`} class="cell-link">
                    {actOf(action)}
                  </Link>
                  <small>
                    in <NamespaceTag namespace={action.namespace} />
                  </small>
                </span>
              )
            },
            { title: "State", cell: (action) => <ActionBadge action={action} /> },
            {
              title: "Who",
              cell: ({ actor, approver }) => (
                <span class="cell-main">
                  {actor.name}
                  {approver === null ? null : <small>approved by {approver.name}</small>}
                </span>
              )
            },
            { title: "Why", cell: ({ reason }) => <span class="wrap">{reason}</span> },
            { title: "When", cell: ({ createdAt }) => <Time at={createdAt} /> }
          ]}
        />
      )}
      <More more={list.more} busy={list.busy} />
    </>
  )
}

const Export = ({ rows }: { readonly rows: ReadonlyArray<Action> | undefined }) => {
  const none = rows === undefined || rows.length === 0
  const name = `actions-${new Date().toISOString().slice(0, 10)}`
  return (
    <span class="row-tools toolbar-end">
      <button
        type="button"
        class="button"
        disabled={none}
        onClick={() => saveAs(`${name}.csv`, "text/csv", csvOf(rows ?? []))}
      >
        <Icon name="download" />
        CSV
      </button>
      <button
        type="button"
        class="button"
        disabled={none}
        onClick={() => saveAs(`${name}.json`, "application/json", JSON.stringify(rows, null, 2))}
      >
        <Icon name="download" />
        JSON
      </button>
    </span>
  )
}

/** Asks admin to check the chain of its records. */
const Verify = () => {
  const [found, setFound] = useState<ChainCheck>()
  const { busy, error, run } = useAction()
  return (
    <>
      {found === undefined ? null : (
        <span class={found.ok ? "verified" : "verified verified-broken"} role="status">
          <Icon name={found.ok ? "check" : "warning"} />
          {found.ok ? (
            `All ${found.rows} records are as they were written`
          ) : (
            <>
              Tampered with from record <code>{found.brokenAt}</code> on
            </>
          )}
        </span>
      )}
      <ErrorLine error={error} />
      <button
        type="button"
        class="button"
        disabled={busy}
        onClick={() => run(async () => setFound(await adminApi.verify()))}
      >
        {busy ? "Checking" : "Check the records"}
      </button>
    </>
  )
}
