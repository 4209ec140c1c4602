/** What a container does, decided by its image's name: runs, crashes, cannot be pulled; pure. */

export interface Behaviour {
  readonly pulls: boolean
  /** Becomes ready, once it runs. */
  readonly ready: boolean
  /** How it ends by itself, or undefined where it runs on. */
  readonly ends: { readonly exitCode: number; readonly reason: string; readonly afterSeconds: number } | undefined
  /** Its last lines before it ends. */
  readonly lastLines: ReadonlyArray<string>
}

const healthy: Behaviour = { pulls: true, ready: true, ends: undefined, lastLines: [] }

/** Behaviours beyond those of names; undefined leaves it to the name. */
export type Images = (image: string) => Partial<Behaviour> | undefined

/**
 * `crash` in the image's name or tag: exits 3 after a second, before anyone finds it ready. `oom`: is killed, 137. `missing` or `pull`: cannot be pulled.
 * `never-ready`: runs and is never ready. All others are healthy.
 */
export const behaviourOf = (image: string, images?: Images): Behaviour => {
  const own = images?.(image)
  if (own !== undefined) return { ...healthy, ...own }
  if (/crash/iu.test(image)) {
    return {
      ...healthy,
      ready: false,
      ends: { exitCode: 3, reason: "Error", afterSeconds: 1 },
      lastLines: ["reading /etc/app/config.yaml", "fatal: cannot open configuration"]
    }
  }
  if (/oom/iu.test(image)) {
    return {
      ...healthy,
      ready: false,
      ends: { exitCode: 137, reason: "OOMKilled", afterSeconds: 2 },
      lastLines: ["loading the whole table into memory"]
    }
  }
  if (/missing|pull/iu.test(image)) return { ...healthy, pulls: false, ready: false }
  return /never-ready/iu.test(image) ? { ...healthy, ready: false } : healthy
}

const everySeconds = 10
const mostLines = 2000

export interface LogLine {
  readonly at: number
  readonly text: string
}

/** The log of one instance of a container up to `until`; times in milliseconds. */
export const logOf = (
  image: string,
  behaviour: Behaviour,
  started: number,
  until: number,
  ended: boolean
): ReadonlyArray<LogLine> => {
  const lines: Array<LogLine> = [{ at: started, text: `starting ${image}` }]
  if (behaviour.ends === undefined) {
    lines.push({ at: started, text: "listening on :8080" })
    const step = everySeconds * 1000
    const last = Math.floor((until - started) / step)
    for (let index = Math.max(1, last - mostLines); index <= last; index += 1) {
      lines.push({ at: started + index * step, text: `GET /healthz 200 #${index}` })
    }
  }
  if (ended) for (const text of behaviour.lastLines) lines.push({ at: until, text })
  return lines
}
