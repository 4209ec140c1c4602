/** What can go wrong with backups and drills; each says what a person needs to know and holds no secret. */
import { Schema } from "effect"

const words: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EACCES: "the folder may not be written",
  EROFS: "the folder may not be written",
  EDQUOT: "the disk is full"
}

/** A backup or drill that could not be done now; nothing is left that looks like one. */
export class BackupFailed extends Schema.TaggedError<BackupFailed>()("BackupFailed", {
  reason: Schema.String
}) {
  override get message() {
    return words[this.reason] ?? this.reason
  }
}

/** A set that is not as it was made, or whose copy is not what was recorded of its source. */
export class BackupDamaged extends Schema.TaggedError<BackupDamaged>()("BackupDamaged", {
  set: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `backup ${this.set}: ${this.reason}`
  }
}

/** What this process cannot do, as long as it runs: a tool that is missing, or of another version. */
export class ToolsMissing extends Schema.TaggedError<ToolsMissing>()("ToolsMissing", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}
