/** Two revisions of a workload side by side; must change nothing. */
import { useState } from "preact/hooks"
import type { Revision, Workload } from "#shared/api/admin.ts"
import { adminApi } from "../../adminApi.ts"
import { Changes } from "../../components/Changes.tsx"
import { Dialog } from "../../components/Dialog.tsx"
import { Failed, Loading } from "../../components/Messages.tsx"
import { useLoaded } from "../../useLoaded.ts"
import { RevisionSelect } from "./RevisionSelect.tsx"

interface DiffDialogProps {
  readonly workload: Workload
  readonly items: ReadonlyArray<Revision>
  readonly from: number
  readonly to: number
  readonly onClose: () => void
}

export const DiffDialog = (props: DiffDialogProps) => {
  const { items, onClose, workload } = props
  const [from, setFrom] = useState(props.from)
  const [to, setTo] = useState(props.to)
  const diff = useLoaded(() => adminApi.diff(workload, from, to), `${from} ${to}`)
  return (
    <Dialog title={`Revisions of ${workload.name}`} onClose={onClose} class="dialog-wide">
      <div class="dialog-body">
        <div class="field-row">
          <RevisionSelect
            label="From"
            items={items}
            value={String(from)}
            onChange={(value) => setFrom(Number(value))}
          />
          <RevisionSelect label="To" items={items} value={String(to)} onChange={(value) => setTo(Number(value))} />
        </div>
        {diff.error !== undefined ? (
          <Failed message={diff.error} onRetry={() => void diff.reload()} />
        ) : diff.value === undefined ? (
          <Loading what="the difference" rows={2} />
        ) : (
          <Changes changes={diff.value.changes} empty="Their templates do not differ." />
        )}
      </div>
    </Dialog>
  )
}
