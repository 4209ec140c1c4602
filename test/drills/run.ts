/** `bun run drill [name]`: runs one recovery drill or all of them, each in its own process; the last line of each is one JSON object, and a broken promise is exit 1. All of them end with a sum. */
import { readdirSync } from "node:fs"

const folder = import.meta.dir
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".drill.ts"))
  .map((file) => file.replace(".drill.ts", ""))
const args = process.argv.slice(2)
/** `--cluster`, `--kill`: what one drill understands is its own. */
const flags = args.filter((arg) => arg.startsWith("--"))
const asked = args.filter((arg) => !arg.startsWith("--"))
const unknown = asked.filter((name) => !names.includes(name))
if (unknown.length > 0 || (flags.length > 0 && asked.length !== 1)) {
  const complaint =
    unknown.length > 0 ? `no drill ${unknown.join(", ")}` : `${flags.join(" ")} needs the name of one drill`
  console.error(`${complaint}; there are: ${names.join(", ")}`)
  process.exit(1)
}
let failed = 0
let skipped = 0
const chosen = asked.length > 0 ? asked : names
for (const name of chosen) {
  console.log(`drill ${name}`)
  const drill = Bun.spawn([process.execPath, `${folder}/${name}.drill.ts`, ...flags], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  let last = ""
  for await (const part of drill.stdout.pipeThrough(new TextDecoderStream())) {
    process.stdout.write(part)
    last = `${last}${part}`.trimEnd().split("\n").at(-1)!
  }
  if ((await drill.exited) !== 0) {
    console.log(`failed: drill ${name}`)
    failed++
  } else if (last.startsWith('{"skipped":')) skipped++
}
if (asked.length === 0) console.log(`${chosen.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`)
process.exit(failed === 0 ? 0 : 1)
