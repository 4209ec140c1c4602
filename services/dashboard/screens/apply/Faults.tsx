/** Why a manifest was refused: each fault with its place, and the lines of the manifest around it; must mend nothing. */
import type { ApiError } from "../../api.ts"
import { Icon } from "../../components/Icon.tsx"

interface Located {
  readonly text: string
  readonly line: number | undefined
}

/** The line that a fault names ("line 12"), if it names one. */
export const lineOf = (text: string): number | undefined => {
  const [, line] = /\bline (\d{1,7})\b/u.exec(text) ?? []
  return line === undefined ? undefined : Number(line)
}

const locate = ({ message, problem }: ApiError): ReadonlyArray<Located> => {
  const faults = problem?.errors ?? []
  if (faults.length === 0) return [{ text: message, line: lineOf(message) }]
  return faults.map(({ detail, pointer }) => {
    const place = pointer.replace(/^\//u, "")
    return { text: place === "" || place === "manifest" ? detail : `${place}: ${detail}`, line: lineOf(detail) }
  })
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
        {locate(error).map(({ line, text }) => (
          <li key={text}>
            {text}
            {line === undefined || line > lines.length ? null : <Excerpt line={line} lines={lines} />}
          </li>
        ))}
      </ul>
    </div>
  )
}
