/** Starts the data service in a process of its own, to see what memory a request takes there; must not share its heap. */
import type { Question, Told } from "./service.process.ts"

export const mebibyte = 1024 * 1024

export interface Seen {
  readonly bytes: number
  readonly seconds: number
  /** MiB of resident memory: before, and how much more at most and right after. */
  readonly restMiB: number
  readonly grownMiB: number
  readonly afterMiB: number
}

export interface MeasuredService {
  /** Sends a POST made with a token for its path, reads the answer with `read`, which gives its bytes. */
  readonly measure: (
    path: string,
    init: { readonly headers: Readonly<Record<string, string>>; readonly body: BodyInit },
    read: (response: Response) => Promise<number>
  ) => Promise<Seen>
  readonly stop: () => Promise<void>
}

/** An export of so many rows of some 90 bytes as CSV, 130 as NDJSON. */
export const exportOf = (rows: number) => ({
  sql: `SELECT n AS id, md5(n::text) AS name, n * 1.5 AS amount, 'a note of row ' || n AS note,
    timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' AS at FROM generate_series(1, ${rows}) AS n`,
  export: true
})

export const startMeasuredService = async (): Promise<MeasuredService> => {
  const waiting: Array<(message: Told) => void> = []
  let listening: (port: number) => void = () => {}
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/service.process.ts`], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message: Told | { readonly port: number }) => {
      if ("port" in message) listening(message.port)
      else waiting.shift()?.(message)
    }
  })
  const port = await new Promise<number>((resolve, reject) => {
    listening = resolve
    void child.exited.then((code) => reject(new Error(`the data service ended with ${code}`)))
  })
  const say = (question: Question) => child.send(question)
  const ask = (path: string, reset: boolean): Promise<Told> =>
    new Promise((resolve) => {
      waiting.push(resolve)
      say({ path, reset })
    })
  return {
    measure: async (path, { body, headers }, read) => {
      const before = await ask(path, true)
      const begun = performance.now()
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: "POST",
        headers: { ...headers, "x-gatehouse-identity": before.token },
        body
      })
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
      const bytes = await read(response)
      const seconds = (performance.now() - begun) / 1000
      const { peak, rss } = await ask(path, false)
      return {
        bytes,
        seconds,
        restMiB: before.rss / mebibyte,
        grownMiB: (peak - before.rss) / mebibyte,
        afterMiB: (rss - before.rss) / mebibyte
      }
    },
    stop: async () => {
      say("stop")
      await child.exited
    }
  }
}
