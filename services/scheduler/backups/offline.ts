/** Backups by hand, without a running platform: keys, a drill with the recovery key, and a set opened for a real restore; must overwrite nothing. */
import { constants } from "node:fs"
import { mkdir, open, readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { Effect, Layer, Redacted, Schema } from "effect"
import { BackupDatabase } from "#shared/api/scheduler.ts"
import { newAgeKey, opened, readAgeKey } from "#shared/age.ts"
import type { Env } from "#shared/config.ts"
import { BackupSets } from "./BackupSets.ts"
import { Contents, roleStatements } from "./contents.ts"
import { codeOf } from "#shared/systemErrors.ts"
import { BackupFailed } from "./failures.ts"
import { PostgresTools } from "./PostgresTools.ts"
import { RestoreDrills } from "./RestoreDrills.ts"
import { Throwaway } from "./Throwaway.ts"

const attempt = <A>(what: string, work: () => Promise<A>) =>
  Effect.tryPromise({
    try: work,
    catch: (error) =>
      new BackupFailed({ reason: `${what}: ${error instanceof BackupFailed ? error.reason : codeOf(error)}` })
  })

const createOnly = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL

const writeNew = (path: string, content: ReadableStream<Uint8Array>) =>
  attempt(path, async () => {
    const file = await open(path, createOnly, 0o600)
    try {
      for await (const chunk of content) await file.writeFile(chunk)
      await file.sync()
    } finally {
      await file.close()
    }
  })

/**
 * A new pair of keys. With `identityFile` the secret goes there, for this server; without, it is in the text, to be shown once and kept
 * away from the server. With `recipientFile` the public key goes there, and a pair is made only if that file is not there yet.
 */
export const makeKeys = Effect.fn("makeKeys")(function* (files: {
  readonly identityFile?: string | undefined
  readonly recipientFile?: string | undefined
}) {
  const { identityFile, recipientFile } = files
  if (recipientFile !== undefined) {
    const known = yield* Effect.promise(() => readFile(recipientFile, "utf8").catch(() => undefined))
    if (known !== undefined) return `there is a key already, none was made\npublic key: ${known.trim()}`
  }
  const { identity, recipient } = yield* newAgeKey
  const secret = Redacted.value(identity)
  if (recipientFile !== undefined) yield* writeNew(recipientFile, new Blob([`${recipient}\n`]).stream())
  if (identityFile !== undefined) {
    yield* writeNew(identityFile, new Blob([`# public key: ${recipient}\n${secret}\n`]).stream())
    return `public key: ${recipient}\nthe secret key is in ${identityFile}`
  }
  return [
    `public key: ${recipient}`,
    `secret key: ${secret}`,
    "",
    "The secret key is shown this once and kept nowhere: store it away from this server. Without it and without the server",
    "no backup can be opened."
  ].join("\n")
})

const keyIn = (file: string) =>
  attempt(file, () => readFile(file, "utf8")).pipe(
    Effect.flatMap((text) => readAgeKey(Redacted.make(text))),
    Effect.catchTag("AgeFailed", () => Effect.fail(new BackupFailed({ reason: `${file} holds no secret key of age` })))
  )

const isDatabase = Schema.is(BackupDatabase)

/** The set that a path `<folder>/<database>/<set>` names; `newest` in the place of the set is the newest. */
const setAt = Effect.fnUntraced(function* (path: string) {
  const [name = "", database = ""] = resolve(path).split("/").toReversed()
  if (!isDatabase(database)) return yield* new BackupFailed({ reason: "expected a path that ends in <database>/<set>" })
  const found = yield* BackupSets.use((sets) => sets.list(database))
  const set = found.find(({ manifest }) => manifest.set === name || name === "newest")
  return set ?? (yield* new BackupFailed({ reason: `there is no backup ${database}/${name}` }))
})

const sets = (path: string) => BackupSets.layer({ folder: resolve(path, "../.."), minFreeBytes: 0, key: undefined })

/** Restores a set into a throwaway server and compares it; the record beside the set counts as any drill's. */
export const drillByHand = Effect.fn("drillByHand")(function* (path: string, identityFile: string, env: Env) {
  const key = yield* keyIn(identityFile)
  const tools = PostgresTools.layer({ folder: env["PG_BIN"], path: env["PATH"] ?? "/usr/bin:/bin" })
  const drills = RestoreDrills.layer({ identity: key.identity }).pipe(
    Layer.provide(Throwaway.layer({ folder: tmpdir() })),
    Layer.provide(tools)
  )
  return yield* Effect.gen(function* () {
    const set = yield* setAt(path)
    const record = yield* RestoreDrills.use((all) => all.play(set))
    return { set: set.manifest.set, ...record }
  }).pipe(Effect.provide(drills.pipe(Layer.provideMerge(sets(path)))))
})

const decodeContents = Schema.decodeUnknownEffect(Schema.fromJsonString(Contents))

/** Writes `dump.pgc` (for pg_restore) and `roles.sql` (for psql, first) into a new folder. */
export const openByHand = Effect.fn("openByHand")(function* (path: string, identityFile: string, out: string) {
  const { identity } = yield* keyIn(identityFile)
  return yield* Effect.gen(function* () {
    const set = yield* setAt(path)
    const all = yield* BackupSets
    yield* all.check(set)
    yield* attempt(out, () => mkdir(out, { mode: 0o700 }))
    const plain = (name: "dump.age" | "contents.age") => attempt(name, () => opened(all.read(set, name), identity))
    const contents = yield* plain("contents.age").pipe(
      Effect.flatMap((stream) => attempt("contents.age", () => new Response(stream).text())),
      Effect.flatMap((text) => decodeContents(text)),
      Effect.catchTag("SchemaError", () =>
        Effect.fail(new BackupFailed({ reason: "contents.age is not what this version writes" }))
      )
    )
    const roles = `${roleStatements(contents).join(";\n")};\n`
    yield* writeNew(join(out, "roles.sql"), new Blob([roles]).stream())
    yield* writeNew(join(out, "dump.pgc"), yield* plain("dump.age"))
    return set.manifest
  }).pipe(Effect.provide(sets(path)))
})
