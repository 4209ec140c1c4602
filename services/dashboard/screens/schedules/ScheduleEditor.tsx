/** Makes or changes a schedule; after saving it shows the next slots as the scheduler has understood the rule. */
import type { ComponentChildren } from "preact"
import { useId, useState } from "preact/hooks"
import type { ScheduleInput, ScheduleView, SlotPreview } from "#shared/api/scheduler.ts"
import { Dialog, ErrorLine, useAction } from "../../components/Dialog.tsx"
import { Options } from "../../components/Options.tsx"
import { Segmented } from "../../components/Segmented.tsx"
import { fullTime } from "../../format.ts"
import { jobsApi } from "../../jobsApi.ts"
import { useLoaded } from "../../useLoaded.ts"

interface ScheduleEditorProps {
  readonly schedule: ScheduleView | undefined
  readonly taken: ReadonlyArray<ScheduleView>
  readonly onClose: () => void
  readonly onSaved: () => Promise<void>
}

interface FieldProps {
  readonly label: string
  readonly hint?: string | undefined
  readonly children: (id: string) => ComponentChildren
}

const Field = ({ children, hint, label }: FieldProps) => {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>
        {label} {hint === undefined ? null : <small>{hint}</small>}
      </label>
      {children(id)}
    </div>
  )
}

const rules = [
  ["cron", "By the calendar"],
  ["every", "Every so often"]
] as const

const overlaps = [
  ["skip", "skip the slot"],
  ["queue", "wait for it"],
  ["allow", "run beside it"]
] as const

const missedRules = [
  ["skip", "leave them out"],
  ["once", "run the last one"],
  ["all", "run them all"]
] as const

const slots = 5

const objectOf = (text: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

export const ScheduleEditor = ({ onClose, onSaved, schedule, taken }: ScheduleEditorProps) => {
  const kinds = useLoaded(jobsApi.kinds, "kinds")
  const [name, setName] = useState(schedule?.name ?? "")
  const [rule, setRule] = useState<"cron" | "every">(schedule?.everySeconds == null ? "cron" : "every")
  const [cron, setCron] = useState(schedule?.cron ?? "0 3 * * *")
  const [every, setEvery] = useState(String(schedule?.everySeconds ?? 300))
  const [timeZone, setTimeZone] = useState(schedule?.timeZone ?? "UTC")
  const [kind, setKind] = useState(schedule?.kind ?? "")
  const [written, setWritten] = useState<string>()
  const told = JSON.stringify(schedule?.payload ?? {}, null, 2)
  // What is masked must not be saved as its mask: it is to be written anew.
  const known = told.includes("***") ? "" : told
  const payload = written ?? known
  const [overlap, setOverlap] = useState(schedule?.overlap ?? "skip")
  const [missed, setMissed] = useState(schedule?.missed ?? "once")
  const [preview, setPreview] = useState<typeof SlotPreview.Type>()
  const { busy, error, run } = useAction()
  const given = objectOf(payload)
  const clash = schedule === undefined && taken.some((one) => one.name === name)

  const submit = (event: Event) => {
    event.preventDefault()
    if (given === undefined) return
    const input: ScheduleInput = {
      ...(rule === "cron" ? { cron, timeZone } : { everySeconds: Number(every) }),
      kind,
      payload: given,
      overlap,
      missed,
      ...(schedule === undefined
        ? {}
        : {
            catchUpMax: schedule.catchUpMax,
            dstGap: schedule.dstGap,
            dstFold: schedule.dstFold,
            jitterSeconds: schedule.jitterSeconds,
            enabled: schedule.enabled
          })
    }
    void run(async () => {
      await jobsApi.putSchedule(name, input)
      setPreview(await jobsApi.previewSlots(name, slots))
      await onSaved()
    })
  }

  if (preview !== undefined) {
    return (
      <Dialog title={`${name} is saved`} onClose={onClose} class="dialog-small">
        <div class="dialog-body">
          <p>It runs next at:</p>
          <ol class="slot-list" aria-label="Next slots">
            {preview.slots.map((slot) => (
              <li key={slot}>{fullTime(slot)}</li>
            ))}
          </ol>
          {preview.notes.map((note) => (
            <p class="hint" key={note}>
              {note}
            </p>
          ))}
        </div>
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={() => setPreview(undefined)}>
            Change it again
          </button>
          <button type="button" class="button button-primary" onClick={onClose}>
            Done
          </button>
        </footer>
      </Dialog>
    )
  }
  return (
    <Dialog title={schedule === undefined ? "New schedule" : `Schedule ${schedule.name}`} onClose={onClose}>
      <form onSubmit={submit}>
        <div class="dialog-body">
          {schedule === undefined ? (
            <Field label="Name" hint="lower case, digits, dots, dashes">
              {(id) => (
                <>
                  <input
                    id={id}
                    required
                    pattern="[a-z][a-z0-9._\-]{0,62}"
                    value={name}
                    autocomplete="off"
                    onInput={(event) => setName(event.currentTarget.value)}
                  />
                  {clash ? <p class="error-line">There is already a schedule of this name.</p> : null}
                </>
              )}
            </Field>
          ) : null}
          <Segmented label="Rule" value={rule} options={rules} onChange={setRule} />
          {rule === "cron" ? (
            <div class="field-row">
              <Field label="Cron" hint="minute hour day month weekday">
                {(id) => (
                  <input
                    id={id}
                    class="mono"
                    required
                    value={cron}
                    autocomplete="off"
                    onInput={(event) => setCron(event.currentTarget.value)}
                  />
                )}
              </Field>
              <Field label="Time zone" hint="IANA name">
                {(id) => (
                  <input
                    id={id}
                    required
                    value={timeZone}
                    autocomplete="off"
                    onInput={(event) => setTimeZone(event.currentTarget.value)}
                  />
                )}
              </Field>
            </div>
          ) : (
            <Field label="Seconds between runs" hint="10 at least">
              {(id) => (
                <input
                  id={id}
                  type="number"
                  min={10}
                  required
                  value={every}
                  onInput={(event) => setEvery(event.currentTarget.value)}
                />
              )}
            </Field>
          )}
          <Field label="Job">
            {(id) => (
              <>
                <select id={id} required value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
                  <option value="" disabled>
                    Choose a kind
                  </option>
                  <Options of={kinds.value?.items.map((one) => one.kind) ?? (kind === "" ? [] : [kind])} />
                </select>
                <p class="hint">
                  {kinds.error ?? kinds.value?.items.find((one) => one.kind === kind)?.description ?? "\u00a0"}
                </p>
              </>
            )}
          </Field>
          <Field
            label="Payload"
            hint={
              schedule === undefined || known !== "" ? "a JSON object" : "a JSON object; the present one is not shown"
            }
          >
            {(id) => (
              <>
                <textarea
                  id={id}
                  class="mono"
                  rows={4}
                  spellcheck={false}
                  value={payload}
                  onInput={(event) => setWritten(event.currentTarget.value)}
                />
                {given === undefined ? <p class="error-line">This is no JSON object.</p> : null}
              </>
            )}
          </Field>
          <div class="field-row">
            <Field label="If the last run is not finished">
              {(id) => (
                <select
                  id={id}
                  value={overlap}
                  onChange={(event) => setOverlap(event.currentTarget.value as typeof overlap)}
                >
                  <Options of={overlaps} />
                </select>
              )}
            </Field>
            <Field label="Slots missed while away">
              {(id) => (
                <select
                  id={id}
                  value={missed}
                  onChange={(event) => setMissed(event.currentTarget.value as typeof missed)}
                >
                  <Options of={missedRules} />
                </select>
              )}
            </Field>
          </div>
        </div>
        <ErrorLine error={error} />
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button
            type="submit"
            class="button button-primary"
            disabled={busy || kind === "" || name === "" || clash || given === undefined}
          >
            Save and preview
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
