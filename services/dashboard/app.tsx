/** The shell: who am I, navigation, and the screen of the current path; must know no screen's content. */
import { render } from "preact"
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks"
import type { Me } from "#shared/api/auth.ts"
import { api, ApiError } from "./api.ts"
import { EnvironmentBadge, EnvironmentEdge } from "./components/Environment.tsx"
import { Drawer } from "./components/Drawer.tsx"
import { Icon, Logo } from "./components/Icon.tsx"
import { LazyScreen } from "./components/LazyScreen.tsx"
import { Link } from "./components/Link.tsx"
import { Failed, Message } from "./components/Messages.tsx"
import { ShortcutsDialog } from "./components/ShortcutsDialog.tsx"
import { Sidebar } from "./components/Sidebar.tsx"
import { useShortcuts } from "./keys.ts"
import { findPage, pages } from "./pages.ts"
import { mayI } from "./rights.ts"
import { useLocation } from "./router.ts"
import { pendingOf, useCluster } from "./useCluster.ts"
import { applyTheme, storedTheme } from "./theme.ts"

const NotFound = () => (
  <Message icon="search" title="There is no such page">
    <p>
      The address may be old or mistyped. <Link to="/">Go to the overview</Link>
    </p>
  </Message>
)

const Shell = ({ me }: { readonly me: Me }) => {
  const { path } = useLocation()
  const [help, setHelp] = useState(false)
  const [drawer, setDrawer] = useState(false)
  const items = useMemo(
    () => pages.flatMap(({ nav, visible }) => (typeof nav === "string" || !visible(me) ? [] : [nav])),
    [me]
  )
  const openHelp = useCallback(() => setHelp(true), [])
  useShortcuts(items, openHelp)
  const cluster = useCluster(mayI(me, "admin", "read"))
  const pending = pendingOf(cluster).length
  const found = findPage(path)

  const shown = useRef(path)
  useEffect(() => {
    const waiting = pending === 0 ? "" : `(${pending}) `
    document.title = `${waiting}${found?.page.title ?? "Not found"} · ${me.environment} · Gatehouse`
  }, [path, me, pending])
  useEffect(() => setDrawer(false), [path])
  // A change of page is told to screen readers by its heading, as a page load would.
  const onShown = () => {
    if (shown.current === path) return
    shown.current = path
    document.querySelector<HTMLElement>("main h1")?.focus()
  }

  const nav = found?.page.nav
  const current = typeof nav === "string" ? nav : (nav?.path ?? path)
  const badges = { "/proposals": pending }
  const sidebar = { me, items, path: current, badges, onHelp: openHelp }
  return (
    <>
      <a class="skip" href="#content">
        Skip to content
      </a>
      <EnvironmentEdge environment={me.environment} />
      <div class="layout">
        <aside>
          <Sidebar {...sidebar} />
        </aside>
        <header class="topbar">
          <button type="button" class="icon-button" aria-label="Open navigation" onClick={() => setDrawer(true)}>
            <Icon name="menu" />
          </button>
          <Logo />
          <span class="topbar-title">Gatehouse</span>
          <EnvironmentBadge environment={me.environment} />
        </header>
        <main id="content" tabIndex={-1}>
          {found === undefined ? (
            <NotFound />
          ) : (
            <LazyScreen key={path} me={me} page={found.page} params={found.params} onShown={onShown} />
          )}
        </main>
      </div>
      {drawer ? <Drawer {...sidebar} onClose={() => setDrawer(false)} /> : null}
      {help ? <ShortcutsDialog items={items} onClose={() => setHelp(false)} /> : null}
    </>
  )
}

const App = () => {
  const [me, setMe] = useState<Me>()
  const [error, setError] = useState<string>()
  const load = useCallback(async () => {
    setError(undefined)
    try {
      setMe(await api.me())
    } catch (cause) {
      // Without a session the page is on its way to the login.
      if (cause instanceof ApiError && cause.status === 401) return
      setError(cause instanceof Error ? cause.message : "Something went wrong.")
    }
  }, [])
  useEffect(() => void load(), [])
  // Rights may have changed, or the session ended, while nobody looked.
  useEffect(() => {
    const onVisible = () => {
      if (!document.hidden) void api.me().then(setMe, () => {})
    }
    document.addEventListener("visibilitychange", onVisible)
    return () => document.removeEventListener("visibilitychange", onVisible)
  }, [])

  if (error !== undefined) {
    return (
      <main class="alone">
        <Failed message={error} onRetry={() => void load()} />
      </main>
    )
  }
  if (me === undefined) {
    return (
      <main class="alone" aria-busy="true">
        <Logo />
        <p>Opening Gatehouse</p>
      </main>
    )
  }
  return <Shell me={me} />
}

applyTheme(storedTheme())
render(<App />, document.getElementById("app")!)
