/** Secrets in files, as the kubelet mounts them: the contract, and what only a file can be. */
import { afterAll, describe, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { storeContract } from "./contract.ts"
import { makeReader } from "./reader.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-secrets-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const config = () => ({ kind: "files" as const, folder })

let swaps = 0
/** As the kubelet's atomic writer does it: a new folder, one link to it, and a link per key through that. */
const mount = async (path: string, values: Readonly<Record<string, string>>) => {
  const at = join(folder, path)
  mkdirSync(at, { recursive: true })
  const stamp = `..2026_11_26_${swaps++}`
  mkdirSync(join(at, stamp))
  for (const [key, value] of Object.entries(values)) writeFileSync(join(at, stamp, key), value)
  symlinkSync(stamp, join(at, "..data_tmp"))
  renameSync(join(at, "..data_tmp"), join(at, "..data"))
  for (const key of Object.keys(values)) {
    rmSync(join(at, key), { force: true })
    symlinkSync(join("..data", key), join(at, key))
  }
}

storeContract("files", {
  config,
  put: mount,
  remove: async (path) => rmSync(join(folder, path), { recursive: true }),
  noticed: 2
})

describe("a secret's file", () => {
  const written = async (text: string) => {
    await mount("file", { key: text })
    const reader = await makeReader(config())
    const found = await reader.read("secret://file#key")
    await reader.dispose()
    return found
  }
  test("loses its last line end, and no more", async () => {
    expect(await written("value\n")).toMatchObject({ value: "value" })
    expect(await written("value\r\n")).toMatchObject({ value: "value" })
    expect(await written("value \n\n")).toMatchObject({ value: "value \n" })
    expect(await written("")).toMatchObject({ value: "" })
  })
  test("is of no other version than the present one", async () => {
    await mount("file", { key: "x" })
    const reader = await makeReader(config())
    expect(await reader.read("secret://file?version=1#key")).toMatchObject({ failure: "SecretNotFound" })
    await reader.dispose()
  })
  test("is none if it is a folder, a pipe or larger than a Secret can be", async () => {
    mkdirSync(join(folder, "odd/folder"), { recursive: true })
    Bun.spawnSync(["mkfifo", join(folder, "odd/pipe")])
    writeFileSync(join(folder, "odd/large"), "x".repeat(1024 * 1024 + 1))
    const reader = await makeReader(config())
    for (const key of ["folder", "pipe", "large"]) {
      expect(await reader.read(`secret://odd#${key}`)).toMatchObject({ failure: "SecretNotFound" })
    }
    await reader.dispose()
  })
})
