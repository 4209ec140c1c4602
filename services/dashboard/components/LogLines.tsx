/** Lines of a program's output as plain text; whatever they hold is never markup and never a link. */

interface LogLinesProps {
  readonly lines: ReadonlyArray<string>
  readonly empty: string
}

export const LogLines = ({ empty, lines }: LogLinesProps) =>
  lines.length === 0 ? (
    <p class="hint">{empty}</p>
  ) : (
    <pre class="log-block" tabIndex={0} role="region" aria-label="Log lines">
      {lines.join("\n")}
    </pre>
  )
