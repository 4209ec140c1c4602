/** gatehouse-keep makes sets that gatehouse-recover takes for whole, and leaves what was there where it cannot. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, expect } from "bun:test"
import { hostFolder, put, putSet, run } from "#test/host/hostRoot.ts"
import { type Recoverable, recoverable } from "#test/host/recoverable.ts"
import { skipUnless } from "#test/shared/skip.ts"

const { describe, test } = skipUnless(process.platform === "linux", "the host profile is for Debian")

const program = join(hostFolder, "gatehouse-keep")
const manifest = `apiVersion: apps/v1
kind: Deployment
spec:
  containers:
    - image: gatehouse.local/gatehouse:2
    - name: b
      image: "docker.io/library/postgres:18.4"
    - image: gatehouse.local/gatehouse:2
`
let host: Recoverable
beforeEach(() => {
  host = recoverable()
  put(host.path, "srv/prod.yaml", manifest)
})
afterEach(() => host.remove())

const sets = () => join(host.path, "opt/k8s-backups")
const keep = (files: ReadonlyArray<string>, revision = "0123abcd") =>
  run([program, "--root", host.path, "--revision", revision, ...files.map((file) => join(host.path, file))])

describe("keep", () => {
  test("makes a set that recovery applies", async () => {
    expect(await keep(["srv/prod.yaml"])).toMatchObject({ code: 0, stderr: "" })
    const [name] = readdirSync(sets()).filter((one) => one !== "current")
    expect(readlinkSync(join(sets(), "current"))).toBe(name!)
    const text = (file: string) => readFileSync(join(sets(), name!, file), "utf8")
    expect(text("prod.yaml")).toBe(manifest)
    expect(text("revision")).toBe("0123abcd\n")
    expect(text("images.txt")).toBe("docker.io/library/postgres:18.4\ngatehouse.local/gatehouse:2\n")
    for (const path of [name!, `${name}/prod.yaml`]) expect(statSync(join(sets(), path)).mode & 0o077).toBe(0)
    expect(await host.ask("apply-last-good")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`applying set ${name} (revision 0123abcd)`)
    })
  })

  test("keeps fourteen, and touches nothing that is no set", async () => {
    for (let day = 1; day <= 14; day++) {
      putSet(host.path, `2026-01-${String(day).padStart(2, "0")}T00:00:00Z`, { "prod.yaml": manifest })
    }
    mkdirSync(join(sets(), "prod"))
    await keep(["srv/prod.yaml"])
    const names = readdirSync(sets()).toSorted()
    expect(names).toHaveLength(16)
    expect(names[0]).toBe("2026-01-02T00:00:00Z")
    expect(names).toEqual(expect.arrayContaining(["current", "prod"]))
  })

  const refusals: ReadonlyArray<readonly [string, () => void, ReadonlyArray<string>, string]> = [
    ["a file that is not there", () => {}, ["srv/none.yaml"], "no manifest"],
    ["a file that is no manifest", () => put(host.path, "srv/a.yaml", "hello\n"), ["srv/a.yaml"], "no manifest"],
    [
      "a Secret",
      () => put(host.path, "srv/a.yaml", "kind: ConfigMap\n---\nkind: Secret\n"),
      ["srv/prod.yaml", "srv/a.yaml"],
      "has a Secret"
    ],
    ["two files of one name", () => put(host.path, "b/prod.yaml", manifest), ["srv/prod.yaml", "b/prod.yaml"], ""],
    ["a name that SHA256SUMS cannot hold", () => put(host.path, "srv/a b.yaml", manifest), ["srv/a b.yaml"], "name"],
    ["nothing", () => {}, [], "nothing to keep"]
  ]
  for (const [what, prepare, files, complaint] of refusals) {
    test(`${what === "a Secret" ? "security: " : ""}refuses ${what}, and keeps nothing`, async () => {
      prepare()
      const { code, stderr } = await keep(files)
      expect({ kept: code === 0, stderr }).toEqual({ kept: false, stderr: expect.stringContaining(complaint) })
      expect(readdirSync(sets())).toEqual([])
    })
  }

  test("refuses a revision that is more than a word", async () => {
    expect(await keep(["srv/prod.yaml"], "a\nb")).toMatchObject({ code: 2 })
    expect(await keep(["srv/prod.yaml"], "")).toMatchObject({ code: 2 })
  })

  test("leaves the set before as it was when the disk takes nothing more", async () => {
    putSet(host.path, "2026-01-01T00:00:00Z", { "prod.yaml": manifest })
    const full = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", program, "--root", host.path, "--revision", "x"]
    const { code } = await run([...full, join(host.path, "srv/prod.yaml")])
    expect(code).not.toBe(0)
    expect(readdirSync(sets()).toSorted()).toEqual(["2026-01-01T00:00:00Z", "current"])
    expect(existsSync(join(sets(), "current/prod.yaml"))).toBe(true)
    expect(await host.ask("apply-last-good")).toMatchObject({ code: 0 })
  })
})
