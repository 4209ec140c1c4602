/** services/Dockerfile makes the image that `bun run image` makes: the same configuration, and every file that its base has not. */
import { expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { buildImage } from "#dev/image/image.ts"
import { assetsPath, binaryPath, rootfs } from "#dev/image/rootfs.ts"
import { readImage } from "#test/cluster/deployment/gatehouseImage.ts"
import { stage } from "#test/shared/dockerfile.ts"

const valuesOf = (name: string) =>
  stage()
    .filter((one) => one.name === name)
    .map(({ rest }) => rest)

const configuration = () => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-dockerfile-"))
  try {
    const archive = join(folder, "image.tar")
    writeFileSync(archive, buildImage([], 0).bytes)
    return readImage(archive).config.config
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test("it sets what the image's configuration sets, and nothing else", () => {
  const { Labels: _labels, ...config } = configuration()
  const entrypoint: unknown = JSON.parse(valuesOf("ENTRYPOINT")[0]!)
  const said: unknown = {
    Entrypoint: entrypoint,
    Env: valuesOf("ENV").flatMap((line) => line.split(" ")),
    User: valuesOf("USER")[0],
    WorkingDir: valuesOf("WORKDIR")[0]
  }
  expect(said).toEqual(config)
  expect([...new Set(stage().map(({ name }) => name))].sort()).toEqual([
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "FROM",
    "USER",
    "WORKDIR"
  ])
})

test("it copies everything but what a distroless base has", () => {
  const copied = valuesOf("COPY").map((line) => {
    const [, from, to] = /^--from=build \/rootfs(\/\S+) (\/\S+)$/u.exec(line) ?? []
    expect(from).toBe(to!)
    return to!
  })
  expect(copied).toEqual([`/${binaryPath}`, `/${assetsPath.split("/").slice(0, -1).join("/")}`])
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-dockerfile-"))
  writeFileSync(join(folder, "index.html"), "")
  const others = rootfs(new Uint8Array(), folder)
    .map(({ path }) => path)
    .filter((path) => !copied.some((place) => `/${path}` === place || `/${path}`.startsWith(`${place}/`)))
  rmSync(folder, { recursive: true })
  expect(others.filter((path) => !/^lib(?:64)?\//u.test(path)).sort()).toEqual([
    "etc/group",
    "etc/nsswitch.conf",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "tmp"
  ])
  expect(valuesOf("FROM")[0]).toMatch(/^gcr\.io\/distroless\/base-debian12:nonroot@sha256:[0-9a-f]{64}$/u)
})

test("it builds as `bun run image` does, from everything that a checkout has", () => {
  const scripts = (
    JSON.parse(readFileSync(resolve(import.meta.dir, "../../../package.json"), "utf8")) as {
      readonly scripts: Readonly<Record<string, string>>
    }
  ).scripts
  expect(stage("build").slice(1)).toEqual([
    { name: "WORKDIR", rest: "/build" },
    { name: "COPY", rest: ". ." },
    { name: "RUN", rest: `${scripts["image"]} --rootfs /rootfs` }
  ])
})
