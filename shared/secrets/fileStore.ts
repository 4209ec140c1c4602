/** Secrets that Kubernetes mounts as files: read anew each time, so that the kubelet's swap of a whole Secret is seen at once; must write nothing. */
import { readFileSync, realpathSync, statSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { Duration, Effect, Redacted } from "effect"
import { type SecretFailure, SecretForbidden, SecretNotFound, SecretStoreUnavailable } from "./failures.ts"
import { referenceText, type SecretReference } from "./reference.ts"
import type { Secret, SecretSource, SecretStore } from "./store.ts"

export interface FileStoreOptions {
  readonly folder: string
}

/** A Kubernetes Secret holds no more (ValidateSecret: 1 MiB in all). */
const maxBytes = 1024 * 1024

/** A look at a file costs next to nothing; the kubelet itself takes up to a minute to bring a new value. */
const noticed = Duration.seconds(2)

const gone = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP"])
const closed = new Set(["EACCES", "EPERM"])

const failureOf = (store: string, reference: string, error: unknown): SecretFailure => {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : ""
  if (gone.has(code)) return new SecretNotFound({ reference })
  if (closed.has(code)) return new SecretForbidden({ reference, detail: "the file may not be read by this process" })
  return new SecretStoreUnavailable({ store, reason: "unreachable", status: null })
}

/** A file that is no secret's: a folder, a pipe that would never end, too much. */
const unfit = Symbol("unfit")

const readOnce = (path: string) => {
  // Through the links once, so that text and version are of the same swap.
  const real = realpathSync(path)
  const found = statSync(real)
  if (!found.isFile() || found.size > maxBytes) return unfit
  const text = readFileSync(real, "utf8")
  const folder = basename(dirname(real))
  // The kubelet's folders are named after the time they were made; a plain file has that of its last change.
  return { text, version: folder.startsWith("..") ? folder : String(found.mtimeMs) }
}

/** The text of a secret's file, without its last line end; `reference` is for messages. */
export const readSecretFile = (
  path: string,
  store: string,
  reference: string
): Effect.Effect<Secret, SecretFailure> => {
  const once = Effect.try({
    try: () => readOnce(path),
    catch: (error) => failureOf(store, reference, error)
  })
  return once.pipe(
    // The folder may be swapped between the look at its links and the reading.
    Effect.catchTag("SecretNotFound", () => once),
    Effect.flatMap((found): Effect.Effect<Secret, SecretFailure> =>
      found === unfit
        ? Effect.fail(new SecretNotFound({ reference }))
        : Effect.succeed({
            value: Redacted.make(found.text.replace(/\r?\n$/u, "")),
            version: found.version
          })
    )
  )
}

/** One file by itself, as `X_FILE` names it. */
export const makeFileSource = (path: string): SecretSource => ({
  name: path,
  noticed,
  read: readSecretFile(path, "the secret file", path)
})

export const makeFileStore = ({ folder }: FileStoreOptions): SecretStore => {
  const store = `the secret folder ${folder}`
  return {
    name: store,
    noticed,
    read: Effect.fn("Secrets.read")(function* (reference: SecretReference) {
      const text = referenceText(reference)
      // Files have no past.
      if (reference.version !== undefined) return yield* new SecretNotFound({ reference: text })
      return yield* readSecretFile(join(folder, reference.path, reference.key), store, text)
    })
  }
}
