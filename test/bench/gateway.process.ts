/** The gateway as it runs in production, configured by its environment. */
import { make } from "#gateway/service.ts"
import { listen } from "#shared/bun.ts"
import { report } from "./measured.ts"

report(listen(await make(), { hostname: "127.0.0.1", port: Number(process.env["PORT"]) }).port)
