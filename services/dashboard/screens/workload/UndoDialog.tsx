/** Goes back to an earlier revision: what would change and what would be lost is shown before a reason is asked for. */
import { useState } from "preact/hooks"
import type { Action, Revision, UndoInput, UndoPreview, Workload } from "#shared/api/admin.ts"
import type { Me } from "#shared/api/auth.ts"
import { adminApi } from "../../adminApi.ts"
import { ActDialog, isProduction, useIntent } from "../../components/Act.tsx"
import { Changes } from "../../components/Changes.tsx"
import { Icon } from "../../components/Icon.tsx"
import { Failed, Loading } from "../../components/Messages.tsx"
import { useLoaded } from "../../useLoaded.ts"
import { RevisionSelect } from "./RevisionSelect.tsx"

interface UndoDialogProps {
  readonly me: Me
  readonly workload: Workload
  /** Undefined until they are known. */
  readonly items: ReadonlyArray<Revision> | undefined
  /** Absent: the last that was known to be good, if there is one. */
  readonly to?: number
  readonly onClose: () => void
  readonly onDone: (action: Action) => void
}

const knownGood = "last-known-good"

const wasGood = (one: Revision) => one.health === "good" && !one.current

/** What to go back to unless told: the last good one, else the one before; "" while that is not known. */
const usual = (items: ReadonlyArray<Revision> | undefined): string => {
  if (items === undefined) return ""
  if (items.some(wasGood)) return knownGood
  const earlier = items.filter(({ current }) => !current).map(({ revision }) => revision)
  return earlier.length === 0 ? "0" : String(Math.max(...earlier))
}

const Preview = ({ preview }: { readonly preview: UndoPreview }) => (
  <div class="preview">
    <p>
      {preview.skipped ? (
        <b>{preview.message}</b>
      ) : (
        <>
          {preview.fromRevision === null ? "" : `From revision ${preview.fromRevision} `}back to revision{" "}
          <b>{preview.toRevision}</b>.
        </>
      )}
    </p>
    {preview.warnings.length === 0 ? null : (
      <ul class="warnings" aria-label="Warnings">
        {preview.warnings.map((warning) => (
          <li key={warning}>
            <Icon name="warning" />
            {warning}
          </li>
        ))}
      </ul>
    )}
    {preview.skipped ? null : (
      <>
        <h3>What changes</h3>
        <Changes changes={preview.changes} />
        {preview.lostAnnotations.length === 0 ? null : (
          <>
            <h3>Annotations that get lost</h3>
            <ul class="chips">
              {preview.lostAnnotations.map((name) => (
                <li key={name}>
                  <code>{name}</code>
                </li>
              ))}
            </ul>
          </>
        )}
        <p class="hint">Replicas, strategy, ConfigMaps and Secrets stay as they are.</p>
      </>
    )}
  </div>
)

export const UndoDialog = ({ items, me, onClose, onDone, to, workload }: UndoDialogProps) => {
  const [chosen, setChosen] = useState(to === undefined ? "" : String(to))
  const target = chosen === "" ? usual(items) : chosen
  const intent = useIntent()
  const { kind, name, namespace } = workload
  const toRevision = target === knownGood ? knownGood : Number(target)
  const preview = useLoaded(
    async () =>
      target === "" ? undefined : adminApi.previewUndo(namespace, { kind, name, reason: "Preview", toRevision }),
    `${target} ${workload.generation}`
  )
  return (
    <ActDialog
      title={`Undo ${name}`}
      verb="Undo"
      wide
      typed={isProduction(me.environment, namespace) ? name : ""}
      ready={preview.value !== undefined && !preview.value.skipped}
      onClose={onClose}
      onAct={async (reason) => {
        // What was previewed is what is asked for, also where "last known good" would mean another one by now.
        const input: UndoInput = { kind, name, reason, toRevision: preview.value!.toRevision }
        onDone(await adminApi.undo(namespace, input, intent(input)))
      }}
    >
      <RevisionSelect
        label="Back to"
        items={items?.filter((one) => !one.current) ?? []}
        value={target}
        onChange={setChosen}
      >
        {items?.some(wasGood) === true ? <option value={knownGood}>The last one known to be good</option> : null}
        {target === "0" ? <option value="0">The one before</option> : null}
      </RevisionSelect>
      {preview.error !== undefined ? (
        <Failed message={preview.error} onRetry={() => void preview.reload()} />
      ) : preview.value === undefined ? (
        <Loading what="the preview" rows={2} />
      ) : (
        <Preview preview={preview.value} />
      )}
    </ActDialog>
  )
}
