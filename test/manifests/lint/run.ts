/** `bun run k8s:lint`: every finding in the rendered environments, then the table of what is accepted and why; exit 1 on what nobody accepted. */
import { cannotRender, everything, placeOf } from "#test/manifests/render.ts"
import { exceptions, lint } from "./exceptions.ts"
import { rules } from "./rules.ts"

const missing = cannotRender()
if (missing !== undefined) {
  console.error(missing)
  process.exit(1)
}
const objects = everything()
const findings = lint(objects)
const open = findings.filter(({ exception }) => exception === undefined)
for (const { detail, object, rule } of open) console.log(`${placeOf(object)}: ${rule}: ${detail}`)
console.table(
  exceptions().map(({ object, reason, rule }) => ({
    rule,
    object,
    findings: findings.filter(({ exception }) => exception?.rule === rule && exception.object === object).length,
    reason
  }))
)
console.log(
  `${objects.length} objects, ${rules.length} rules, ${findings.length - open.length} accepted, ${open.length} open`
)
process.exit(open.length === 0 ? 0 : 1)
