/** Admin in a process of its own, to be killed: tells its port. */
import { make } from "#admin/service.ts"
import { listen } from "#shared/bun.ts"

const listener = listen(await make(), { hostname: "127.0.0.1", port: 0 })
process.send?.({ port: listener.port })
