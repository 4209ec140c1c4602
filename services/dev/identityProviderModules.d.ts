/**
 * The part of oidc-provider, which ships no types, that the development identity provider uses. By its inner modules, because
 * the index only adds a warning on standard error under any runtime but Node.js.
 */
declare module "oidc-provider/lib/provider.js" {
  import type { IncomingMessage, ServerResponse } from "node:http"

  export type Context = {
    readonly method: string
    readonly path: string
    query: Record<string, unknown>
    body: unknown
    readonly request: { readonly header: Record<string, string | undefined> }
    set(headers: Record<string, string>): void
    readonly oidc: {
      readonly provider: Provider
      readonly client: { readonly clientId: string }
      readonly session: { readonly accountId: string }
      readonly entities: { readonly IdTokenHint?: unknown }
      readonly result?: { readonly login?: unknown }
    }
  }

  export type Interaction = {
    readonly uid: string
    readonly prompt: { readonly name: string }
    readonly params: Readonly<Record<string, unknown>>
    session?: { readonly uid: string } | undefined
    save(ttl: number): Promise<string>
  }

  export class Provider {
    constructor(issuer: string, configuration: Record<string, unknown>)
    readonly Grant: new (properties: { readonly clientId: string; readonly accountId: string }) => {
      addOIDCScope(scope: string): void
      save(): Promise<string>
    }
    readonly Session: { findByUid(uid: string): Promise<{ destroy(): Promise<void> } | undefined> }
    proxy: boolean
    use(middleware: (context: Context, next: () => Promise<void>) => Promise<void>): void
    on(event: "error", listener: (error: Error) => void): void
    on(event: "server_error", listener: (context: Context, error: Error) => void): void
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>
    interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>
  }
}

declare module "oidc-provider/lib/helpers/interaction_policy/index.js" {
  import type { Context } from "oidc-provider/lib/provider.js"

  export class Check {
    static readonly REQUEST_PROMPT: boolean
    static readonly NO_NEED_TO_PROMPT: boolean
    constructor(reason: string, description: string, check: (context: Context) => boolean)
  }
  export const base: () => { get(prompt: string): { readonly checks: { add(check: Check): void } } }
}

declare module "oidc-provider/lib/adapters/memory_adapter.js" {
  export const createMemoryAdapter: () => unknown
}
