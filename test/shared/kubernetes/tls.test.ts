/** The client's connections, on real sockets: TLS is verified or nothing is sent, credentials rotate, no connection leaks. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Stream } from "effect"
import { makeKubernetes } from "#shared/kubernetes/client.ts"
import { connectionOf } from "#shared/kubernetes/config.ts"
import { type Access, readKubeconfig } from "#shared/kubernetes/kubeconfig.ts"
import type { Kubernetes, KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import { resources } from "#shared/kubernetes/objects.ts"
import { type Certificate, makeAuthority } from "#test/shared/certificates.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

const authority = makeAuthority("cluster")
const stranger = makeAuthority("stranger")
const good = authority.issue({ name: "kube-apiserver", hosts: ["127.0.0.1", "localhost"] })
const folder = mkdtempSync(join(tmpdir(), "gatehouse-tls-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Seen {
  readonly method: string
  readonly url: string
  readonly authorization: string | undefined
  readonly body: string
}
interface ApiServer {
  readonly port: number
  readonly seen: ReadonlyArray<Seen>
  readonly open: () => number
  readonly made: () => number
}
const running: Array<{ readonly server: Server; readonly sockets: Set<Socket> }> = []
afterEach(async () => {
  for (const { server, sockets } of running.splice(0)) {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** Answers each request with a ConfigMap; /follow with a stream that does not end; a token other than `token` with 401. */
const serve = async (
  certificate: Certificate,
  options: { readonly clients?: string; readonly token?: () => string } = {}
) => {
  const seen: Array<Seen> = []
  const sockets = new Set<Socket>()
  let made = 0
  const server = createServer(
    {
      cert: certificate.cert,
      key: certificate.key,
      ...(options.clients === undefined ? {} : { ca: options.clients, requestCert: true, rejectUnauthorized: true })
    },
    (request, response) => {
      let body = ""
      request.on("data", (chunk: Buffer) => (body += chunk.toString()))
      request.on("end", () => {
        const { authorization } = request.headers
        seen.push({ method: request.method!, url: request.url!, authorization, body })
        if (options.token !== undefined && authorization !== `Bearer ${options.token()}`) {
          response
            .writeHead(401, { "content-type": "application/json" })
            .end('{"kind":"Status","message":"Unauthorized"}')
        } else if (request.url!.includes("/log")) {
          response.writeHead(200, { "content-type": "text/plain" }).write("first\n")
        } else if (request.url!.includes("/missing")) {
          response.writeHead(404, { "content-type": "application/json" }).end('{"kind":"Status","message":"gone"}')
        } else if (request.url!.includes("/moved")) {
          response.writeHead(302, { location: "/elsewhere" }).end()
        } else {
          const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x" }, data: {} }
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(object))
        }
      })
    }
  )
  server.on("connection", (socket: Socket) => {
    made += 1
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  running.push({ server, sockets })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return { port, seen, open: () => sockets.size, made: () => made } satisfies ApiServer
}

const access = (port: number, more: Partial<Access> = {}): Access => ({
  server: `https://127.0.0.1:${port}`,
  serverName: undefined,
  ca: { text: authority.cert },
  cert: undefined,
  key: undefined,
  token: { text: "secret-token" },
  exec: undefined,
  ...more
})
const clientOf = (to: Access) => Effect.runPromise(makeKubernetes(connectionOf(to)))
const place = (name: string) => ({ resource: resources.ConfigMap, namespace: "dev", name })
const write = (kubernetes: Kubernetes["Service"]) =>
  kubernetes.create(
    { resource: resources.Secret, namespace: "dev" },
    { apiVersion: "v1", kind: "Secret", metadata: { name: "x" }, stringData: { password: "hunter2" } }
  )
const failureOf = <A>(effect: Effect.Effect<A, KubernetesFailed>) => Effect.runPromise(Effect.flip(effect))

describe("a certificate of the cluster's own authority", () => {
  test("is trusted, and only then credentials and body go out", async () => {
    const server = await serve(good)
    const kubernetes = await clientOf(access(server.port))
    await Effect.runPromise(write(kubernetes))
    expect(server.seen).toMatchObject([{ method: "POST", authorization: "Bearer secret-token" }])
    expect(server.seen[0]!.body).toContain("hunter2")
  })
  test("is trusted under the name that the kubeconfig gives it", async () => {
    const server = await serve(authority.issue({ name: "x", hosts: ["kubernetes.internal"] }))
    const kubernetes = await clientOf(access(server.port, { serverName: "kubernetes.internal" }))
    await Effect.runPromise(kubernetes.get(place("x")))
    expect(server.seen).toHaveLength(1)
  })
})

describe("security: nothing is sent to a server", () => {
  const expired = authority.issue({ name: "x", hosts: ["127.0.0.1"], notAfter: new Date(Date.now() - 3_600_000) })
  const cases: ReadonlyArray<readonly [string, Certificate, Partial<Access>]> = [
    ["of another authority", stranger.issue({ name: "x", hosts: ["127.0.0.1"] }), {}],
    ["that only the machine's authorities could vouch for", good, { ca: undefined }],
    ["whose certificate has expired", expired, {}],
    ["whose certificate is for another name", authority.issue({ name: "x", hosts: ["10.43.0.1", "example.com"] }), {}],
    ["whose certificate names no host", authority.issue({ name: "127.0.0.1" }), {}],
    ["with a name that is not the expected one", good, { serverName: "kubernetes.internal" }]
  ]
  test.each(cases)("%s", async (_, certificate, more) => {
    const server = await serve(certificate)
    const kubernetes = await clientOf(access(server.port, more))
    const failed = await failureOf(write(kubernetes))
    expect(failed).toMatchObject({ reason: "unreachable", status: null, sent: false })
    expect(failed.detail).not.toContain("secret-token")
    expect(server.seen).toEqual([])
    const streamed = Stream.runCollect(kubernetes.logs({ namespace: "dev", pod: "x", follow: true }))
    expect(await failureOf(streamed)).toMatchObject({ reason: "unreachable", sent: false })
    expect(server.seen).toEqual([])
  })

  test("after one of the right authority has answered at the same address", async () => {
    const first = await serve(good)
    await Effect.runPromise((await clientOf(access(first.port))).get(place("x")))
    const other = await clientOf(access(first.port, { ca: { text: stranger.cert } }))
    expect(await failureOf(write(other))).toMatchObject({ reason: "unreachable", sent: false })
    expect(first.seen).toHaveLength(1)
  })

  test("by a kubeconfig that would not verify it", async () => {
    const text = JSON.stringify({
      "current-context": "c",
      clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:1", "insecure-skip-tls-verify": true } }],
      contexts: [{ name: "c", context: { cluster: "c", user: "c" } }],
      users: [{ name: "c", user: { token: "secret-token" } }]
    })
    const refused = await Effect.runPromise(Effect.flip(readKubeconfig(text, "/x/config", undefined)))
    expect(refused.message).toContain("insecure-skip-tls-verify is refused")
    expect(refused.message).not.toContain("secret-token")
  })

  test("that leads elsewhere", async () => {
    const server = await serve(good)
    const kubernetes = await clientOf(access(server.port))
    expect(await failureOf(kubernetes.get(place("moved")))).toMatchObject({ reason: "unreachable" })
    expect(server.seen.map(({ url }) => url)).not.toContain("/elsewhere")
  })
})

describe("a client certificate", () => {
  const client = authority.issue({ name: "system:admin" })
  const mine = { token: undefined, cert: { text: client.cert }, key: { text: client.key } }
  test("lets one in where the server asks for one", async () => {
    const server = await serve(good, { clients: authority.cert })
    await Effect.runPromise((await clientOf(access(server.port, mine))).get(place("x")))
    expect(server.seen).toMatchObject([{ method: "GET", authorization: undefined }])
  })
  test("is not lent to a connection without one", async () => {
    const server = await serve(good, { clients: authority.cert })
    await Effect.runPromise((await clientOf(access(server.port, mine))).get(place("x")))
    const failed = await failureOf((await clientOf(access(server.port))).get(place("x")))
    expect(failed.reason).toBe("unreachable")
    expect(server.seen).toHaveLength(1)
  })
})

describe("a token file", () => {
  test("is read again when it changes, and after a 401 in any case", async () => {
    const file = join(folder, "token")
    let valid = "one"
    writeFileSync(file, "one\n")
    const server = await serve(good, { token: () => valid })
    const kubernetes = await clientOf(access(server.port, { token: { file } }))
    await Effect.runPromise(kubernetes.get(place("x")))
    valid = "second"
    writeFileSync(file, "second\n")
    await Effect.runPromise(kubernetes.get(place("x")))
    expect(server.seen.map(({ authorization }) => authorization)).toEqual(["Bearer one", "Bearer second"])
    valid = "other"
    expect(await failureOf(kubernetes.get(place("x")))).toMatchObject({ reason: "unauthorized", status: 401 })
    expect(server.seen).toHaveLength(4)
  })
  test("that is gone is a failure that names it, and nothing is sent", async () => {
    const server = await serve(good)
    const kubernetes = await clientOf(access(server.port, { token: { file: join(folder, "none") } }))
    const failed = await failureOf(kubernetes.get(place("x")))
    expect(failed).toMatchObject({ reason: "unreachable", sent: false })
    expect(failed.detail).toContain(join(folder, "none"))
    expect(server.seen).toEqual([])
  })
})

describe("connections", () => {
  test("are few for a thousand calls, failed ones among them", async () => {
    const server = await serve(good)
    const kubernetes = await clientOf(access(server.port))
    const call = (index: number) => Effect.result(kubernetes.get(place(index % 5 === 0 ? "missing" : "x")))
    await Effect.runPromise(
      Effect.forEach(
        Array.from({ length: 1000 }, (_, index) => index),
        call,
        { concurrency: 10 }
      )
    )
    expect(server.seen).toHaveLength(1000)
    expect(server.open()).toBeLessThanOrEqual(12)
    expect(server.made()).toBeLessThanOrEqual(40)
  })
  test("of streams that are left are closed", async () => {
    const server = await serve(good)
    const kubernetes = await clientOf(access(server.port))
    const first = Stream.runCollect(kubernetes.logs({ namespace: "dev", pod: "x", follow: true }).pipe(Stream.take(1)))
    await Effect.runPromise(Effect.forEach(Array.from({ length: 50 }), () => first, { concurrency: 10 }))
    await until("the streams' connections are closed", () => server.open() <= 1)
  })
  test("that are refused have sent nothing", async () => {
    const server = await serve(good)
    const kubernetes = await clientOf(access(server.port))
    const { server: own } = running.pop()!
    await new Promise((resolve) => own.close(resolve))
    expect(await failureOf(write(kubernetes))).toMatchObject({ reason: "unreachable", sent: false })
  })
})
