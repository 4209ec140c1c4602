/** Dark, light or as the system says, remembered in this browser; must hold no colour. */
import { useEffect, useState } from "preact/hooks"

export type Theme = "system" | "light" | "dark"
const key = "gatehouse.theme"

export const storedTheme = (): Theme => {
  try {
    const value = localStorage.getItem(key)
    return value === "light" || value === "dark" ? value : "system"
  } catch {
    return "system"
  }
}

/** Puts the choice on the page; charts listen to `gatehouse:theme` because a canvas does not follow CSS. */
export const applyTheme = (theme: Theme): void => {
  if (theme === "system") delete document.documentElement.dataset["theme"]
  else document.documentElement.dataset["theme"] = theme
  dispatchEvent(new Event("gatehouse:theme"))
}

export const useTheme = (): readonly [Theme, (theme: Theme) => void] => {
  const [theme, setTheme] = useState(storedTheme)
  const choose = (next: Theme) => {
    try {
      if (next === "system") localStorage.removeItem(key)
      else localStorage.setItem(key, next)
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
    applyTheme(next)
    setTheme(next)
  }
  return [theme, choose]
}

/** Runs `onChange` whenever the colours of the page change, by choice or by the system. */
export const useThemeChange = (onChange: () => void): void => {
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)")
    addEventListener("gatehouse:theme", onChange)
    system.addEventListener("change", onChange)
    return () => {
      removeEventListener("gatehouse:theme", onChange)
      system.removeEventListener("change", onChange)
    }
  }, [onChange])
}
