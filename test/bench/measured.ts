/** A process whose CPU time is measured from outside while it serves: started on one core, asked over IPC; must not load it itself. */

export interface Measured {
  readonly port: number
  /** CPU microseconds, user and system, that the process has used so far. */
  readonly cpuMicroseconds: () => Promise<number>
  readonly stop: () => void
}

/** The words before a command that keep it on one core: Linux with `taskset`; elsewhere it runs where the system puts it. */
export const pinned = (core: number): ReadonlyArray<string> => {
  const taskset = Bun.which("taskset")
  return taskset === null ? [] : [taskset, "-c", String(core)]
}

type Message = { readonly port: number } | { readonly cpu: number }

/** Starts `script` with Bun on `core`; it must call `report` once it listens. */
export const startMeasured = (script: string, core: number, env: Readonly<Record<string, string>>): Promise<Measured> =>
  new Promise((resolve, reject) => {
    const waiting: Array<(cpu: number) => void> = []
    const child = Bun.spawn([...pinned(core), process.execPath, `${import.meta.dir}/${script}`], {
      // More fetches at once than Bun's default of 256, for both sides alike.
      env: { ...process.env, NODE_ENV: "production", BUN_CONFIG_MAX_HTTP_REQUESTS: "65000", ...env },
      stdio: ["ignore", "ignore", "inherit"],
      ipc: (message: Message) => {
        if ("cpu" in message) waiting.shift()?.(message.cpu)
        else {
          resolve({
            port: message.port,
            cpuMicroseconds: () =>
              new Promise((done) => {
                waiting.push(done)
                child.send("cpu")
              }),
            stop: () => child.kill("SIGKILL")
          })
        }
      },
      onExit: (_, code) => reject(new Error(`${script} ended with ${code}`))
    })
  })

/** In the measured process: tells its port, and its CPU time whenever asked. */
export const report = (port: number): void => {
  process.on("message", () => {
    const { system, user } = process.cpuUsage()
    process.send?.({ cpu: system + user })
  })
  process.send?.({ port })
}
