/** Brings a screen's code when it is first shown, and says so when that fails; must know no screen. */
import { useEffect, useLayoutEffect, useState } from "preact/hooks"
import type { Page } from "../pages.ts"
import type { Screen, ScreenProps } from "../screen.ts"
import { Failed, Loading } from "./Messages.tsx"

const loaded = new Map<Page["load"], Screen>()

interface LazyScreenProps extends ScreenProps {
  readonly page: Page
  /** The screen is on the page. */
  readonly onShown: () => void
}

const Shown = ({ onShown }: Pick<LazyScreenProps, "onShown">) => {
  // Before the browser draws: a key pressed at once must already meet the new heading.
  useLayoutEffect(onShown, [])
  return null
}

export const LazyScreen = ({ me, onShown, page, params }: LazyScreenProps) => {
  const [, arrived] = useState(0)
  const [failed, setFailed] = useState(false)
  const Found = loaded.get(page.load)
  useEffect(() => {
    if (Found !== undefined) return
    let wanted = true
    page.load().then(
      (screen) => {
        loaded.set(page.load, screen)
        if (wanted) arrived((before) => before + 1)
      },
      () => {
        if (wanted) setFailed(true)
      }
    )
    return () => void (wanted = false)
  }, [page])
  if (Found !== undefined) {
    return (
      <>
        <Found me={me} params={params} />
        <Shown onShown={onShown} />
      </>
    )
  }
  // After an update of the platform the files this page knows are gone: loading the page again brings the new ones.
  return failed ? (
    <Failed message="This part of the page could not be fetched." onRetry={() => location.reload()} />
  ) : (
    <Loading what={page.title} />
  )
}
