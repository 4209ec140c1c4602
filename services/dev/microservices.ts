/** The team's own services, a line each: where one is here, `gatehouse <name>` runs it, and a development start has it behind the gateway with a schema, a key and a route of its own. */
import type { Env } from "#shared/config.ts"
import type { Service } from "#shared/service.ts"

/** Imported only when it is asked for. */
type Load = () => Promise<{ readonly make: (env: Env) => Promise<Service> }>

export const microservices = {
  hello: () => import("#hello/service.ts")
} satisfies Readonly<Record<string, Load>>

export type Microservice = keyof typeof microservices

/** By name. */
export const microserviceNames = Object.keys(microservices) as ReadonlyArray<Microservice>
