/** /proc/sys/fs/file-nr: open files of the whole host, and how many there may be. */
import { gauge, sample } from "../family.ts"
import { fieldsOf, linesOf, numberOf, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface FileDescriptors {
  readonly allocated: number
  readonly maximum: number
}

const file = "sys/fs/file-nr"

/** Text of file-nr: allocated, free (always 0), maximum. */
export const parseFileNr = (text: string): FileDescriptors => {
  const fields = fieldsOf(linesOf(text, file)[0]!)
  if (fields.length < 3) throw truncated(file, "fewer than three numbers")
  return { allocated: numberOf(fields[0], file), maximum: numberOf(fields[2], file) }
}

export const filefd: Collector<FileDescriptors> = {
  read: (files) => parseFileNr(files.proc(file)),
  families: (value) => [
    gauge("node_filefd_allocated", "File descriptor statistics: allocated.", [sample(value.allocated)]),
    gauge("node_filefd_maximum", "File descriptor statistics: maximum.", [sample(value.maximum)])
  ]
}
