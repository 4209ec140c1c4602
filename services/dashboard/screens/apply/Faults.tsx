/** Why a manifest was refused: each fault with its place, and the lines of the manifest around it; must mend nothing. */
import type { ApiError } from "../../api.ts"
import { Icon } from "../../components/Icon.tsx"

interface Located {
  readonly place: string
  readonly text: string
  readonly code: string | undefined
  readonly line: number | undefined
}

/** "/objects/0/spec/paused" as "object 1, spec.paused". */
const placeOf = (pointer: string): string => {
  const [, index, rest = ""] = /^\/objects\/(\d+)(.*)$/u.exec(pointer) ?? []
  if (index === undefined) return pointer === "/manifest" ? "" : pointer.slice(1).replaceAll("/", ".")
  return [`object ${Number(index) + 1}`, rest.slice(1).replaceAll("/", ".")].filter((part) => part !== "").join(", ")
}

const locate = ({ message, problem }: ApiError): ReadonlyArray<Located> => {
  const faults = problem?.errors ?? []
  if (faults.length === 0) return [{ place: "", text: message, code: undefined, line: undefined }]
  return faults.map(({ code, detail, line, pointer }) => ({ place: placeOf(pointer), text: detail, code, line }))
}

const Excerpt = ({ line, lines }: { readonly line: number; readonly lines: ReadonlyArray<string> }) => (
  <ol class="excerpt" start={Math.max(1, line - 1)}>
    {lines.slice(Math.max(0, line - 2), line + 1).map((text, index) => {
      const number = Math.max(1, line - 1) + index
      return (
        <li key={number} class={number === line ? "excerpt-fault" : undefined} value={number}>
          {text || " "}
        </li>
      )
    })}
  </ol>
)

export const Faults = ({ error, manifest }: { readonly error: ApiError; readonly manifest: string }) => {
  const lines = manifest.split("\n")
  return (
    <div class="faults" role="alert">
      <p>
        <Icon name="warning" />
        <b>{error.problem?.title ?? "This did not work"}</b>
        {error.problem?.code === undefined ? null : <code>{error.problem.code}</code>}
      </p>
      <ul>
        {locate(error).map(({ code, line, place, text }) => (
          <li key={`${place}${line}${text}`}>
            {line === undefined ? null : <b>Line {line}: </b>}
            {place === "" ? "" : `${place}: `}
            {text} {code === undefined ? null : <code>{code}</code>}
            {line === undefined || line > lines.length ? null : <Excerpt line={line} lines={lines} />}
          </li>
        ))}
      </ul>
    </div>
  )
}
