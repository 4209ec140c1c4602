/** The workload's past: every revision with who, why and whether it was ever healthy; compare two, go back to one. */
import { useEffect, useState } from "preact/hooks"
import type { Action, Revision, Workload } from "#shared/api/admin.ts"
import type { Me } from "#shared/api/auth.ts"
import { adminApi } from "../../adminApi.ts"
import { Badge } from "../../components/Badge.tsx"
import { Images } from "../../components/Images.tsx"
import { Failed, Loading, Message } from "../../components/Messages.tsx"
import { Table, Time } from "../../components/Table.tsx"
import type { Rules } from "../../useCapabilities.ts"
import { useLoaded } from "../../useLoaded.ts"
import type { Tone } from "../../words.ts"
import { DiffDialog } from "./DiffDialog.tsx"
import { mayUndo } from "./allowances.ts"
import { UndoDialog } from "./UndoDialog.tsx"

interface RevisionsProps {
  readonly me: Me
  readonly workload: Workload
  readonly version: string
  readonly rules: Rules
  readonly onDone: (action: Action) => void
}

type Asking =
  | { readonly kind: "diff"; readonly from: number; readonly to: number }
  | { readonly kind: "undo"; readonly to: number }

const healthWords: Readonly<Record<Revision["health"], readonly [Tone, string]>> = {
  good: ["good", "Was healthy"],
  bad: ["bad", "Never healthy"],
  unknown: ["none", "Not known"]
}

/** The number of the revision that this one is the same as, but for the restart. */
const sameAs = (items: ReadonlyArray<Revision>, revision: Revision): number | undefined =>
  revision.onlyRestartedAt ? items[items.indexOf(revision) - 1]?.revision : undefined

export const Revisions = ({ me, onDone, rules, version, workload }: RevisionsProps) => {
  const history = useLoaded(() => adminApi.history(workload), `${workload.namespace}/${workload.kind}/${workload.name}`)
  const [asking, setAsking] = useState<Asking>()
  useEffect(() => void history.reload(), [version])
  const items = history.value?.items
  if (items === undefined) {
    return history.error === undefined ? (
      <Loading what="revisions" />
    ) : (
      <Failed message={history.error} onRetry={() => void history.reload()} />
    )
  }
  if (items.length === 0) {
    return (
      <Message title="No rollout history found">
        <p>Kubernetes keeps no revision of this workload, so nothing can be undone.</p>
      </Message>
    )
  }
  const current = items.find((one) => one.current)?.revision ?? workload.revision ?? items.at(-1)!.revision
  const allowance = mayUndo(rules, workload)
  return (
    <>
      <div class="toolbar">
        <button
          type="button"
          class="button"
          disabled={items.length < 2}
          onClick={() => setAsking({ kind: "diff", from: items.at(-2)?.revision ?? current, to: current })}
        >
          Compare two
        </button>
        {allowance.allowed ? null : (
          <p class="hint">
            <b>Undo:</b> {allowance.reason}
          </p>
        )}
      </div>
      <Table
        caption="Revisions"
        rows={items.toReversed()}
        rowKey={({ uid }) => uid}
        rowClass={(one) => (one.current ? "row-current" : "")}
        columns={[
          {
            title: "Revision",
            cell: (one) => (
              <span class="cell-main">
                <span class="cell-title">
                  {one.revision}
                  {one.current ? <span class="tag tag-accent">current</span> : null}
                </span>
                {one.onlyRestartedAt ? <small>same as {sameAs(items, one) ?? "before"}, but restarted</small> : null}
              </span>
            )
          },
          {
            title: "Images",
            cell: ({ images }) => <Images images={images} />
          },
          {
            title: "Health",
            cell: ({ health }) => <Badge tone={healthWords[health][0]}>{healthWords[health][1]}</Badge>
          },
          { title: "Created", cell: ({ createdAt }) => <Time at={createdAt} /> },
          {
            title: "Who and why",
            cell: ({ actor, approver, changeCause, reason }) => (
              <span class="cell-main wrap">
                {actor?.name ?? <span class="muted">not through Gatehouse</span>}
                {approver === null ? null : <>, approved by {approver.name}</>}
                <small>{reason ?? changeCause}</small>
              </span>
            )
          },
          {
            title: "Action",
            quiet: true,
            cell: (one) =>
              one.current ? null : (
                <span class="row-tools">
                  <button
                    type="button"
                    class="button button-small"
                    aria-label={`Compare revision ${one.revision} with the current one`}
                    onClick={() => setAsking({ kind: "diff", from: one.revision, to: current })}
                  >
                    Compare
                  </button>
                  <button
                    type="button"
                    class="button button-small"
                    aria-label={`Undo to revision ${one.revision}`}
                    disabled={!allowance.allowed}
                    title={allowance.allowed ? undefined : allowance.reason}
                    onClick={() => setAsking({ kind: "undo", to: one.revision })}
                  >
                    Undo to this
                  </button>
                </span>
              )
          }
        ]}
      />
      {asking?.kind === "diff" ? (
        <DiffDialog
          workload={workload}
          items={items}
          from={asking.from}
          to={asking.to}
          onClose={() => setAsking(undefined)}
        />
      ) : null}
      {asking?.kind === "undo" ? (
        <UndoDialog
          me={me}
          workload={workload}
          items={items}
          to={asking.to}
          onClose={() => setAsking(undefined)}
          onDone={onDone}
        />
      ) : null}
    </>
  )
}
