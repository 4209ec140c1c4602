/** Files that are on disk, whole, once they are said to be; must know nothing of what is in them. */
import { constants } from "node:fs"
import { open, rename } from "node:fs/promises"

/** Written, forced to disk, and only then under its name: a crash leaves no half of a file that looks whole. */
export const writeDurably = async (path: string, text: string) => {
  const partial = `${path}.partial`
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW
  const file = await open(partial, flags, 0o600)
  try {
    await file.chmod(0o600)
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(partial, path)
}

/** A name in a folder is on disk when the folder is. */
export const syncFolder = async (path: string) => {
  const folder = await open(path, constants.O_RDONLY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
