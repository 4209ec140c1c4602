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

/** Milliseconds from a failure to the next try, doubled with each in a row. */
const [firstPause, longestPause] = [2000, 30_000]

/** What may be otherwise in a moment, with nothing changed: no answer, or one that says that there is none now. */
const mayPass = (status: number): boolean => status === 0 || status >= 500

/**
 * Loads when `key` changes, and again by itself after a failure that may pass: a page must not stay as a moment's outage left it.
 * An answer that a later question has overtaken is dropped.
 */
export const useLoaded = <A>(load: () => Promise<A>, key: string): Loaded<A> => {
  const [found, setFound] = useState<{ readonly key: string; readonly value: A }>()
  const [failed, setFailed] = useState<{ readonly message: string; readonly status: number }>()
  const question = useRef(0)
  const failures = useRef(0)
  const retry = useRef<ReturnType<typeof setTimeout>>(undefined)
  const reload = useCallback(async () => {
    const mine = ++question.current
    clearTimeout(retry.current)
    try {
      const value = await load()
      if (mine !== question.current) return
      failures.current = 0
      setFound({ key, value })
      setFailed(undefined)
    } catch (cause) {
      if (mine !== question.current) return
      const status = cause instanceof ApiError ? cause.status : 0
      setFailed({ message: cause instanceof Error ? cause.message : "This could not be loaded.", status })
      if (!mayPass(status)) return
      const pause = Math.min(longestPause, firstPause * 2 ** failures.current)
      failures.current += 1
      retry.current = setTimeout(() => void reload(), pause)
    }
  }, [key])
  useEffect(() => {
    void reload()
    return () => {
      question.current++
      clearTimeout(retry.current)
    }
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
