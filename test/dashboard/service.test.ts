/** The dashboard's service over its public surface: who is let in, what a path gives, how it is cached. */
import { afterAll, describe, expect, test } from "bun:test"
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { buildDashboard } from "#dashboard/build.ts"
import { make } from "#dashboard/service.ts"
import { identityHeader } from "#shared/auth.ts"
import { listen } from "#shared/bun.ts"
import { makeIdentityTokens } from "./identityTokens.ts"

const issuer = "https://gatehouse.test"
const environment = "prod"
const tokens = makeIdentityTokens(issuer, environment)
const folder = mkdtempSync(join(tmpdir(), "gatehouse-dashboard-"))
const assets = join(folder, "dist")
const { files } = await buildDashboard(assets)
writeFileSync(join(folder, "secret.txt"), "not for the web")

const keys = listen(
  {
    name: "keys",
    fetch: () => Response.json(tokens.jwks),
    internal: async () => new Response(null, { status: 404 }),
    drain: () => {},
    dispose: async () => {}
  },
  { hostname: "127.0.0.1", port: 0 }
)
const env = {
  DASHBOARD_ASSETS: assets,
  ENVIRONMENT: environment,
  IDENTITY_ISSUER: issuer,
  IDENTITY_JWKS_URL: `http://127.0.0.1:${keys.port}/.well-known/jwks.json`
}
const service = await make(env)
afterAll(async () => {
  await service.dispose()
  await keys.stop(0)
  rmSync(folder, { recursive: true, force: true })
})

const ask = (
  path: string,
  init: RequestInit & { readonly headers?: Record<string, string> } = {},
  scope = "dashboard:read"
) =>
  service.fetch(
    new Request(`http://dashboard${path}`, {
      ...init,
      headers: { [identityHeader]: tokens.token({ scope }), ...init.headers }
    })
  )
const script = `/${files.find((name) => name.endsWith(".js"))!}`

describe("who is let in", () => {
  test("nobody without an identity token, not even to a file", async () => {
    for (const path of ["/", script, "/no-such-file.js"]) {
      const response = await service.fetch(new Request(`http://dashboard${path}`))
      expect(response.status).toBe(401)
      expect(response.headers.get("content-type")).toBe("application/problem+json")
    }
  })

  test("nobody with a token for another service", async () => {
    const token = tokens.token({ scope: "dashboard:read", audience: `monitor.${environment}` })
    expect((await ask("/", { headers: { [identityHeader]: token } })).status).toBe(401)
  })

  test("nobody without the right dashboard:read, also if it is denied", async () => {
    expect((await ask("/", {}, "monitor:read")).status).toBe(403)
    expect((await ask("/", {}, "dashboard:* !dashboard:read")).status).toBe(403)
  })
})

describe("paths", () => {
  test("every page of the app is the same document, at any depth", async () => {
    const index = await (await ask("/")).text()
    expect(index).toStartWith("<!doctype html>")
    for (const path of [
      "/index.html",
      "/sessions",
      "/access/",
      "/workloads/shop/web-1.2",
      "/workloads/dev/Deployment/web.js",
      "/a/b/c/d?x=1"
    ]) {
      const response = await ask(path)
      expect(response.status).toBe(200)
      expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8")
      expect(await response.text()).toBe(index)
    }
  })

  test("a file that does not exist is not answered with the page", async () => {
    for (const path of ["/old-abcdefgh.js", "/favicon.ico", "/.build.json", "/secret.txt"]) {
      expect((await ask(path)).status).toBe(404)
    }
  })

  test("no path leads out of the folder", async () => {
    const ways = [
      "/../secret.txt",
      "/%2e%2e/secret.txt",
      "/..%2fsecret.txt",
      "/%2e%2e%2fsecret.txt",
      "/..%5csecret.txt",
      "/assets/..%2f..%2f..%2fetc/passwd",
      "/%252e%252e%252fetc/passwd",
      "//etc/passwd",
      "/%00",
      "/a//b",
      "/a;b"
    ]
    for (const path of ways) {
      const response = await ask(path)
      expect([path, response.status]).toEqual([path, 404])
      expect(await response.text()).not.toContain("not for the web")
    }
  })

  test("only GET and HEAD are served", async () => {
    const response = await ask("/", { method: "OPTIONS" })
    expect(response.status).toBe(405)
    expect(response.headers.get("allow")).toBe("GET, HEAD")
  })

  test("HEAD tells what GET would send, without sending it", async () => {
    const get = await ask(script)
    const head = await ask(script, { method: "HEAD" })
    expect(await head.text()).toBe("")
    expect(head.headers.get("content-length")).toBe(String((await get.arrayBuffer()).byteLength))
    expect(head.headers.get("etag")).toBe(get.headers.get("etag"))
  })
})

describe("caching", () => {
  test("a file named by its content is kept for a year, the page is asked for each time", async () => {
    expect((await ask(script)).headers.get("cache-control")).toBe("public, max-age=31536000, immutable")
    expect((await ask("/")).headers.get("cache-control")).toBe("no-cache")
    expect((await ask("/sessions")).headers.get("cache-control")).toBe("no-cache")
  })

  test("an unchanged file is not sent again", async () => {
    const etag = (await ask("/")).headers.get("etag")!
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const response = await ask("/", { headers: { "if-none-match": known } })
      expect(response.status).toBe(304)
      expect(await response.text()).toBe("")
    }
    expect((await ask("/", { headers: { "if-none-match": '"other"' } })).status).toBe(200)
  })

  test("gzip is sent to those who take it, under a tag of its own", async () => {
    const plain = await ask(script)
    const packed = await ask(script, { headers: { "accept-encoding": "br, gzip;q=0.8" } })
    expect(packed.headers.get("content-encoding")).toBe("gzip")
    expect(packed.headers.get("vary")).toBe("accept-encoding")
    expect(packed.headers.get("etag")).not.toBe(plain.headers.get("etag"))
    expect(gunzipSync(await packed.arrayBuffer()).toString()).toBe(await plain.text())
    for (const refused of ["br", "gzip;q=0", "identity, *;q=0"]) {
      const response = await ask(script, { headers: { "accept-encoding": refused } })
      expect(response.headers.get("content-encoding")).toBeNull()
    }
  })
})

describe("the start", () => {
  test("a folder without a built web app stops it and says what to run", async () => {
    const empty = mkdtempSync(join(folder, "empty-"))
    for (const missing of [empty, join(folder, "nowhere")]) {
      await expect(make({ ...env, DASHBOARD_ASSETS: missing })).rejects.toThrow(/DASHBOARD_ASSETS: .*build\.ts/u)
    }
  })

  test("an unknown setting stops it", async () => {
    await expect(make({ ...env, DASHBOARD_ASSET: assets })).rejects.toThrow("DASHBOARD_ASSET: unknown setting")
  })

  test("files changed afterwards are not served: all was read at the start", async () => {
    const copy = join(folder, "copy")
    cpSync(assets, copy, { recursive: true })
    const other = await make({ ...env, DASHBOARD_ASSETS: copy })
    writeFileSync(join(copy, "index.html"), "changed")
    const response = await other.fetch(
      new Request("http://dashboard/", { headers: { [identityHeader]: tokens.token({ scope: "dashboard:read" }) } })
    )
    expect(await response.text()).toStartWith("<!doctype html>")
    await other.dispose()
  })
})
