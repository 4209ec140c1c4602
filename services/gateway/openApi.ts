/** One OpenAPI description of the gateway and all services; a service that is away is left out and named. */
import type { RouteTable } from "./routeTable.ts"

/** Placeholder until services describe themselves: see makeOpenApi. */
export const makeOpenApi = (publicUrl: string, _routes: () => RouteTable) => async (): Promise<object> => ({
  openapi: "3.1.0",
  info: { title: "Gatehouse", version: "1" },
  servers: [{ url: publicUrl }],
  paths: {}
})
