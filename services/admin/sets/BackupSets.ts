/** Sets of backups: all that a namespace holds at one time, in a folder that appears whole or not at all; kept by a clock of its own and on demand. Must apply nothing. */
import { chmod, mkdir, readdir, readFile, rename, rm, statfs, symlink } from "node:fs/promises"
import { join } from "node:path"
import { Clock, Context, Duration, Effect, Layer, Metric, Semaphore } from "effect"
import type { ManifestSet } from "#shared/api/admin.ts"
import { NotFound } from "#shared/domain/errors.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { resources } from "#shared/kubernetes/objects.ts"
import { stamp } from "../Backups.ts"
import { sha256 } from "../digests.ts"
import { syncFolder, writeDurably } from "#shared/durableFiles.ts"
import { codeOf } from "#shared/systemErrors.ts"
import { type Upstream, upstreamOf } from "../upstream.ts"
import { BackupCorrupt, BackupFailed } from "../writeRefusals.ts"
import { documentsOf, imagesOf, kept, keptKinds, manifestOf } from "./kept.ts"

export interface BackupSetOptions {
  readonly folder: string
  readonly namespaces: ReadonlyArray<string>
  /** Between two sets; zero makes none by the clock. */
  readonly every: Duration.Duration
  /** Sets of one namespace that stay. */
  readonly keep: number
  readonly minFreeBytes: number
  /** Of the sources that were deployed, as who deployed them says. */
  readonly revision: string
}

/** A set that can be restored, with those newer ones that could not be trusted. */
export interface Sound {
  readonly set: ManifestSet
  readonly manifest: string
  readonly refused: ReadonlyArray<ManifestSet>
}

export class BackupSets extends Context.Service<
  BackupSets,
  {
    readonly make: (namespace: string) => Effect.Effect<ManifestSet, BackupFailed | Upstream>
    /** Newest first, each with every file's hash checked. */
    readonly list: (namespace: string) => Effect.Effect<ReadonlyArray<ManifestSet>, BackupFailed>
    /** One set by its id, refused if it is damaged; or as `newest` the newest that is not. */
    readonly sound: (namespace: string, id: string) => Effect.Effect<Sound, BackupFailed | NotFound | BackupCorrupt>
  }
>()("gatehouse/admin/BackupSets") {
  static readonly layer = (options: BackupSetOptions) => Layer.effect(BackupSets, makeSets(options))
}

const setName = /^\d{8}T\d{9}Z$/u
const partial = ".partial"
const files = ["live.yaml", "images.txt", "revision"] as const

/** No namespace has such a name. */
const sets = "_sets"

/** After a set that could not be made. */
const soon = Duration.minutes(5)
const tick = Duration.minutes(1)

const age = Metric.gauge("gatehouse_admin_backup_set_age_seconds", {
  description: "Age of the newest sound backup set, by namespace."
})

const attempt = <A>(work: () => Promise<A>) =>
  Effect.tryPromise({ try: work, catch: (error) => new BackupFailed({ reason: codeOf(error) }) })

/** `2026…T…123Z` of a folder's name as RFC 3339. */
const timeOf = (name: string) =>
  name.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z$/u, "$1-$2-$3T$4:$5:$6.$7Z")

const makeSets = Effect.fnUntraced(function* (options: BackupSetOptions) {
  const { every, folder, keep, minFreeBytes, namespaces, revision } = options
  const kubernetes = yield* Kubernetes
  const one = yield* Semaphore.make(1)
  const home = (namespace: string) => join(folder, sets, namespace)

  /** The files of a set, or which of them is not as it was written. */
  const read = async (namespace: string, id: string) => {
    const path = join(home(namespace), id)
    const sums = await readFile(join(path, "SHA256SUMS"), "utf8").catch(() => "")
    const texts = new Map<string, string>()
    for (const name of files) {
      const text = await readFile(join(path, name), "utf8").catch(() => undefined)
      if (text === undefined) return { damaged: `${name} is missing` }
      if (!sums.split("\n").includes(`${sha256(text)}  ${name}`)) return { damaged: `${name} has another SHA-256` }
      texts.set(name, text)
    }
    return { texts }
  }

  const view = async (namespace: string, id: string) => {
    const { damaged, texts } = await read(namespace, id)
    const manifest = texts?.get("live.yaml") ?? ""
    const set: ManifestSet = {
      id,
      namespace,
      takenAt: timeOf(id),
      objects: documentsOf(manifest).length,
      images: (texts?.get("images.txt") ?? "").split("\n").filter((line) => line !== ""),
      revision: (texts?.get("revision") ?? "").trim(),
      damaged: damaged ?? null
    }
    return { set, manifest }
  }

  const namesIn = async (namespace: string) => {
    const names = await readdir(home(namespace)).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return []
      throw error
    })
    return names
      .filter((name) => setName.test(name))
      .toSorted()
      .toReversed()
  }

  const list = (namespace: string) =>
    attempt(async () => {
      const all = await Promise.all((await namesIn(namespace)).map((id) => view(namespace, id)))
      return all.map(({ set }) => set)
    })

  const dump = Effect.fnUntraced(function* (namespace: string) {
    const lists = yield* Effect.forEach(
      keptKinds,
      (kind) => Effect.mapError(kubernetes.list({ resource: resources[kind], namespace }), upstreamOf),
      { concurrency: 4 }
    )
    return lists.flatMap(({ items }, index) => {
      // Items of a list come without their own kind.
      const kind = keptKinds[index]!
      const { group, version } = resources[kind]
      const apiVersion = group === "" ? version : `${group}/${version}`
      const whole = items.map((item) => ({ ...item, apiVersion, kind }))
      return whole.flatMap((item) => kept(item) ?? []).toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    })
  })

  const point = async (namespace: string, id: string) => {
    const link = join(home(namespace), `current${partial}`)
    await rm(link, { force: true })
    await symlink(id, link)
    await rename(link, join(home(namespace), "current"))
  }

  /** All but the newest, and but `made`, whatever the clock says: there is always one that can be trusted. */
  const prune = async (namespace: string, made: string) => {
    for (const id of (await namesIn(namespace)).slice(keep).filter((name) => name !== made)) {
      const gone = join(home(namespace), `${id}${partial}`)
      await rename(join(home(namespace), id), gone)
      await rm(gone, { recursive: true, force: true })
    }
  }

  const store = async (namespace: string, id: string, texts: Readonly<Record<(typeof files)[number], string>>) => {
    await mkdir(home(namespace), { recursive: true, mode: 0o700 })
    await chmod(folder, 0o700)
    const { bavail, bsize } = await statfs(folder)
    const size = Object.values(texts).reduce((sum, text) => sum + text.length, 0)
    if (bavail * bsize < minFreeBytes + size) throw Object.assign(new Error("disk full"), { code: "ENOSPC" })
    for (const name of await readdir(home(namespace))) {
      if (name.endsWith(partial)) await rm(join(home(namespace), name), { recursive: true, force: true })
    }
    const draft = join(home(namespace), `${id}${partial}`)
    await mkdir(draft, { mode: 0o700 })
    try {
      for (const name of files) await writeDurably(join(draft, name), texts[name])
      const sums = files.map((name) => `${sha256(texts[name])}  ${name}\n`).join("")
      await writeDurably(join(draft, "SHA256SUMS"), sums)
      await syncFolder(draft)
      await rename(draft, join(home(namespace), id))
    } catch (error) {
      await rm(draft, { recursive: true, force: true })
      throw error
    }
    await point(namespace, id)
    await syncFolder(home(namespace))
    await prune(namespace, id)
    return (await view(namespace, id)).set
  }

  const make = Effect.fn("BackupSets.make")(function* (namespace: string) {
    const objects = yield* dump(namespace)
    // A namespace that was emptied must not push out what it held.
    if (objects.length === 0) return yield* new BackupFailed({ reason: "the namespace holds nothing to keep" })
    const id = stamp(yield* Clock.currentTimeMillis)
    const images = imagesOf(objects)
    return yield* attempt(() =>
      store(namespace, id, {
        "live.yaml": manifestOf(objects),
        "images.txt": images.map((image) => `${image}\n`).join(""),
        revision: `${revision}\n`
      })
    )
  }, one.withPermit)

  const sound = Effect.fn("BackupSets.sound")(function* (namespace: string, id: string) {
    const names = yield* attempt(() => namesIn(namespace))
    const refused: Array<ManifestSet> = []
    for (const name of id === "newest" ? names : names.filter((one) => one === id)) {
      const { manifest, set } = yield* attempt(() => view(namespace, name))
      if (set.damaged === null) return { set, manifest, refused }
      if (id !== "newest") return yield* new BackupCorrupt({ backup: name })
      refused.push(set)
    }
    return yield* new NotFound({ resource: "backup set" })
  })

  const round = Effect.fnUntraced(function* (namespace: string) {
    const now = yield* Clock.currentTimeMillis
    const newest = (yield* list(namespace)).find(({ damaged }) => damaged === null)
    const old = newest === undefined ? Number.POSITIVE_INFINITY : now - Date.parse(newest.takenAt)
    yield* Metric.update(Metric.withAttributes(age, { namespace }), old / 1000)
    if (old >= Duration.toMillis(every)) yield* make(namespace)
  })

  if (Duration.toMillis(every) > 0) {
    for (const namespace of namespaces) {
      yield* round(namespace).pipe(
        Effect.as(tick),
        Effect.catch((error) =>
          Effect.as(
            Effect.logWarning("no backup set could be made").pipe(
              Effect.annotateLogs({ namespace, reason: error.message })
            ),
            soon
          )
        ),
        Effect.flatMap(Effect.sleep),
        Effect.forever,
        Effect.tapCause((cause) => Effect.logError("the clock of the backup sets has stopped", cause)),
        Effect.forkScoped
      )
    }
  }

  return BackupSets.of({ make, list, sound })
})
