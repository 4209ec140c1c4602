/** The dashboard's process entry: builds the service from its environment; must bind no port and name no runtime. */
import { make } from "./service.ts"

const service = await make()
export const { dispose, drain, fetch, internal } = service
export default { fetch }
