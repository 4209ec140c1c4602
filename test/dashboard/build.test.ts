/** The built web app: its weight, its names, that it obeys the content security policy, and that nothing is built twice. */
import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { buildDashboard } from "#dashboard/build.ts"

/** Bytes of the first load, gzipped: the stated budget. */
const budget = 100_000

const folder = mkdtempSync(join(tmpdir(), "gatehouse-build-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const built = await buildDashboard(folder)
const html = readFileSync(join(folder, "index.html"), "utf8")

describe("the built web app", () => {
  const size = (name: string) => statSync(join(folder, `${name}.gz`)).size
  const text = (name: string) => readFileSync(join(folder, name), "utf8")
  const named = (from: string, pattern: RegExp) => Array.from(from.matchAll(pattern), ([, name]) => name!)
  const referred = named(html, /(?:src|href)="\/([^"]*)"/gu)
  const entry = referred.find((name) => name.endsWith(".js"))!
  const screens = named(text(entry), /import\("\/([^"]+)"\)/gu)

  test("loads first within 100 kB gzip, whichever screen is the first", () => {
    const closure = (start: ReadonlyArray<string>): ReadonlySet<string> => {
      const found = new Set(start)
      for (const name of found) {
        if (name.endsWith(".js")) for (const next of named(text(name), /(?:from|import)"\/([^"]+)"/gu)) found.add(next)
      }
      return found
    }
    const loads = screens.map((screen) =>
      [...closure(["index.html", ...referred, screen])].reduce((sum, name) => sum + size(name), 0)
    )
    expect(built.gzipBytes).toBe(Math.max(...loads))
    console.log(`dashboard first load: ${(built.gzipBytes / 1000).toFixed(1)} kB gzip of ${budget / 1000} kB`)
    expect(built.gzipBytes).toBeLessThanOrEqual(budget)
  })

  test("brings a screen only when it is shown", () => {
    expect(screens.length).toBeGreaterThan(5)
    expect(text(entry)).not.toContain("uplot")
    for (const screen of screens) expect(referred).not.toContain(screen)
  })

  test("has a page, a script, a style and an icon, all but the page named by content", () => {
    expect(built.files).toContain("index.html")
    for (const kind of ["js", "css", "svg"]) {
      const hashed = new RegExp(`^[A-Za-z]+-[a-z0-9]{8}\\.${kind}$`, "u")
      const ofKind = built.files.filter((name) => name.endsWith(`.${kind}`))
      expect(ofKind.filter((name) => hashed.test(name))).toEqual(ofKind)
      expect(referred.filter((name) => name.endsWith(`.${kind}`))).toHaveLength(1)
    }
  })

  test("refers to its files by absolute paths, so that a page of any depth works", () => {
    const references = [...html.matchAll(/(?:src|href)="([^"]*)"/gu)].map(([, reference]) => reference!)
    for (const name of built.files.filter((name) => name.endsWith(".js"))) {
      references.push(...named(text(name), /(?:from|import)\(?"([^"]+\.js)"/gu))
    }
    expect(references.filter((reference) => !built.files.includes(reference.slice(1)))).toEqual([])
    expect(references.every((reference) => reference.startsWith("/"))).toBe(true)
  })

  test("has no inline script and no inline style, which the gateway's policy would refuse", () => {
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)/u)
    expect(html).not.toMatch(/<style|\bstyle=|\bon[a-z]+=/u)
  })

  test("each file has a gzip sibling that is the same file", () => {
    for (const name of built.files) {
      expect(gunzipSync(readFileSync(join(folder, `${name}.gz`))).equals(readFileSync(join(folder, name)))).toBe(true)
    }
  })

  test("is not built again while no source has changed, and is when a file is missing", async () => {
    const page = join(folder, "index.html")
    const before = statSync(page).mtimeMs
    expect(await buildDashboard(folder)).toEqual(built)
    expect(statSync(page).mtimeMs).toBe(before)
    rmSync(page)
    expect(await buildDashboard(folder)).toEqual(built)
    expect(readFileSync(page, "utf8")).toBe(html)
  })
})
