/** The root file system of the image: the executable, the C library it is linked with, certificates, one user; must hold no shell and nothing of the machine but the library. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { rootCertificates } from "node:tls"
import type { Entry } from "./tar.ts"

/** Who every process of the image is. */
export const user = 65_532
export const binaryPath = "usr/local/bin/gatehouse"
export const assetsPath = "usr/share/gatehouse/dashboard"
const certificatesPath = "etc/ssl/certs/ca-certificates.crt"

/** By the machine's processor: glibc's folder and loader, as Debian and the ELF header name them. */
const libraries = {
  x64: { folder: "lib/x86_64-linux-gnu", loader: "lib64/ld-linux-x86-64.so.2" },
  arm64: { folder: "lib/aarch64-linux-gnu", loader: "lib/ld-linux-aarch64.so.1" }
} as const

/** What the executable names, and what glibc loads by itself to look up host names (part of libc since 2.34). */
const needed = ["libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0"]
const onDemand = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"]

/** This machine's glibc; throws where there is none. */
const glibc = (): ReadonlyArray<Entry> => {
  const { arch, platform } = process
  const place = platform === "linux" && (arch === "x64" || arch === "arm64") ? libraries[arch] : undefined
  // Elsewhere than on Debian the libraries lie in other folders; in the image they are where the loader looks first.
  const folders = place === undefined ? [] : [place.folder, "lib64", "usr/lib64", "usr/lib", "lib"]
  const find = (name: string) => folders.map((folder) => join("/", folder, name)).find((path) => existsSync(path))
  const missing = needed.filter((name) => find(name) === undefined)
  if (place === undefined || missing.length > 0 || !existsSync(join("/", place.loader))) {
    throw new Error("an image is built here on Linux with glibc only; elsewhere use services/Dockerfile")
  }
  return [
    { path: place.loader, data: readFileSync(join("/", place.loader)), mode: 0o755 },
    ...[...needed, ...onDemand].flatMap((name) => {
      const path = find(name)
      return path === undefined ? [] : [{ path: `${place.folder}/${name}`, data: readFileSync(path), mode: 0o755 }]
    })
  ]
}

const text = (path: string, content: string): Entry => ({ path, data: Buffer.from(content) })

/** Everything in the image; `assets` is the folder of the built web app. */
export const rootfs = (executable: Uint8Array, assets: string): ReadonlyArray<Entry> => [
  ...glibc(),
  { path: binaryPath, data: executable, mode: 0o755 },
  ...readdirSync(assets)
    .filter((name) => !name.startsWith("."))
    .map((name) => ({ path: `${assetsPath}/${name}`, data: readFileSync(join(assets, name)) })),
  // Mozilla's list as this version of Bun holds it, so that the image does not depend on the machine's.
  text(certificatesPath, `${rootCertificates.map((certificate) => certificate.trim()).join("\n")}\n`),
  text("etc/passwd", `root:x:0:0:root:/:/sbin/nologin\ngatehouse:x:${user}:${user}:gatehouse:/tmp:/sbin/nologin\n`),
  text("etc/group", `root:x:0:\ngatehouse:x:${user}:\n`),
  text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
  { path: "tmp", mode: 0o1777 }
]

/** The environment that the image sets; `services/Dockerfile` sets the same. */
export const environment: Readonly<Record<string, string>> = {
  PATH: "/usr/local/bin",
  SSL_CERT_FILE: `/${certificatesPath}`,
  DASHBOARD_ASSETS: `/${assetsPath}`,
  // As the bootstrap does: a gateway has as many requests under way as clients at its door.
  BUN_CONFIG_MAX_HTTP_REQUESTS: "65000"
}
