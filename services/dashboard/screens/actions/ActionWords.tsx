/** An action in words: what was done to what, by whom, how it ended; must offer no button. */
import type { Action } from "#shared/api/admin.ts"
import { Badge } from "../../components/Badge.tsx"
import { actionWords, type Tone } from "../../words.ts"

/** "restart Deployment checkout" */
export const actOf = ({ action, kind, name }: Action): string =>
  [action, kind, name].filter((one) => one !== "").join(" ")

/** What was sent may have succeeded and its rollout not: then the rollout is what a person has to know. */
const stateOf = ({ rollout, state }: Action): readonly [Tone, string] =>
  state === "succeeded" && (rollout?.phase === "failed" || rollout?.phase === "stalled")
    ? ["bad", `Rollout ${rollout.phase}`]
    : actionWords[state]

export const ActionBadge = ({ action }: { readonly action: Action }) => {
  const [tone, word] = stateOf(action)
  return (
    <Badge tone={tone} title={action.message}>
      {word}
    </Badge>
  )
}

const results: Readonly<Record<Action["objects"][number]["result"], Tone>> = {
  created: "good",
  configured: "good",
  unchanged: "rest",
  failed: "bad"
}

export const Objects = ({ action: { objects } }: { readonly action: Action }) =>
  objects.length === 0 ? null : (
    <ul class="stack-small" aria-label="Objects">
      {objects.map(({ kind, message, name, result }) => (
        <li key={`${kind}/${name}`} class="node-line">
          <Badge tone={results[result]}>{result}</Badge>
          <span>
            {kind} {name}
          </span>
          {message === "" ? null : <span class="muted">{message}</span>}
        </li>
      ))}
    </ul>
  )
