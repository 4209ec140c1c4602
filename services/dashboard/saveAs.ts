/** Hands the person a text as a file; must send it nowhere. */

/** Milliseconds until the browser has surely taken it. */
const keep = 10_000

export const saveAs = (name: string, type: string, text: string): void => {
  const url = URL.createObjectURL(new Blob([text], { type }))
  const link = document.createElement("a")
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), keep)
}
