/** One thing as a screen needs it: loaded, loaded again, failed with words and status; must know no thing. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import { ApiError } from "./api.ts"

export interface Loaded<A> {
  /** Stays while it is loaded again. */
  readonly value: A | undefined
  readonly error: string | undefined
  /** HTTP status of the failure, 0 if there was no answer. */
  readonly status: number
  readonly reload: () => Promise<void>
}

/** Loads when `key` changes; an answer that a later question has overtaken is dropped. */
export const useLoaded = <A>(load: () => Promise<A>, key: string): Loaded<A> => {
  const [found, setFound] = useState<{ readonly key: string; readonly value: A }>()
  const [failed, setFailed] = useState<{ readonly message: string; readonly status: number }>()
  const question = useRef(0)
  const reload = useCallback(async () => {
    const mine = ++question.current
    try {
      const value = await load()
      if (mine !== question.current) return
      setFound({ key, value })
      setFailed(undefined)
    } catch (cause) {
      if (mine !== question.current) return
      setFailed({
        message: cause instanceof Error ? cause.message : "This could not be loaded.",
        status: cause instanceof ApiError ? cause.status : 0
      })
    }
  }, [key])
  useEffect(() => {
    void reload()
    return () => void question.current++
  }, [key])
  return {
    value: found?.key === key ? found.value : undefined,
    error: failed?.message,
    status: failed?.status ?? 0,
    reload
  }
}

/** The time now, again every `every` milliseconds, so that "3 minutes ago" and countdowns stay true. */
export const useNow = (every: number): number => {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every)
    return () => clearInterval(timer)
  }, [every])
  return now
}
