/** The page's search, which `/` goes to; what is typed is kept in the address once the typing rests. */
import { useEffect, useState } from "preact/hooks"
import { setQuery, useLocation } from "../router.ts"
import { Icon } from "./Icon.tsx"
import { Options } from "./Options.tsx"

/** Milliseconds after the last key before the search is asked. */
const settle = 200

interface SearchBoxProps {
  readonly label: string
  readonly placeholder: string
  /** Name of the value in the address. */
  readonly name?: string
}

export const SearchBox = ({ label, name = "q", placeholder }: SearchBoxProps) => {
  const q = useLocation().query.get(name) ?? ""
  const [text, setText] = useState(q)
  useEffect(() => {
    if (text === q) return
    const timer = setTimeout(() => setQuery(name, text), settle)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <label class="search">
      <Icon name="search" />
      <span class="visually-hidden">{label}</span>
      <input
        type="search"
        data-search
        value={text}
        placeholder={placeholder}
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <kbd>/</kbd>
    </label>
  )
}

interface SelectProps<A extends string> {
  readonly label: string
  readonly name: string
  /** The value "" stands for all. */
  readonly options: ReadonlyArray<readonly [value: A, text: string]>
}

/** A filter of few values, kept in the address. */
export const FilterSelect = <A extends string>({ label, name, options }: SelectProps<A>) => {
  const value = useLocation().query.get(name) ?? ""
  return (
    <label class="filter">
      <span class="visually-hidden">{label}</span>
      <select value={value} onChange={(event) => setQuery(name, event.currentTarget.value)}>
        <Options of={options} />
      </select>
    </label>
  )
}
