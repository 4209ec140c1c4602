/** Keeps backup sets on disk: each a folder that appears whole or not at all, with hashes of all that is in it; must know no database and no key but the one that marks its sets. */
import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto"
import { constants } from "node:fs"
import { mkdir, open, readdir, readFile, rename, rm, statfs } from "node:fs/promises"
import { join } from "node:path"
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { BackupDatabase } from "#shared/api/scheduler.ts"
import { syncFolder } from "#shared/durableFiles.ts"
import { codeOf } from "#shared/systemErrors.ts"
import { BackupDamaged, BackupFailed } from "./failures.ts"
import { retained } from "./retained.ts"

const sha256Text = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/u))

/** `manifest.json`, in the clear: what a person needs to find and check a set without a key. */
export const Manifest = Schema.Struct({
  format: Schema.Literals([1]),
  set: Schema.String,
  database: BackupDatabase,
  /** Of the snapshot, by the database's clock: nothing committed later is in it. */
  takenAt: Schema.String,
  jobId: Schema.String,
  serverVersion: Schema.String,
  toolVersion: Schema.String,
  /** Write-ahead log position at the snapshot. */
  lsn: Schema.String,
  tables: Schema.Int,
  rows: Schema.Int,
  /** Public keys that it is sealed to. */
  recipients: Schema.Array(Schema.String),
  files: Schema.Array(Schema.Struct({ name: Schema.String, bytes: Schema.Int, sha256: sha256Text }))
})
export type Manifest = typeof Manifest.Type

/** `drill.json`: what the last drill of the set found; it counts only for the manifest that it names. */
export const DrillRecord = Schema.Struct({
  manifestSha256: sha256Text,
  at: Schema.String,
  ok: Schema.Boolean,
  tables: Schema.Int,
  rows: Schema.Int,
  rtoSeconds: Schema.Finite,
  rpoSeconds: Schema.Finite,
  faults: Schema.Array(Schema.String)
})
export type DrillRecord = typeof DrillRecord.Type

export interface BackupSet {
  readonly manifest: Manifest
  /** Of the file, hexadecimal. */
  readonly manifestSha256: string
  readonly drill: DrillRecord | undefined
}

/** A set under way: nobody sees it before it is kept. */
export interface Draft {
  readonly set: string
  /** Writes one file from a stream and forces it to disk. */
  readonly write: (name: FileName, content: ReadableStream<Uint8Array>) => Promise<void>
  readonly keep: (
    facts: Omit<Manifest, "files" | "set" | "format" | "database">
  ) => Effect.Effect<BackupSet, BackupFailed>
}

export const fileNames = ["dump.age", "contents.age"] as const
export type FileName = (typeof fileNames)[number]

export interface SetsOptions {
  readonly folder: string
  /** Bytes that must be free before a set is begun. */
  readonly minFreeBytes: number
  /** Marks what this server made; without it sets can be read but not made, nor told from planted ones. */
  readonly key: Redacted.Redacted | undefined
}

export class BackupSets extends Context.Service<
  BackupSets,
  {
    /** Newest first. What is half, foreign or unreadable is not among them. */
    readonly list: (database: BackupDatabase) => Effect.Effect<ReadonlyArray<BackupSet>, BackupFailed>
    /** Begins a set and clears what killed runs of this database left; for the one run that has the database's lock. */
    readonly begin: (database: BackupDatabase, takenAt: Date) => Effect.Effect<Draft, BackupFailed>
    readonly discard: (database: BackupDatabase, draft: Draft) => Effect.Effect<void>
    /** Reads every byte: fails unless each file has the hash that the manifest says, and the manifest this server's mark. */
    readonly check: (set: BackupSet) => Effect.Effect<void, BackupDamaged | BackupFailed>
    /** A file of a set; check the set first. */
    readonly read: (set: BackupSet, name: FileName) => ReadableStream<Uint8Array>
    readonly record: (set: BackupSet, drill: DrillRecord) => Effect.Effect<void, BackupFailed>
    /** Removes what need not be kept; gives how many. The newest that a drill has restored is always kept. */
    readonly prune: (database: BackupDatabase) => Effect.Effect<number, BackupFailed>
  }
>()("gatehouse/scheduler/BackupSets") {
  static readonly layer = (options: SetsOptions) => Layer.sync(BackupSets, () => makeSets(options))
}

const setName = /^\d{8}T\d{9}Z-[0-9a-f]{8}$/u
const partial = ".partial"

/** `20261126T091500123Z`: sorts by time and needs no character that some file system forbids. */
const stamp = (time: Date) => time.toISOString().replaceAll(/[-:.]/gu, "")

const decodeManifest = Schema.decodeUnknownOption(Schema.fromJsonString(Manifest))
const decodeDrill = Schema.decodeUnknownOption(Schema.fromJsonString(DrillRecord))

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

const failed = (error: unknown) => new BackupFailed({ reason: codeOf(error) })

const attempt = <A>(work: () => Promise<A>) => Effect.tryPromise({ try: work, catch: failed })

const writeFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

const writeDurably = async (path: string, content: ReadableStream<Uint8Array>) => {
  const file = await open(path, writeFlags, 0o600)
  const hash = createHash("sha256")
  let bytes = 0
  try {
    for await (const chunk of content) {
      hash.update(chunk)
      bytes += chunk.length
      await file.writeFile(chunk)
    }
    await file.sync()
  } finally {
    await file.close()
  }
  return { bytes, sha256: hash.digest("hex") }
}

const textStream = (text: string) => new Blob([text]).stream()

/** In chunks, and closed when nobody reads on. */
const readFrom = (path: string): ReadableStream<Uint8Array> => {
  const opening = open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  const close = async () => (await opening).close()
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const chunk = new Uint8Array(65_536)
      const { bytesRead } = await (await opening).read(chunk, 0, chunk.length)
      if (bytesRead > 0) return controller.enqueue(chunk.subarray(0, bytesRead))
      await close()
      controller.close()
    },
    cancel: close
  })
}

const hashOf = async (path: string) => {
  const hash = createHash("sha256")
  let bytes = 0
  for await (const chunk of readFrom(path)) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest("hex") }
}

const makeSets = ({ folder, key, minFreeBytes }: SetsOptions) => {
  const home = (database: BackupDatabase) => join(folder, database)
  const at = (set: BackupSet) => join(home(set.manifest.database), set.manifest.set)
  const marked = (manifest: string): string | undefined => {
    if (key === undefined) return undefined
    const derived = hkdfSync("sha256", Redacted.value(key), "", "gatehouse backup manifest", 32)
    return createHmac("sha256", Buffer.from(derived)).update(manifest).digest("hex")
  }

  const load = async (database: BackupDatabase, name: string): Promise<BackupSet | undefined> => {
    const path = join(home(database), name)
    const text = await readFile(join(path, "manifest.json"), "utf8").catch(() => undefined)
    const manifest = Option.getOrUndefined(decodeManifest(text))
    // A set that was moved here from another database's folder is none of this one's.
    if (text === undefined || manifest?.set !== name || manifest.database !== database) return undefined
    const manifestSha256 = sha256(text)
    const drill = Option.getOrUndefined(
      decodeDrill(await readFile(join(path, "drill.json"), "utf8").catch(() => undefined))
    )
    return { manifest, manifestSha256, drill: drill?.manifestSha256 === manifestSha256 ? drill : undefined }
  }

  const entries = async (database: BackupDatabase) =>
    readdir(home(database)).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return []
      throw error
    })

  const list = (database: BackupDatabase) =>
    attempt(async () => {
      const names = (await entries(database))
        .filter((name) => setName.test(name))
        .toSorted()
        .toReversed()
      const sets = await Promise.all(names.map((name) => load(database, name)))
      return sets.flatMap((set) => set ?? [])
    })

  const begin = Effect.fn("BackupSets.begin")(function* (database: BackupDatabase, takenAt: Date) {
    const set = `${stamp(takenAt)}-${randomBytes(4).toString("hex")}`
    const draftFolder = join(home(database), `${set}${partial}`)
    yield* attempt(async () => {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await mkdir(home(database), { recursive: true, mode: 0o700 })
      for (const name of await entries(database)) {
        if (name.endsWith(partial)) await rm(join(home(database), name), { recursive: true, force: true })
      }
      const { bavail, bsize } = await statfs(folder)
      if (bavail * bsize < minFreeBytes) throw Object.assign(new Error("disk full"), { code: "ENOSPC" })
      await mkdir(draftFolder, { mode: 0o700 })
    })
    const files: Array<Manifest["files"][number]> = []
    const draft: Draft = {
      set,
      write: async (name, content) => {
        files.push({ name, ...(await writeDurably(join(draftFolder, name), content)) })
      },
      keep: (facts) =>
        attempt(async () => {
          const manifest: Manifest = { format: 1, set, database, ...facts, files }
          const text = `${JSON.stringify(manifest, null, 2)}\n`
          const mark = marked(text)
          await writeDurably(join(draftFolder, "manifest.json"), textStream(text))
          if (mark !== undefined) await writeDurably(join(draftFolder, "manifest.mac"), textStream(`${mark}\n`))
          const sums = [...files, { name: "manifest.json", sha256: sha256(text) }]
          const sumsText = sums.map(({ name, sha256: sum }) => `${sum}  ${name}\n`).join("")
          await writeDurably(join(draftFolder, "SHA256SUMS"), textStream(sumsText))
          await syncFolder(draftFolder)
          await rename(draftFolder, join(home(database), set))
          await syncFolder(home(database))
          return { manifest, manifestSha256: sha256(text), drill: undefined }
        })
    }
    return draft
  })

  return BackupSets.of({
    list,
    begin,
    discard: (database, { set }) =>
      Effect.ignore(attempt(() => rm(join(home(database), `${set}${partial}`), { recursive: true, force: true }))),
    check: Effect.fn("BackupSets.check")(function* (set) {
      const damaged = (reason: string) => new BackupDamaged({ set: set.manifest.set, reason })
      const text = yield* attempt(() => readFile(join(at(set), "manifest.json"), "utf8"))
      const mark = marked(text)
      if (mark !== undefined) {
        const found = yield* Effect.promise(() => readFile(join(at(set), "manifest.mac"), "utf8").catch(() => ""))
        const [expected, given] = [Buffer.from(mark), Buffer.from(found.trim())]
        if (expected.length !== given.length || !timingSafeEqual(expected, given)) {
          return yield* damaged("its manifest does not bear this server's mark")
        }
      }
      if (sha256(text) !== set.manifestSha256) return yield* damaged("its manifest has changed")
      for (const name of fileNames) {
        const file = set.manifest.files.find((one) => one.name === name)
        if (file === undefined) return yield* damaged(`${name} is not in its manifest`)
        const found = yield* Effect.promise(() => hashOf(join(at(set), name)).catch(() => undefined))
        if (found === undefined) return yield* damaged(`${name} cannot be read`)
        if (found.bytes !== file.bytes) return yield* damaged(`${name} has ${found.bytes} bytes, not ${file.bytes}`)
        if (found.sha256 !== file.sha256) return yield* damaged(`${name} is not as it was written (SHA-256)`)
      }
    }),
    read: (set, name) => readFrom(join(at(set), name)),
    record: Effect.fn("BackupSets.record")(function* (set, drill) {
      yield* attempt(async () => {
        const draft = join(at(set), `drill.json.${randomBytes(4).toString("hex")}${partial}`)
        await writeDurably(draft, textStream(`${JSON.stringify(drill, null, 2)}\n`))
        await rename(draft, join(at(set), "drill.json"))
        await syncFolder(at(set))
      })
    }),
    prune: Effect.fn("BackupSets.prune")(function* (database) {
      const sets = yield* list(database)
      const kept = retained(
        sets.map(({ drill, manifest }) => ({
          set: manifest.set,
          takenAt: new Date(manifest.takenAt),
          restored: drill?.ok === true
        }))
      )
      const old = sets.filter(({ manifest }) => !kept.has(manifest.set))
      yield* attempt(async () => {
        for (const set of old) {
          // Under a name that is no set's first: a removal that is cut short leaves no set with files missing.
          const gone = `${at(set)}${partial}`
          await rename(at(set), gone)
          await rm(gone, { recursive: true, force: true })
        }
      })
      return old.length
    })
  })
}
