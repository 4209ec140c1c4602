/** The cache of built programs and the images made of them: once per content, whole or not at all, the same bytes again. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, describe, expect, test } from "bun:test"
import { imageArchive } from "#test/cluster/images.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-build-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const buildApart = (cache: string, path = process.env["PATH"]) => {
  const script = `import { build } from "${resolve(import.meta.dir, "build.ts")}"; console.log(await build("workload"))`
  return Bun.spawn([process.execPath, "-e", script], {
    cwd: resolve(import.meta.dir, "../.."),
    env: { ...process.env, PATH: path, GATEHOUSE_CACHE: cache },
    stdio: ["ignore", "pipe", "pipe"]
  })
}
const outputOf = async (child: ReturnType<typeof buildApart>) => {
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, stdout: stdout.trim(), stderr }
}

describe("a build", () => {
  test("is made once by two processes at the same time, and leaves no lock", async () => {
    const cache = join(folder, "together")
    const both = await Promise.all([outputOf(buildApart(cache)), outputOf(buildApart(cache))])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(both[0].stdout).toBe(both[1].stdout)
    expect(both.filter(({ stderr }) => stderr.includes("building workload"))).toHaveLength(1)
    expect(readdirSync(join(cache, "cluster"))).toEqual([expect.stringMatching(/^workload-[0-9a-f]{16}$/u)])
  })

  test("goes on past the lock of a dead process", async () => {
    const cache = join(folder, "dead")
    const first = await outputOf(buildApart(cache))
    const built = resolve(first.stdout, "..")
    rmSync(built, { recursive: true })
    writeFileSync(`${built}.lock`, "4194303-1")
    expect((await outputOf(buildApart(cache))).stdout).toBe(first.stdout)
    expect(readdirSync(join(cache, "cluster"))).toHaveLength(1)
  })

  test("that fails leaves nothing in the cache, and says why", async () => {
    const cache = join(folder, "failed")
    const fake = mkdtempSync(join(folder, "go-"))
    const script =
      '#!/bin/sh\nif [ "$1" = version ]; then echo go version go1.99.0 test/test; else echo no disk >&2; exit 1; fi\n'
    writeFileSync(join(fake, "go"), script, { mode: 0o755 })
    const { code, stderr } = await outputOf(buildApart(cache, `${fake}:${process.env["PATH"]}`))
    expect(code).not.toBe(0)
    expect(stderr).toContain("no disk")
    expect(readdirSync(join(cache, "cluster"))).toEqual([])
  })

  test("is not tried with a Go that is too old", async () => {
    const fake = mkdtempSync(join(folder, "old-"))
    writeFileSync(join(fake, "go"), "#!/bin/sh\necho go version go1.19.8 linux/amd64\n", { mode: 0o755 })
    const { code, stderr } = await outputOf(buildApart(join(folder, "old"), `${fake}:${process.env["PATH"]}`))
    expect(code).not.toBe(0)
    expect(stderr).toContain("no Go toolchain")
  })
})

describe("an image archive", () => {
  const source = join(folder, "program")
  writeFileSync(source, "#!/bin/sh\n")
  const image = { name: "docker.io/gatehouse/a:1", files: { "/bin/a/program": source }, entrypoint: ["/bin/a/program"] }

  test("is the same for the same content", () => {
    const before = imageArchive([image])
    writeFileSync(source, "#!/bin/sh\n")
    expect(imageArchive([image]).equals(before)).toBe(true)
  })

  test("is read by tar: a manifest, a configuration and a layer with the file and its folders", async () => {
    const archive = join(folder, "image.tar")
    writeFileSync(archive, imageArchive([image, { ...image, name: "docker.io/gatehouse/a:2", command: ["x"] }]))
    const unpacked = mkdtempSync(join(folder, "unpacked-"))
    expect(Bun.spawnSync(["tar", "-xf", archive, "-C", unpacked]).exitCode).toBe(0)
    const manifest = JSON.parse(readFileSync(join(unpacked, "manifest.json"), "utf8"))
    expect(manifest).toHaveLength(2)
    expect(manifest[1]).toMatchObject({ RepoTags: ["docker.io/gatehouse/a:2"] })
    // Shared by both, and so there once.
    expect(manifest[0].Layers).toEqual(manifest[1].Layers)
    expect(readdirSync(unpacked)).toHaveLength(4)
    const layer = Bun.spawnSync(["tar", "-tvf", join(unpacked, manifest[0].Layers[0])]).stdout.toString()
    expect(layer).toMatch(
      /^drwxr-xr-x 0\/0 +0 1970-01-01 00:00 bin\/\n.* bin\/a\/\n-rwxr-xr-x 0\/0 +10 .* bin\/a\/program\n$/u
    )
  })
})
