/** A choice of few, all visible, as one radio group; must keep no state. */
import { useId } from "preact/hooks"

interface SegmentedProps<A extends string> {
  readonly label: string
  readonly value: A
  readonly options: ReadonlyArray<readonly [value: A, text: string]>
  readonly onChange: (value: A) => void
}

export const Segmented = <A extends string>({ label, onChange, options, value }: SegmentedProps<A>) => {
  const name = useId()
  return (
    <fieldset class="segmented">
      <legend class="visually-hidden">{label}</legend>
      {options.map(([option, text]) => (
        <label key={option}>
          <input type="radio" name={name} checked={option === value} onChange={() => onChange(option)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  )
}
