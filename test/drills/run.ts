/** `bun run drill [name]`: runs one recovery drill or all of them, each in its own process; the last line of each is one JSON object, and a broken promise is exit 1. */
import { readdirSync } from "node:fs"

const folder = import.meta.dir
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".drill.ts"))
  .map((file) => file.replace(".drill.ts", ""))
const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  console.error(`no drill ${unknown.join(", ")}; there are: ${names.join(", ")}`)
  process.exit(1)
}
let code = 0
for (const name of asked.length > 0 ? asked : names) {
  console.log(`drill ${name}`)
  const { exitCode } = Bun.spawnSync([process.execPath, `${folder}/${name}.drill.ts`], {
    stdio: ["ignore", "inherit", "inherit"]
  })
  if (exitCode !== 0) code = 1
}
process.exit(code)
