/** The archives that an image is made of: order, modes and times depend on nothing but what is put in. */
import { expect, test } from "bun:test"
import { complete, type Entry, tar } from "#dev/image/tar.ts"

const entries: ReadonlyArray<Entry> = [
  { path: "usr/bin/tool", data: Buffer.from("#!"), mode: 0o755 },
  { path: "tmp", mode: 0o1777 },
  { path: "etc/name", data: Buffer.from("text\n") },
  { path: "usr/bin/alias", target: "tool" }
]

const list = (archive: Buffer) => {
  const { exitCode, stdout } = Bun.spawnSync(["tar", "--utc", "-tvf", "-"], { stdin: archive })
  expect(exitCode).toBe(0)
  return stdout
    .toString()
    .trim()
    .split("\n")
    .map((line) => line.replaceAll(/\s+/gu, " "))
}

test("an archive is read by tar, sorted, with every folder, root's, and of one time", () => {
  expect(list(tar(entries, 86_400))).toEqual([
    "drwxr-xr-x 0/0 0 1970-01-02 00:00 etc/",
    "-rw-r--r-- 0/0 5 1970-01-02 00:00 etc/name",
    "drwxrwxrwt 0/0 0 1970-01-02 00:00 tmp/",
    "drwxr-xr-x 0/0 0 1970-01-02 00:00 usr/",
    "drwxr-xr-x 0/0 0 1970-01-02 00:00 usr/bin/",
    "lrwxrwxrwx 0/0 0 1970-01-02 00:00 usr/bin/alias -> tool",
    "-rwxr-xr-x 0/0 2 1970-01-02 00:00 usr/bin/tool"
  ])
})

test("the order in which things are put in changes no byte", () => {
  expect(tar(entries.toReversed(), 0).equals(tar(entries, 0))).toBe(true)
})

test("a folder that is named keeps its mode, also where a file below it comes first", () => {
  const named = complete([
    { path: "data/file", data: new Uint8Array() },
    { path: "data", mode: 0o700 }
  ])
  expect(named).toEqual([{ path: "data", mode: 0o700 }, expect.objectContaining({ path: "data/file" })])
})

test("a name that does not fit is refused rather than cut", () => {
  expect(() => tar([{ path: "x".repeat(101), data: new Uint8Array() }], 0)).toThrow("too long for a tar header")
})
