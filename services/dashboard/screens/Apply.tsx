/** From a manifest to a change: paste or choose a file, read the plan, say why, confirm; nothing is written before that. */
import { useId, useRef, useState } from "preact/hooks"
import type { Action, Plan } from "#shared/api/admin.ts"
import type { Me } from "#shared/api/auth.ts"
import { adminApi } from "../adminApi.ts"
import { ApiError } from "../api.ts"
import { ActDialog, isProduction, useIntent } from "../components/Act.tsx"
import { ClusterBanner } from "../components/ClusterBanner.tsx"
import { GatedButtons } from "../components/Gated.tsx"
import { Icon } from "../components/Icon.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Options } from "../components/Options.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { useCluster } from "../useCluster.ts"
import { firstRefusal, type Rules, useCapabilities } from "../useCapabilities.ts"
import { useNow } from "../useLoaded.ts"
import { Applied } from "./apply/Applied.tsx"
import { Faults } from "./apply/Faults.tsx"
import { PlanView } from "./apply/PlanView.tsx"

export const Apply = ({ me }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "plan")} title="Apply" what="plans" needs="admin:plan">
    <Content me={me} />
  </Guarded>
)

/** Bytes of a manifest that admin takes. */
const maxBytes = 1_000_000

const Content = ({ me }: { readonly me: Me }) => {
  const cluster = useCluster()
  const rules = useCapabilities()
  const [namespace, setNamespace] = useState("")
  const place = namespace === "" ? (rules.namespaces[0]?.namespace ?? "") : namespace
  return (
    <>
      <ScreenHead title="Apply" sub="A manifest becomes a plan; a plan becomes a change when you confirm it." />
      <ClusterBanner cluster={cluster} />
      {rules.error !== undefined && rules.namespaces.length === 0 ? (
        <Failed message={rules.error} onRetry={() => void rules.reload()} />
      ) : place === "" ? (
        <Loading what="your namespaces" rows={2} />
      ) : (
        <Planner me={me} rules={rules} namespace={place} onNamespace={setNamespace} />
      )}
    </>
  )
}

interface PlannerProps {
  readonly me: Me
  readonly rules: Rules
  readonly namespace: string
  readonly onNamespace: (namespace: string) => void
}

const Planner = ({ me, namespace, onNamespace, rules }: PlannerProps) => {
  const [manifest, setManifest] = useState("")
  const [plan, setPlan] = useState<Plan>()
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const [asking, setAsking] = useState(false)
  const [done, setDone] = useState<Action>()
  const now = useNow(1000)
  const intent = useIntent()
  const file = useRef<HTMLInputElement>(null)
  const ids = { manifest: useId(), namespace: useId() }
  const size = new Blob([manifest]).size

  /** A plan is of exactly this manifest and namespace. */
  const begin = (change: () => void) => {
    change()
    setPlan(undefined)
    setError(undefined)
    setDone(undefined)
  }
  const makePlan = async () => {
    setBusy(true)
    begin(() => {})
    try {
      setPlan(await adminApi.plan(namespace, manifest))
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  const expired = plan !== undefined && Date.parse(plan.expiresAt) <= now
  const conflicts = plan?.objects.reduce((sum, one) => sum + one.conflicts.length, 0) ?? 0
  const changed = plan?.objects.filter(({ change }) => change !== "unchanged").length ?? 0
  return (
    <>
      <section class="card section" aria-label="Manifest">
        <div class="field">
          <label for={ids.manifest}>
            Manifest <small>YAML or JSON, one or several documents</small>
          </label>
          <textarea
            id={ids.manifest}
            class="mono"
            data-search
            rows={14}
            spellcheck={false}
            value={manifest}
            placeholder={"apiVersion: apps/v1\nkind: Deployment\n…"}
            onInput={(event) => begin(() => setManifest(event.currentTarget.value))}
          />
        </div>
        <div class="apply-tools">
          <label class="filter">
            <span class="visually-hidden">Namespace</span>
            <select
              id={ids.namespace}
              value={namespace}
              onChange={(event) => begin(() => onNamespace(event.currentTarget.value))}
            >
              <Options of={rules.namespaces.map(({ namespace }) => namespace)} />
            </select>
          </label>
          <input
            ref={file}
            type="file"
            hidden
            accept=".yaml,.yml,.json"
            aria-label="Manifest file"
            onChange={async (event) => {
              const chosen = event.currentTarget.files?.[0]
              if (chosen === undefined) return
              const text = await chosen.text()
              begin(() => setManifest(text))
            }}
          />
          <button type="button" class="button" onClick={() => file.current?.click()}>
            Choose a file
          </button>
          <GatedButtons
            actions={[
              {
                title: busy ? "Planning" : "Plan",
                icon: "search",
                ...(plan === undefined ? { kind: "primary" as const } : {}),
                allowance: firstRefusal(
                  rules.can(namespace, "plan"),
                  manifest.trim() === "" && "There is no manifest yet.",
                  size > maxBytes && `It is larger than ${maxBytes / 1_000_000} MB.`,
                  busy && "The plan is being made."
                ),
                onPress: () => void makePlan()
              }
            ]}
          />
        </div>
        {error === undefined ? null : error instanceof ApiError ? (
          <Faults error={error} manifest={manifest} />
        ) : (
          <p class="error-line">This did not work.</p>
        )}
      </section>
      {done === undefined ? null : <Applied action={done} />}
      {plan === undefined || done !== undefined ? null : (
        <section class="section" aria-label="Plan">
          <h2 class="section-title">Plan for {plan.namespace}</h2>
          {plan.objects.length === 0 ? (
            <Message title="The plan is empty">
              <p>The manifest holds no object.</p>
            </Message>
          ) : (
            <PlanView plan={plan} />
          )}
          <div class="apply-confirm">
            <GatedButtons
              actions={[
                {
                  title: `Apply to ${plan.namespace}`,
                  icon: "apply",
                  kind: "primary",
                  allowance: firstRefusal(
                    rules.can(plan.namespace, "apply"),
                    expired && "The plan has expired: plan again.",
                    conflicts > 0 && "Fields belong to somebody else: take them out of the manifest.",
                    changed === 0 && "Nothing would change."
                  ),
                  onPress: () => setAsking(true)
                }
              ]}
            />
            {expired ? (
              <button type="button" class="button" onClick={() => void makePlan()}>
                <Icon name="restart" />
                Plan again
              </button>
            ) : null}
          </div>
        </section>
      )}
      {asking && plan !== undefined ? (
        <ActDialog
          title={`Apply to ${plan.namespace}?`}
          verb="Apply"
          typed={isProduction(me.environment, plan.namespace) ? plan.namespace : ""}
          ready={!expired}
          onClose={() => setAsking(false)}
          onAct={async (reason) => {
            const input = { planId: plan.planId, reason }
            setDone(await adminApi.apply(plan.namespace, input, intent(input)))
            void rules.reload()
          }}
        >
          <p>
            {changed === 1 ? "One object is" : `${changed} objects are`} written exactly as planned. What is live now is
            backed up before.
          </p>
        </ActDialog>
      ) : null}
    </>
  )
}
