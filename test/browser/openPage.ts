/** One chromium and a fresh stub for each page a test opens; closes all of it, and reports what the page complained about. */
import { afterAll, afterEach, beforeAll, expect } from "bun:test"
import { rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { buildDashboard } from "#dashboard/build.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { chromiumPath, startChromium } from "./chromium.ts"
import { startStubGateway, type StubGateway, type StubOptions } from "./stubGateway.ts"

/** Milliseconds a test waits for what it expects on the page. */
const patience = 15_000

/** Milliseconds for a whole test or hook: more than one patience, because a timeout ends the browser of all tests. */
const limit = 60_000

const { test: testWithChromium } = skipUnless(chromiumPath !== undefined, "there is no chromium on this machine")

/** A test that needs a browser; skipped, with the reason, where there is none. */
export const browserTest = (name: string, run: () => Promise<void>): void => testWithChromium(name, run, limit)

export interface Opened {
  readonly page: Page
  readonly stub: StubGateway
}

interface OpenOptions extends Omit<StubOptions, "assets">, BrowserContextOptions {
  /** Called before the page is loaded. */
  readonly before?: (stub: StubGateway) => void
}

/** Call once in each test file. A console error of the page fails the test, except those of refused requests. */
export const usePages = () => {
  let browser: Browser
  const assets = join(tmpdir(), `gatehouse-dashboard-${process.pid}`)
  const closing: Array<() => Promise<void>> = []
  const complaints: Array<string> = []

  beforeAll(async () => {
    if (chromiumPath === undefined) return
    await buildDashboard(assets)
    browser = await startChromium()
  }, limit)
  afterEach(async () => {
    await Promise.all(closing.splice(0).map((close) => close()))
    expect(complaints.splice(0)).toEqual([])
  }, limit)
  afterAll(async () => {
    await browser?.close()
    rmSync(assets, { recursive: true, force: true })
  }, limit)

  return async (path: string, { as, before, environment, rights, ...context }: OpenOptions = {}): Promise<Opened> => {
    const stub = await startStubGateway({
      assets,
      ...(as === undefined ? {} : { as }),
      ...(environment === undefined ? {} : { environment }),
      ...(rights === undefined ? {} : { rights })
    })
    before?.(stub)
    const opened = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      reducedMotion: "reduce",
      ...context
    })
    closing.push(async () => {
      await opened.close()
      await stub.stop()
    })
    const page = await opened.newPage()
    page.setDefaultTimeout(patience)
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("console", (message) => {
      const text = message.text()
      if (message.type() === "error" && !text.startsWith("Failed to load resource")) complaints.push(text)
    })
    await page.goto(stub.origin + path)
    return { page, stub }
  }
}
