/** The keys that a development platform's backups are sealed to, made once per data folder; of no worth elsewhere, as both lie beside the data. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Redacted } from "effect"
import { newAgeKey, readAgeKey } from "#shared/age.ts"

const keyIn = Effect.fnUntraced(function* (file: string) {
  if (existsSync(file)) return yield* readAgeKey(Redacted.make(readFileSync(file, "utf8")))
  const key = yield* newAgeKey
  writeFileSync(file, `${Redacted.value(key.identity)}\n`, { mode: 0o600 })
  return key
})

/** The scheduler's settings of the two keys. */
export const backupKeys = Effect.fn("backupKeys")(function* (dataDir: string) {
  const folder = join(dataDir, "secrets")
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  yield* keyIn(join(folder, "backup-identity"))
  const recovery = yield* keyIn(join(folder, "backup-recovery-identity"))
  return {
    SCHEDULER_BACKUP_IDENTITY_FILE: join(folder, "backup-identity"),
    SCHEDULER_BACKUP_RECOVERY_RECIPIENT: recovery.recipient
  }
})
