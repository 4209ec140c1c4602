/** The log of one container of the workload: which one, now or before its last restart; what is chosen is in the address. */
import { useMemo } from "preact/hooks"
import type { WorkloadDetail } from "#shared/api/admin.ts"
import { adminApi } from "../../adminApi.ts"
import { LogView } from "../../components/LogView.tsx"
import { Message } from "../../components/Messages.tsx"
import { Options } from "../../components/Options.tsx"
import { Segmented } from "../../components/Segmented.tsx"
import type { LogLine, LogSource } from "../../logStream.ts"
import { setQuery, useLocation } from "../../router.ts"
import { containerTone } from "../../words.ts"

/** Lines from the end that are asked for. */
const tail = "500"

interface Choice {
  readonly pod: string
  readonly container: string
  readonly text: string
  readonly bad: boolean
}

const choicesOf = (detail: WorkloadDetail): ReadonlyArray<Choice> =>
  detail.revisions
    .toSorted((one, other) => other.revision - one.revision)
    .flatMap(({ pods }) =>
      pods.flatMap((pod) =>
        pod.containers.map((container) => ({
          pod: pod.name,
          container: container.name,
          text: `${container.name}${container.init ? " (init)" : ""}${container.reason === "" ? "" : `: ${container.reason}`}`,
          bad: containerTone(container) === "bad"
        }))
      )
    )

/** The one that fails, else the first that is no init container. */
const firstOf = (choices: ReadonlyArray<Choice>): Choice | undefined =>
  choices.find(({ bad }) => bad) ?? choices.find(({ text }) => !text.includes("(init)")) ?? choices[0]

const instances = [
  ["current", "Now"],
  ["previous", "Before the last restart"]
] as const

const nameOf = ({ container, pod }: Pick<Choice, "pod" | "container">) => `${pod}/${container}`

export const Logs = ({ detail }: { readonly detail: WorkloadDetail }) => {
  const { query } = useLocation()
  const choices = choicesOf(detail)
  const pods = [...new Set(choices.map(({ pod }) => pod))]
  const asked = `${query.get("pod") ?? ""}/${query.get("container") ?? ""}`
  const chosen = choices.find((choice) => nameOf(choice) === asked) ?? firstOf(choices)
  const previous = query.get("previous") === "true"
  const { namespace } = detail.workload
  const key = chosen === undefined ? "" : `${nameOf(chosen)} ${previous}`
  const source = useMemo(
    (): LogSource | undefined =>
      chosen === undefined
        ? undefined
        : {
            key,
            resumes: false,
            path: (seconds) =>
              adminApi.logPath(namespace, chosen.pod, {
                container: chosen.container,
                tailLines: tail,
                previous: previous ? "true" : undefined,
                follow: previous ? undefined : "true",
                sinceSeconds: seconds === undefined ? undefined : String(seconds)
              }),
            lineOf: ({ data, event }) => (event === "line" ? (JSON.parse(data) as LogLine) : undefined)
          },
    [key]
  )
  if (chosen === undefined) {
    return (
      <Message title="There is nothing that writes a log">
        <p>The workload has no pods.</p>
      </Message>
    )
  }
  return (
    <LogView source={source} fileName={`${nameOf(chosen).replace("/", "-")}${previous ? "-previous" : ""}.log`}>
      <label class="filter log-container">
        <span class="visually-hidden">Container</span>
        <select
          value={nameOf(chosen)}
          onChange={(event) => {
            const [pod = "", container = ""] = event.currentTarget.value.split("/")
            setQuery("pod", pod)
            setQuery("container", container)
          }}
        >
          {pods.map((pod) => (
            <optgroup key={pod} label={pod}>
              <Options
                of={choices
                  .filter((choice) => choice.pod === pod)
                  .map((choice) => [nameOf(choice), choice.text] as const)}
              />
            </optgroup>
          ))}
        </select>
      </label>
      <Segmented
        label="Instance"
        value={previous ? "previous" : "current"}
        options={instances}
        onChange={(instance) => setQuery("previous", instance === "previous" ? "true" : "")}
      />
    </LogView>
  )
}
