/** The gateway's process entry: built eagerly from the environment, for `gatehouse gateway`, `deno serve` and any fetch host; binds no port. */
import { make } from "./service.ts"

export const { dispose, drain, fetch, internal, name } = await make()
export default { fetch }
