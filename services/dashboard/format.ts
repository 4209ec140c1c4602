/** Numbers, times and names as people read them; what is not known is "–", never 0. Must hold no state. */

export const unknown = "–"

/** Between a number and its unit, so that they never part at a line end. */
const gap = "\u202f"

type Known = number | null | undefined

const known = (value: Known): value is number => value !== null && value !== undefined && Number.isFinite(value)

export const percent = (value: Known, digits = 1): string =>
  known(value) ? `${value.toFixed(digits)}${gap}%` : unknown

export const decimal = (value: Known, digits = 2): string => (known(value) ? value.toFixed(digits) : unknown)

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]

/** Bytes with three significant digits, in powers of 1024. */
export const bytes = (value: Known): string => {
  if (!known(value)) return unknown
  let rest = Math.abs(value)
  let unit = 0
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1024
    unit++
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2
  return `${value < 0 ? "-" : ""}${rest.toFixed(digits)}${gap}${units[unit]}`
}

export const bytesPerSecond = (value: Known): string => (known(value) ? `${bytes(value)}/s` : unknown)

export const perSecond = (value: Known): string =>
  known(value) ? `${value.toFixed(value < 9.95 ? 1 : 0)}${gap}/s` : unknown

export const milliseconds = (seconds: Known): string =>
  known(seconds) ? `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)}${gap}ms` : unknown

const plural = (count: number, unit: string) => `${count} ${unit}${count === 1 ? "" : "s"}`

/** The two largest units of a length of time: "12 days 4 hours". */
export const duration = (seconds: Known): string => {
  if (!known(seconds)) return unknown
  const parts: ReadonlyArray<readonly [number, string]> = [
    [Math.floor(seconds / 86_400), "day"],
    [Math.floor(seconds / 3600) % 24, "hour"],
    [Math.floor(seconds / 60) % 60, "minute"],
    [Math.floor(seconds) % 60, "second"]
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first === -1) return "0 seconds"
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0)
  return shown.map(([count, unit]) => plural(count, unit)).join(" ")
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23"
})
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" })
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" })

export const clockTime = (at: string | number): string => clock.format(new Date(at))
export const minuteTime = (at: string | number): string => minute.format(new Date(at))
export const weekday = (at: number): string => day.format(new Date(at))
export const fullTime = (at: string | number): string => full.format(new Date(at))

/** "3 minutes ago", "in 2 days"; the unit is the largest that fits. */
export const relative = (at: string, now: number): string => {
  const seconds = Math.round((Date.parse(at) - now) / 1000)
  const size = Math.abs(seconds)
  if (size < 45) return seconds > 0 ? "in a moment" : "just now"
  const [count, unit] =
    size < 3570
      ? [Math.round(size / 60), "minute"]
      : size < 84_600
        ? [Math.round(size / 3600), "hour"]
        : [Math.round(size / 86_400), "day"]
  return seconds > 0
    ? `in ${plural(count as number, unit as string)}`
    : `${plural(count as number, unit as string)} ago`
}

const browsers: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bEdg\//u, "Edge"],
  [/\bOPR\//u, "Opera"],
  [/\bFirefox\//u, "Firefox"],
  [/Chrom(?:e|ium)\//u, "Chrome"],
  [/\bSafari\//u, "Safari"]
]
const systems: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bAndroid\b/u, "Android"],
  [/\b(?:iPhone|iPad)\b/u, "iOS"],
  [/\bWindows\b/u, "Windows"],
  [/\bMac OS X\b/u, "macOS"],
  [/\bLinux\b/u, "Linux"]
]
const first = (table: ReadonlyArray<readonly [RegExp, string]>, text: string) =>
  table.find(([pattern]) => pattern.test(text))?.[1]

/** "Firefox on Linux"; a program's own name ("curl/8.5") where it is no browser. */
export const userAgentName = (userAgent: string): string => {
  const browser = first(browsers, userAgent)
  const system = first(systems, userAgent)
  if (browser === undefined) return userAgent.split(" ")[0]!.slice(0, 40)
  return system === undefined ? browser : `${browser} on ${system}`
}
