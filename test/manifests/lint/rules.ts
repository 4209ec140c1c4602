/** Every rule of the lint, in the order of its table. */
import { access } from "./access.ts"
import { availability } from "./availability.ts"
import { containerRules } from "./containers.ts"
import { network } from "./network.ts"
import { anyObject } from "./objects.ts"
import { podSecurity } from "./podSecurity.ts"
import type { Rule } from "./rule.ts"

export const rules: ReadonlyArray<Rule> = [
  ...podSecurity,
  ...containerRules,
  ...availability,
  ...network,
  ...access,
  ...anyObject
]
