/** Which page is shown: paths of the History API and the query they carry; must know no screen. */
import { useEffect, useState } from "preact/hooks"

/** Goes to a path of this app without loading a page. */
export const navigate = (to: string, options: { readonly replace?: boolean } = {}): void => {
  if (options.replace === true) history.replaceState(null, "", to)
  else if (to !== location.pathname + location.search) history.pushState(null, "", to)
  dispatchEvent(new PopStateEvent("popstate"))
}

const here = () => location.pathname + location.search

/** The current path and query; renders again when they change. */
export const useLocation = (): { readonly path: string; readonly query: URLSearchParams } => {
  const [address, setAddress] = useState(here)
  useEffect(() => {
    const onChange = () => setAddress(here())
    addEventListener("popstate", onChange)
    return () => removeEventListener("popstate", onChange)
  }, [])
  const [path = "/", search = ""] = address.split("?", 2)
  return { path: path === "/" ? path : path.replace(/\/$/u, ""), query: new URLSearchParams(search) }
}

/** Changes one value of the query in place, so that a reload or a sent link shows the same. */
export const setQuery = (key: string, value: string): void => {
  const search = new URLSearchParams(location.search)
  if (value === "") search.delete(key)
  else search.set(key, value)
  navigate(location.pathname + (search.size === 0 ? "" : `?${search}`), { replace: true })
}
