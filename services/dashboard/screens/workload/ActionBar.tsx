/** What may be done to the workload: restart, undo, pause or resume, scale; each asks first, none is offered that admin refuses. */
import type { ComponentChildren } from "preact"
import { useId, useState } from "preact/hooks"
import type { Action, ScaleInput, TargetInput, Workload, WorkloadDetail } from "#shared/api/admin.ts"
import type { Me } from "#shared/api/auth.ts"
import { adminApi } from "../../adminApi.ts"
import { ActDialog, isProduction, useIntent } from "../../components/Act.tsx"
import { GatedButtons } from "../../components/Gated.tsx"
import type { Rules } from "../../useCapabilities.ts"
import { useLoaded } from "../../useLoaded.ts"
import { mayPause, mayRestart, mayResume, mayScale, mayUndo } from "./allowances.ts"
import { UndoDialog } from "./UndoDialog.tsx"

interface ActionBarProps {
  readonly me: Me
  readonly workload: Workload
  readonly detail: WorkloadDetail
  readonly rules: Rules
  readonly onDone: (action: Action) => void
}

type Asking = "restart" | "undo" | "pause" | "resume" | "scale"

export const ActionBar = ({ detail, me, onDone, rules, workload }: ActionBarProps) => {
  const [asking, setAsking] = useState<Asking>()
  const close = () => setAsking(undefined)
  const dialog = { me, workload, onClose: close, onDone }
  const pausing = workload.paused ? "resume" : "pause"
  return (
    <>
      <GatedButtons
        actions={[
          {
            title: "Restart",
            icon: "restart",
            allowance: mayRestart(rules, workload),
            onPress: () => setAsking("restart")
          },
          { title: "Undo", icon: "undo", allowance: mayUndo(rules, workload), onPress: () => setAsking("undo") },
          {
            title: workload.paused ? "Resume" : "Pause",
            icon: workload.paused ? "play" : "pause",
            allowance: workload.paused ? mayResume(rules, workload) : mayPause(rules, workload),
            onPress: () => setAsking(pausing)
          },
          { title: "Scale", icon: "scale", allowance: mayScale(rules, workload), onPress: () => setAsking("scale") }
        ]}
      />
      {asking === "restart" ? (
        <TargetDialog {...dialog} verb="restart">
          <p>
            {detail.strategy === "OnDelete"
              ? "Its strategy is OnDelete: the template changes, and no pod restarts by itself."
              : `Its ${workload.desired === 1 ? "pod is" : `${workload.desired} pods are`} replaced step by step. It makes a new revision with the same image.`}
          </p>
        </TargetDialog>
      ) : null}
      {asking === "pause" ? (
        <TargetDialog {...dialog} verb="pause">
          <p>Its pods go on. Changes of its template are kept and not rolled out until it is resumed.</p>
        </TargetDialog>
      ) : null}
      {asking === "resume" ? (
        <TargetDialog {...dialog} verb="resume">
          <p>Changes made since it was paused are rolled out at once.</p>
        </TargetDialog>
      ) : null}
      {asking === "scale" ? <ScaleDialog {...dialog} /> : null}
      {asking === "undo" ? <UndoWithHistory {...dialog} /> : null}
    </>
  )
}

interface DialogProps {
  readonly me: Me
  readonly workload: Workload
  readonly onClose: () => void
  readonly onDone: (action: Action) => void
}

interface TargetDialogProps extends DialogProps {
  readonly verb: "restart" | "pause" | "resume"
  readonly children: ComponentChildren
}

const capital = (text: string) => text[0]!.toUpperCase() + text.slice(1)

const TargetDialog = ({ children, me, onClose, onDone, verb, workload }: TargetDialogProps) => {
  const intent = useIntent()
  const { kind, name, namespace } = workload
  return (
    <ActDialog
      title={`${capital(verb)} ${name}?`}
      verb={capital(verb)}
      typed={isProduction(me.environment, namespace) ? name : ""}
      onClose={onClose}
      onAct={async (reason) => {
        const input: TargetInput = { kind, name, reason }
        onDone(await adminApi[verb](namespace, input, intent(input)))
      }}
    >
      {children}
    </ActDialog>
  )
}

const ScaleDialog = ({ me, onClose, onDone, workload }: DialogProps) => {
  const intent = useIntent()
  const id = useId()
  const [text, setText] = useState(String(workload.desired))
  const { kind, name, namespace } = workload
  const replicas = /^\d{1,3}$/u.test(text) ? Number(text) : Number.NaN
  const fits = replicas <= 100
  return (
    <ActDialog
      title={`Scale ${name}`}
      verb="Scale"
      typed={isProduction(me.environment, namespace) ? name : ""}
      ready={fits && replicas !== workload.desired}
      onClose={onClose}
      onAct={async (reason) => {
        const input: ScaleInput = { kind, name, reason, replicas }
        onDone(await adminApi.scale(namespace, input, intent(input)))
      }}
    >
      <div class="field">
        <label for={id}>
          Replicas <small>{workload.desired} now, 0 to 100</small>
        </label>
        <input
          id={id}
          type="number"
          min={0}
          max={100}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        {fits ? (
          <p class="hint">
            {replicas === 0
              ? "Nothing of it runs any more until it is scaled up."
              : replicas === workload.desired
                ? "As it is now."
                : `${replicas > workload.desired ? "More" : "Fewer"} pods by ${Math.abs(replicas - workload.desired)}.`}
          </p>
        ) : (
          <p class="error-line">A whole number from 0 to 100.</p>
        )}
      </div>
    </ActDialog>
  )
}

/** The dialog needs to know which revisions there are. */
const UndoWithHistory = (props: DialogProps) => {
  const history = useLoaded(() => adminApi.history(props.workload), props.workload.uid)
  return <UndoDialog {...props} items={history.value?.items ?? (history.error === undefined ? undefined : [])} />
}
