/** `bun run bench [name]`: runs one benchmark or all of them, each in its own process; the last line of each is one JSON object of figures. */
import { readdirSync } from "node:fs"
import { pinned } from "./measured.ts"

const folder = import.meta.dir
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".bench.ts"))
  .map((file) => file.replace(".bench.ts", ""))
const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(", ")}; there are: ${names.join(", ")}`)
  process.exit(1)
}
for (const name of asked.length > 0 ? asked : names) {
  console.log(`benchmark ${name}`)
  // The load comes from another core than the one that the measured process has to itself.
  const { exitCode } = Bun.spawnSync([...pinned(1), process.execPath, `${folder}/${name}.bench.ts`], {
    stdio: ["ignore", "inherit", "inherit"]
  })
  if (exitCode !== 0) process.exit(exitCode)
}
