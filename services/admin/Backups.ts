/** Keeps what was live before each write, one file per object and action, with its SHA-256; must hold no value of a Secret. */
import { chmod, mkdir, readdir, readFile, rm, statfs } from "node:fs/promises"
import { join } from "node:path"
import { Clock, Context, DateTime, Duration, Effect, Layer, Schema } from "effect"
import { stringify } from "yaml"
import { InvalidInput, NotFound } from "#shared/domain/errors.ts"
import { NamespaceName, ObjectName } from "#shared/domain/workload.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { sha256 } from "./digests.ts"
import { syncFolder, writeDurably } from "#shared/durableFiles.ts"
import { codeOf } from "#shared/systemErrors.ts"
import { BackupCorrupt, BackupFailed } from "./writeRefusals.ts"

export interface BackupOptions {
  readonly folder: string
  /** Backups of one object that stay at most; the newest always does. */
  readonly keepCount: number
  /** How long one stays at most. */
  readonly keepAge: Duration.Duration
  /** Bytes that must be free before a write. */
  readonly minFreeBytes: number
}

export class Backups extends Context.Service<
  Backups,
  {
    /** On disk with its hash when it succeeds; gives the reference, `<ns>/<kind>/<name>/<time>-<actionId>.yaml`. */
    readonly write: (object: KubernetesObject, actionId: string) => Effect.Effect<string, BackupFailed>
    /** The YAML of a backup of this namespace, its hash checked. */
    readonly read: (
      namespace: string,
      reference: string
    ) => Effect.Effect<string, InvalidInput | NotFound | BackupCorrupt>
    /** Removes what is too old or too many beside the backup `reference`; never fails. */
    readonly prune: (reference: string) => Effect.Effect<void>
  }
>()("gatehouse/admin/Backups") {
  static readonly layer = (options: BackupOptions) => Layer.sync(Backups, () => makeBackups(options))
}

/** What the API server fills in: a copy that has it cannot be applied. */
const serverFields = new Set([
  "managedFields",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "selfLink"
])
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

/** The object as it can be applied again; of a Secret only the names of its keys, in a comment. */
export const backupText = (object: KubernetesObject): string => {
  const { data, metadata, status: _, stringData, ...rest } = object
  const kept = Object.fromEntries(Object.entries(metadata).filter(([key]) => !serverFields.has(key)))
  if (object.kind !== "Secret") {
    return stringify(
      { ...rest, metadata: kept, ...(data === undefined ? {} : { data }) },
      { version: "1.1", aliasDuplicateObjects: false, lineWidth: 0 }
    )
  }
  const keys = [data, stringData].flatMap((values) =>
    typeof values === "object" && values !== null ? Object.keys(values) : []
  )
  const annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([key]) => key !== lastApplied)
  )
  const text = stringify({ ...rest, metadata: { ...kept, annotations } }, { version: "1.1", lineWidth: 0 })
  return `# The values of a Secret are not kept. Its keys were: ${JSON.stringify(keys)}\n${text}`
}

const isNamespace = Schema.is(NamespaceName)
const isName = Schema.is(ObjectName)
const fileName = /^(\d{8}T\d{9}Z)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.yaml$/u

/** `20261126T091500123Z`: sorts by time and needs no character that some file system forbids. */
export const stamp = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis)).replaceAll(/[-:.]/gu, "")

/** The four parts of a reference, or undefined where it is none; no part can leave its folder. */
const partsOf = (reference: string) => {
  const [namespace, kind, name, file, ...more] = reference.split("/")
  if (namespace === undefined || kind === undefined || name === undefined || file === undefined) return undefined
  const sound =
    more.length === 0 &&
    isNamespace(namespace) &&
    /^[A-Z][A-Za-z]{1,62}$/u.test(kind) &&
    isName(name) &&
    fileName.test(file)
  return sound ? { namespace, folder: `${namespace}/${kind}/${name}`, file } : undefined
}

const failed = (error: unknown) => new BackupFailed({ reason: codeOf(error) })

const makeBackups = ({ folder, keepAge, keepCount, minFreeBytes }: BackupOptions) => {
  const privateFolder = async (relative: string) => {
    let path = folder
    await mkdir(path, { recursive: true, mode: 0o700 })
    for (const part of relative.split("/")) {
      path = join(path, part)
      const made = await mkdir(path, { recursive: true, mode: 0o700 })
      if (made !== undefined) await syncFolder(join(path, ".."))
    }
    await chmod(path, 0o700)
    return path
  }

  return Backups.of({
    write: Effect.fn("Backups.write")(function* (object, actionId) {
      const time = stamp(yield* Clock.currentTimeMillis)
      const reference = `${object.metadata.namespace ?? ""}/${object.kind}/${object.metadata.name}/${time}-${actionId}.yaml`
      const parts = partsOf(reference)
      if (parts === undefined) return yield* new BackupFailed({ reason: "the object's name is none for a file" })
      const text = backupText(object)
      return yield* Effect.tryPromise({
        try: async () => {
          const path = await privateFolder(parts.folder)
          const { bavail, bsize } = await statfs(path)
          if (bavail * bsize < minFreeBytes + text.length)
            throw Object.assign(new Error("disk full"), { code: "ENOSPC" })
          await writeDurably(join(path, parts.file), text)
          await writeDurably(join(path, `${parts.file}.sha256`), `${sha256(text)}  ${parts.file}\n`)
          await syncFolder(path)
          return reference
        },
        catch: failed
      })
    }),
    read: Effect.fn("Backups.read")(function* (namespace, reference) {
      const parts = partsOf(reference)
      if (parts === undefined || parts.namespace !== namespace) {
        return yield* new InvalidInput({
          errors: [{ pointer: "/backupId", detail: "expected the reference of a backup of this namespace" }]
        })
      }
      const path = join(folder, parts.folder, parts.file)
      const [text, hash] = yield* Effect.tryPromise({
        try: () => Promise.all([readFile(path, "utf8"), readFile(`${path}.sha256`, "utf8")]),
        catch: () => new NotFound({ resource: "backup" })
      })
      if (hash.split(" ")[0] !== sha256(text)) return yield* new BackupCorrupt({ backup: reference })
      return text
    }),
    prune: Effect.fn("Backups.prune")(function* (reference) {
      const parts = partsOf(reference)
      if (parts === undefined) return
      const oldest = stamp((yield* Clock.currentTimeMillis) - Duration.toMillis(keepAge))
      yield* Effect.tryPromise(async () => {
        const path = join(folder, parts.folder)
        const files = (await readdir(path))
          .filter((file) => fileName.test(file))
          .toSorted()
          .toReversed()
        for (const [index, file] of files.entries()) {
          if (index === 0 || (index < keepCount && file >= oldest)) continue
          await rm(join(path, file), { force: true })
          await rm(join(path, `${file}.sha256`), { force: true })
        }
      }).pipe(
        Effect.catch((error) => Effect.logWarning("old backups cannot be removed", codeOf(error.cause))),
        Effect.asVoid
      )
    })
  })
}
