/** Asks filesystems for their sizes without ever waiting for a hung one: statfs runs in a Worker, with a deadline and a bounded number of replacements. */
import { Clock, Context, Effect, Layer, Option, Semaphore } from "effect"

/** What statfs(2) says; blocks of `blockSize` bytes. */
export interface Space {
  readonly blockSize: number
  readonly blocks: number
  readonly free: number
  readonly available: number
  readonly files: number
  readonly filesFree: number
}

/** Sizes, or why there are none in the words of node_exporter's `device_error`. */
export type Answer = Space | { readonly error: string }

/** Milliseconds a caller waits for a filesystem before it goes on without. */
const patience = 250

/** Milliseconds for which an earlier answer stands in for one that is late; after that the filesystem counts as hung. */
const deadline = 5000

/** Workers that may be lost in hung filesystems at one time. */
const maxStuck = 4

const numbersPerPath = 7

/**
 * Runs in the Worker: asks in order and notes in shared memory which path is under way, so that a hang is known by name and no
 * answer before it is lost. As text, because a compiled binary has no file for a Worker to load.
 */
const program = `
import { statfsSync } from "node:fs"
self.onmessage = ({ data: { paths, progress, values } }) => {
  const cursor = new Int32Array(progress)
  const numbers = new Float64Array(values)
  for (let index = 0; index < paths.length && Atomics.load(cursor, 1) === 0; index++) {
    Atomics.store(cursor, 0, index)
    try {
      const s = statfsSync(paths[index])
      numbers.set([0, s.bsize, s.blocks, s.bfree, s.bavail, s.files, s.ffree], index * ${numbersPerPath})
    } catch (error) {
      numbers[index * ${numbersPerPath}] = Math.abs(error.errno) || 5
    }
    Atomics.store(cursor, 0, index + 1)
  }
  self.postMessage("done")
}
self.postMessage("ready")
`

/** Linux errno → the C library's words, which node_exporter shows. */
const errorText: Readonly<Record<number, string>> = {
  1: "operation not permitted",
  2: "no such file or directory",
  5: "input/output error",
  13: "permission denied",
  20: "not a directory",
  40: "too many levels of symbolic links",
  107: "transport endpoint is not connected",
  110: "connection timed out",
  116: "stale NFS file handle"
}

const timedOut = { error: "mountpoint timeout" } as const

/** One Worker. A settled `next` means its last message has come. */
interface Lane {
  readonly worker: Worker
  /** Called with the Worker's next message. */
  next: () => void
}

const awaitMessage = (lane: Lane) =>
  Effect.callback<void>((resume) => {
    lane.next = () => resume(Effect.void)
  })

const spawn = Effect.gen(function* () {
  const url = URL.createObjectURL(new Blob([program], { type: "application/javascript" }))
  const lane: Lane = { worker: new Worker(url, { type: "module" }), next: () => {} }
  lane.worker.onmessage = () => lane.next()
  // Bun's and Node's Workers keep the process alive unless told otherwise; Deno's have no such switch.
  if ("unref" in lane.worker && typeof lane.worker.unref === "function") lane.worker.unref()
  yield* awaitMessage(lane)
  URL.revokeObjectURL(url)
  return lane
})

const answerAt = (numbers: Float64Array, index: number): Answer => {
  const at = (offset: number) => numbers[index * numbersPerPath + offset]!
  if (at(0) !== 0) return { error: errorText[at(0)] ?? `errno ${at(0)}` }
  return { blockSize: at(1), blocks: at(2), free: at(3), available: at(4), files: at(5), filesFree: at(6) }
}

/** The sizes of filesystems. */
export class StatFs extends Context.Service<
  StatFs,
  {
    /** By path. Takes at most about a second, whatever hangs. */
    readonly ask: (paths: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Answer>>
    /** Paths whose filesystem has not answered yet. */
    readonly stuck: () => ReadonlyArray<string>
  }
>()("gatehouse/monitor/StatFs") {
  static readonly layer = Layer.effect(
    StatFs,
    Effect.suspend(() => makeStatFs)
  )
}

const makeStatFs = Effect.gen(function* () {
  const one = yield* Semaphore.make(1)
  const stuck = new Map<string, Lane>()
  const last = new Map<string, { readonly answer: Answer; readonly at: number }>()
  let idle: Lane | undefined = yield* spawn
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const lane of [...stuck.values(), ...(idle === undefined ? [] : [idle])]) lane.worker.terminate()
    })
  )

  /** An answer that is late: the last one while it is fresh enough. */
  const late = (path: string, now: number): Answer => {
    const before = last.get(path)
    return before !== undefined && now - before.at <= deadline ? before.answer : timedOut
  }

  /** Asks `paths` through one lane; gives how many have answered, fewer than all if one hangs. */
  const through = Effect.fnUntraced(function* (
    lane: Lane,
    paths: ReadonlyArray<string>,
    take: (path: string, answer: Answer) => void
  ) {
    const progress = new Int32Array(new SharedArrayBuffer(8))
    const numbers = new Float64Array(new SharedArrayBuffer(paths.length * numbersPerPath * 8))
    const done = awaitMessage(lane)
    lane.worker.postMessage({ paths, progress: progress.buffer, values: numbers.buffer })
    const finished = yield* Effect.timeoutOption(done, patience)
    const count = Option.isSome(finished) ? paths.length : Atomics.load(progress, 0)
    for (let index = 0; index < count; index++) take(paths[index]!, answerAt(numbers, index))
    if (Option.isSome(finished)) return count
    Atomics.store(progress, 1, 1)
    return count
  })

  const ask = Effect.fnUntraced(function* (paths: ReadonlyArray<string>) {
    const answers = new Map<string, Answer>()
    const now = Number(yield* Clock.monotonicTimeNanos) / 1e6
    const take = (path: string, answer: Answer) => {
      answers.set(path, answer)
      last.set(path, { answer, at: now })
    }
    let rest = paths.filter((path) => !stuck.has(path))
    while (rest.length > 0 && stuck.size < maxStuck) {
      idle ??= Option.getOrUndefined(yield* Effect.timeoutOption(spawn, 4 * patience))
      if (idle === undefined) break
      const lane: Lane = idle
      // Taken until it has answered: an interrupted caller must not leave a busy Worker to the next one.
      idle = undefined
      const count: number = yield* through(lane, rest, take)
      const culprit = rest[count]
      if (culprit === undefined) idle = lane
      else {
        stuck.set(culprit, lane)
        lane.next = () => {
          stuck.delete(culprit)
          if (idle === undefined) idle = lane
          else lane.worker.terminate()
        }
      }
      rest = rest.slice(count + 1)
    }
    for (const path of paths) if (!answers.has(path)) answers.set(path, late(path, now))
    for (const path of last.keys()) if (!answers.has(path)) last.delete(path)
    return answers
  })

  return StatFs.of({
    ask: (paths) => one.withPermit(Effect.uninterruptible(ask(paths))),
    stuck: () => [...stuck.keys()]
  })
})
