/** The public side of the tests' node: nginx with server blocks made from rendered Ingresses, an identity provider, and a way for people to reach both; must hold no route of the platform's. */
import { mkdirSync, writeFileSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import type { DemoUser } from "#dev/demoUsers.ts"
import { startIdentityProvider } from "#dev/identityProvider.ts"
import type { Cluster } from "#test/cluster/cluster.ts"
import { eventually } from "#test/shared/until.ts"
import type { Fetch } from "#test/scenarios/browserJar.ts"
import { freePort } from "#test/shared/freePort.ts"
import { type Authority, makeAuthority } from "#test/shared/certificates.ts"
import { issuer, type Manifest, objectsOf } from "./manifests.ts"

/** Of the networks for documentation (RFC 5737): public to every policy, and nobody's. */
export const publicAddress = "203.0.113.10"
/** A name that leads here and that no Ingress has. */
export const unknownHost = "gate.elsewhere.example.org"
const providerHost = new URL(issuer).host

interface Ingress extends Manifest {
  readonly spec: {
    readonly rules: ReadonlyArray<{
      readonly host: string
      readonly http: {
        readonly paths: ReadonlyArray<{
          readonly path: string
          readonly backend: { readonly service: { readonly name: string } }
        }>
      }
    }>
  }
}

interface Service {
  readonly spec: { readonly clusterIP: string; readonly ports: ReadonlyArray<{ readonly port: number }> }
}

export interface Edge {
  readonly authority: Authority
  /** A certificate for a host, as its TLS Secret holds it. */
  readonly certificateFor: (host: string) => { readonly cert: string; readonly key: string }
  /** Serves the Ingresses of a render from now on; those of earlier renders too. */
  readonly serve: (rendered: string) => Promise<void>
  /** What a person's browser does: by host name, with the tests' authority trusted. */
  readonly fetch: Fetch
  readonly stop: () => Promise<void>
}

/** The server blocks that an ingress controller of nginx makes of an Ingress without annotations. */
const serverBlock = (host: string, certificate: string, locations: ReadonlyArray<readonly [string, string]>) => `
  server {
    listen 127.0.0.1:EDGE ssl;
    server_name ${host};
    ssl_certificate ${certificate}.crt;
    ssl_certificate_key ${certificate}.key;
    client_max_body_size 0;
${locations
  .map(
    ([path, upstream]) => `    location ${path} {
      proxy_pass http://${upstream};
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-Proto https;
    }`
  )
  .join("\n")}
  }`

const succeed = (argv: ReadonlyArray<string>) => {
  const { exitCode, stderr } = Bun.spawnSync([...argv])
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr.toString().trim()}`)
}

/** The machine's end of the pair of interfaces that leads to the node. */
const interfaceOf = (address: string): string => {
  const found = Object.entries(networkInterfaces()).find(([, all]) => all?.some((one) => one.address === address))
  if (found === undefined) throw new Error(`no interface of this machine has the address ${address}`)
  return found[0]
}

/** Gives the identity provider a name that pods can look up, and an address that a network policy takes for the Internet's. */
const nameProvider = (cluster: Cluster) =>
  cluster.kubectl(["apply", "--server-side", "-f", "-"], {
    stdin: `
apiVersion: v1
kind: Namespace
metadata: { name: sso }
---
apiVersion: v1
kind: Service
metadata: { name: idp, namespace: sso }
spec: { clusterIP: None, ports: [{ name: https, port: 443 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: idp, namespace: sso, labels: { kubernetes.io/service-name: idp } }
addressType: IPv4
ports: [{ name: https, port: 443, protocol: TCP }]
endpoints: [{ addresses: [${publicAddress}] }]
`
  })

export interface EdgeOptions {
  readonly clientSecret: string
  /** Public origins of the gateways, and the client's id at each. */
  readonly clients: ReadonlyArray<{ readonly clientId: string; readonly origin: string; readonly providerId: string }>
  readonly users: ReadonlyArray<DemoUser>
}

/** Starts it beside the node of `cluster`. nginx ends with this process. */
export const startEdge = async (cluster: Cluster, options: EdgeOptions): Promise<Edge> => {
  const folder = join(cluster.folder, "edge")
  mkdirSync(folder, { recursive: true })
  const authority = makeAuthority("Gatehouse tests")
  const port = await freePort()
  const certificateFor = (host: string) => authority.issue({ name: host, hosts: [host] })
  const writeCertificate = (host: string): string => {
    const { cert, key } = certificateFor(host)
    writeFileSync(join(folder, `${host}.crt`), cert)
    writeFileSync(join(folder, `${host}.key`), key, { mode: 0o600 })
    return join(folder, host)
  }
  succeed(["ip", "address", "replace", `${publicAddress}/32`, "dev", interfaceOf(cluster.hostAddress!)])
  await nameProvider(cluster)

  const scope = await Effect.runPromise(Scope.make())
  const provider = await Effect.runPromise(
    startIdentityProvider({
      port: 0,
      publicUrl: issuer,
      users: options.users,
      clients: options.clients.map(({ clientId, origin, providerId }) => ({
        clientId,
        clientSecret: options.clientSecret,
        redirectUris: [`${origin}/auth/callback/${providerId}`]
      }))
    }).pipe(Scope.provide(scope))
  )
  const providerBlock = serverBlock(providerHost, writeCertificate(providerHost), [
    ["/", `127.0.0.1:${provider.port}`]
  ]).replace("127.0.0.1:EDGE", `${publicAddress}:443`)
  const unknown = writeCertificate(unknownHost)

  const configuration = join(folder, "nginx.conf")
  const blocks = new Map<string, string>()
  const write = () =>
    writeFileSync(
      configuration,
      `daemon off;
worker_processes 1;
user root;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events { worker_connections 1024; }
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ")}
  server {
    listen 127.0.0.1:${port} ssl default_server;
    ssl_certificate ${unknown}.crt;
    ssl_certificate_key ${unknown}.key;
    return 404;
  }
${providerBlock}
${[...blocks.values()].join("\n").replaceAll("EDGE", String(port))}
}
`
    )
  write()
  // Ends with this process, however that ends.
  const nginx = Bun.spawn(
    ["setpriv", "--pdeathsig", "TERM", "nginx", "-c", configuration, "-e", `${folder}/error.log`],
    {
      stdio: ["ignore", "inherit", "inherit"]
    }
  )
  const reach: Fetch = (url, init) => {
    const { host, pathname, search } = new URL(url)
    const place = host === providerHost ? `${publicAddress}:443` : `127.0.0.1:${port}`
    const headers = new Headers(init?.headers)
    headers.set("host", host)
    const tls = { ca: authority.cert, serverName: host }
    return fetch(`https://${place}${pathname}${search}`, { ...init, headers, tls })
  }
  await eventually("nginx answers", async () => (await reach(`${issuer}/.well-known/openid-configuration`)).ok, 20)

  return {
    authority,
    certificateFor,
    fetch: reach,
    serve: async (rendered) => {
      for (const ingress of objectsOf(rendered).filter((one): one is Ingress => one.kind === "Ingress")) {
        const { namespace } = ingress.metadata
        for (const { host, http } of ingress.spec.rules) {
          const locations: Array<readonly [string, string]> = []
          for (const { backend, path } of http.paths) {
            const { spec } = await cluster.read<Service>(
              `/api/v1/namespaces/${namespace}/services/${backend.service.name}`
            )
            locations.push([path, await cluster.reach(`${spec.clusterIP}:${spec.ports[0]!.port}`)])
          }
          blocks.set(host, serverBlock(host, writeCertificate(host), locations))
        }
      }
      write()
      nginx.kill("SIGHUP")
    },
    stop: async () => {
      nginx.kill("SIGTERM")
      await nginx.exited
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
}
