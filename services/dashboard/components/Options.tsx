/** The choices of a select. */
interface OptionsProps {
  /** Each with its text; a bare one is its own text. */
  readonly of: ReadonlyArray<string | readonly [value: string | number, text: string]>
}

export const Options = ({ of }: OptionsProps) =>
  of
    .map((choice) => (typeof choice === "string" ? ([choice, choice] as const) : choice))
    .map(([value, text]) => (
      <option key={value} value={value}>
        {text}
      </option>
    ))
