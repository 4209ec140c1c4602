/** A keyset-paged list as a screen needs it: first page, more on demand, reload after a change; must know no item. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import type { Page } from "#shared/api/paging.ts"

type Load<A> = (cursor?: string) => Promise<Page<A>>

export interface Pages<A> {
  /** Undefined until the first page is there. */
  readonly items: ReadonlyArray<A> | undefined
  readonly error: string | undefined
  readonly busy: boolean
  /** Undefined when there is no further page. */
  readonly more: (() => void) | undefined
  /** Loads the first page again; what is shown stays until it is there. */
  readonly reload: () => Promise<void>
}

/** Loads when `key` changes; an answer that a later question has overtaken is dropped. */
export const usePages = <A>(load: Load<A>, key: string): Pages<A> => {
  const [items, setItems] = useState<ReadonlyArray<A>>()
  const [cursor, setCursor] = useState<string | null>(null)
  const [error, setError] = useState<string>()
  const [busy, setBusy] = useState(false)
  const question = useRef(0)

  const ask = async (before: ReadonlyArray<A>, from?: string) => {
    const mine = ++question.current
    setBusy(true)
    try {
      const page = await load(from)
      if (mine !== question.current) return
      setItems([...before, ...page.items])
      setCursor(page.nextCursor)
      setError(undefined)
    } catch (cause) {
      if (mine === question.current) setError(cause instanceof Error ? cause.message : "The list could not be loaded.")
    } finally {
      if (mine === question.current) setBusy(false)
    }
  }
  const reload = useCallback(() => ask([]), [key])
  useEffect(() => {
    void reload()
    return () => void question.current++
  }, [key])
  return {
    items,
    error,
    busy,
    reload,
    more: cursor === null || items === undefined ? undefined : () => void ask(items, cursor)
  }
}
