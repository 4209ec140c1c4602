/** A KV v2 server in memory with the answers of a real one (Vault's HTTP API), whose every request is counted; it passes the same suite as the real one. */
import { randomBytes } from "node:crypto"
import { makeAuthority } from "#test/shared/certificates.ts"
import { type KvTarget, makeKvFiles } from "./kvServer.ts"

interface Version {
  readonly data: Readonly<Record<string, unknown>>
  deleted: boolean
}

export interface PlayedKvServer extends KvTarget {
  /** Requests by kind since the last `forgetCounts`. */
  readonly counts: { logins: number; renewals: number; reads: number }
  /** What the next answers are like: seconds that tokens live, what is answered instead of anything, and who is told of a request. */
  readonly behaviour: { lease: number; renewable: boolean; instead: Response | undefined; onAsked: () => void }
  /** Another certificate authority's file: what it signs is not this server. */
  readonly otherCaFile: string
  /** Takes the server away and brings it back at the same address. */
  readonly goAway: () => Promise<void>
  readonly comeBack: () => void
}

const errors = (status: number, ...messages: ReadonlyArray<string>) => Response.json({ errors: messages }, { status })

export const playKvServer = (): PlayedKvServer => {
  const files = makeKvFiles()
  const certificate = files.authority.issue({ name: "kv", hosts: ["127.0.0.1"] })
  const jwt = randomBytes(24).toString("hex")
  const secrets = new Map<string, Array<Version>>()
  const tokens = new Set<string>()
  const counts = { logins: 0, renewals: 0, reads: 0 }
  const behaviour: PlayedKvServer["behaviour"] = { lease: 3600, renewable: true, instead: undefined, onAsked: () => {} }
  let sealed = false

  const auth = (token: string) =>
    Response.json({ auth: { client_token: token, lease_duration: behaviour.lease, renewable: behaviour.renewable } })

  const logIn = async (request: Request) => {
    counts.logins++
    const { jwt: shown, role } = (await request.json()) as { readonly jwt: string; readonly role: string }
    if (role !== "app") return errors(400, `invalid role name "${role}"`)
    if (shown !== jwt) return errors(403, "permission denied")
    const token = `hvs.${randomBytes(24).toString("hex")}`
    tokens.add(token)
    return auth(token)
  }

  const read = (path: string, version: string | null) => {
    counts.reads++
    if (!path.startsWith("app/")) return errors(403, "1 error occurred:\n\t* permission denied\n\n")
    const versions = secrets.get(path) ?? []
    const number = version === null ? versions.length : Number(version)
    const found = versions[number - 1]
    if (found === undefined) return errors(404)
    const metadata = { version: number, deletion_time: found.deleted ? "2026-01-01T00:00:00Z" : "", destroyed: false }
    const data = found.deleted ? null : found.data
    return Response.json({ data: { data, metadata } }, { status: found.deleted ? 404 : 200 })
  }

  const answer = (request: Request): Response | Promise<Response> => {
    behaviour.onAsked()
    if (behaviour.instead !== undefined) return behaviour.instead.clone()
    if (sealed) return errors(503, "Vault is sealed")
    const { pathname, searchParams } = new URL(request.url)
    if (pathname === "/v1/auth/kubernetes/login") return logIn(request)
    const token = request.headers.get("x-vault-token") ?? ""
    if (!tokens.has(token)) return errors(403, "permission denied", "invalid token")
    if (pathname === "/v1/auth/token/renew-self") {
      counts.renewals++
      return auth(token)
    }
    const path = /^\/v1\/secret\/data\/(.+)$/u.exec(pathname)?.[1]
    return path === undefined ? errors(404, "no handler for route") : read(path, searchParams.get("version"))
  }

  const listen = (port: number) =>
    Bun.serve({ hostname: "127.0.0.1", port, tls: { cert: certificate.cert, key: certificate.key }, fetch: answer })
  let server = listen(0)
  const port = server.port!

  return {
    address: `https://127.0.0.1:${port}`,
    caFile: files.write("ca.pem", files.authority.cert),
    otherCaFile: files.write("other.pem", makeAuthority("somebody else").cert),
    role: "app",
    tokenFile: files.write("token", jwt),
    counts,
    behaviour,
    put: async (path, values) => {
      secrets.set(path, [...(secrets.get(path) ?? []), { data: values, deleted: false }])
    },
    remove: async (path) => {
      const newest = secrets.get(path)?.at(-1)
      if (newest !== undefined) newest.deleted = true
    },
    seal: async () => void (sealed = true),
    unseal: async () => void (sealed = false),
    revokeTokens: async () => tokens.clear(),
    goAway: () => server.stop(true),
    comeBack: () => void (server = listen(port)),
    stop: async () => {
      await server.stop(true)
      files.remove()
    }
  }
}
