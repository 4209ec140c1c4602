/** The host's files: process 1's where namespaces matter, hidden rather than the reader's own, and read to their end. */
import { afterAll, describe, expect, test } from "bun:test"
import { symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type HostFiles, hostFiles, NoData } from "#monitor/files.ts"
import { makeFolder, makeTree, removeFolders } from "#test/monitor/tree.ts"

afterAll(removeFolders)

const filesOf = (root: string): HostFiles =>
  hostFiles({ rootfs: root, procfs: join(root, "proc"), sysfs: join(root, "sys") })

const problemOf = (read: () => unknown) => {
  try {
    read()
    return undefined
  } catch (error) {
    return (error as NoData).problem
  }
}

describe("host files", () => {
  test("are process 1's where namespaces matter, not the reader's own", () => {
    const files = filesOf(makeTree().root)
    expect(files.first("net/dev")).toContain("eth0")
    expect(files.first("net/dev")).not.toContain("pod0")
  })

  test("are hidden, and never replaced by the reader's own, where /proc/1 cannot be seen", () => {
    const tree = makeTree()
    tree.remove("proc/1")
    const files = filesOf(tree.root)
    expect(problemOf(() => files.first("net/dev"))).toBe("hidepid")
    expect(problemOf(() => files.first("mountinfo"))).toBe("hidepid")
  })

  test("are missing, not hidden, where process 1 is there without them", () => {
    const tree = makeTree()
    tree.remove("proc/1/net/dev")
    expect(problemOf(() => filesOf(tree.root).first("net/dev"))).toBe("missing")
  })

  test("are taken from net/ of a copy, which has no processes", () => {
    const tree = makeTree()
    const text = tree.text("proc/1/net/dev")
    tree.remove("proc/net")
    tree.remove("proc/1")
    tree.write("proc/net/dev", text)
    expect(filesOf(tree.root).first("net/dev")).toBe(text)
  })

  test("are read to their end however long they are, and bytes that are no UTF-8 are shown", () => {
    const tree = makeTree()
    const long = `${"x".repeat(300_000)}\n`
    tree.write("proc/stat", long)
    writeFileSync(join(tree.root, "proc/loadavg"), new Uint8Array([0x61, 0xff, 0x0a]))
    const files = filesOf(tree.root)
    expect(files.proc("stat")).toBe(long)
    expect(files.proc("loadavg")).toBe("a\u{fffd}\n")
  })

  test("give a link's end below /sys, or nothing", () => {
    const root = makeFolder()
    symlinkSync("nowhere", join(root, "dangling"))
    const files = hostFiles({ rootfs: root, procfs: root, sysfs: root })
    expect(files.resolve("dangling")).toBeUndefined()
    expect(files.trySys("absent")).toBeUndefined()
  })
})
