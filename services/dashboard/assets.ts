/** The built web app in memory: reads the folder once at the start; must touch no file afterwards, so no path can reach the disk. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { extname, join } from "node:path"
import { Effect } from "effect"
import { ConfigInvalid } from "#shared/config.ts"

const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".json": "application/json",
  ".txt": "text/plain; charset=utf-8"
}

/** One representation: its bytes and their entity tag (RFC 9110 §8.8.3), which differs per coding. */
export interface Variant {
  readonly body: Uint8Array<ArrayBuffer>
  readonly etag: string
}

export interface Asset {
  readonly contentType: string
  readonly cacheControl: string
  readonly plain: Variant
  readonly gzip: Variant | undefined
}

export interface Assets {
  readonly index: Asset
  /** By path, with the leading slash. */
  readonly files: ReadonlyMap<string, Asset>
}

/** Whether a path names a file of a kind the web app has; such a path is never answered with the page. */
export const namesFile = (path: string): boolean => contentTypes[extname(path)] !== undefined

/** The bundler puts 8 characters of content hash before the extension. */
const hashed = /-[a-z0-9]{8}\.[a-z0-9]+$/u

const variant = (path: string): Variant => {
  const body = new Uint8Array(readFileSync(path))
  return { body, etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"` }
}

const read = (folder: string): Assets | undefined => {
  const names = new Set(readdirSync(folder))
  const files = new Map<string, Asset>()
  for (const name of names) {
    const contentType = contentTypes[extname(name)]
    if (contentType === undefined || name.startsWith(".")) continue
    files.set(`/${name}`, {
      contentType,
      cacheControl: hashed.test(name) ? "public, max-age=31536000, immutable" : "no-cache",
      plain: variant(join(folder, name)),
      gzip: names.has(`${name}.gz`) ? variant(join(folder, `${name}.gz`)) : undefined
    })
  }
  const index = files.get("/index.html")
  return index && { index, files }
}

/** The files of `folder`; without an index.html the start stops. */
export const readAssets = (folder: string): Effect.Effect<Assets, ConfigInvalid> =>
  Effect.suspend(() => {
    let assets: Assets | undefined
    try {
      assets = read(folder)
    } catch {
      assets = undefined
    }
    if (assets !== undefined) return Effect.succeed(assets)
    const detail = `no built web app in ${folder}; build it with: bun services/dashboard/build.ts`
    return Effect.fail(new ConfigInvalid({ key: "DASHBOARD_ASSETS", detail }))
  })
