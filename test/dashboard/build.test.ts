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
  test("loads first within 100 kB gzip", () => {
    const measured = built.files.reduce((sum, name) => sum + statSync(join(folder, `${name}.gz`)).size, 0)
    expect(built.gzipBytes).toBe(measured)
    console.log(`dashboard first load: ${(measured / 1000).toFixed(1)} kB gzip of ${budget / 1000} kB`)
    expect(measured).toBeLessThanOrEqual(budget)
  })

  test("has a page, a script, a style and an icon, all but the page named by content", () => {
    expect(built.files).toContain("index.html")
    for (const kind of ["js", "css", "svg"]) {
      expect(built.files.filter((name) => new RegExp(`^[a-z]+-[a-z0-9]{8}\\.${kind}$`, "u").test(name))).toHaveLength(1)
    }
  })

  test("refers to its files by absolute paths, so that a page of any depth works", () => {
    const references = [...html.matchAll(/(?:src|href)="([^"]*)"/gu)].map(([, reference]) => reference)
    expect(references.sort()).toEqual(
      built.files
        .filter((name) => name !== "index.html")
        .map((name) => `/${name}`)
        .sort()
    )
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
