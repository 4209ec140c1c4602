/** The sample service's process entry; binds no port and names no runtime. */
import { make } from "./service.ts"

const service = await make()

export const { dispose, drain, fetch, internal } = service
export default { fetch }
