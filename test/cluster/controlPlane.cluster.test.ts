/** What every test cluster promises, on either tier: an API server as k3s sets it up, with real tokens, rights, admission and audit. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { kubernetesVersion } from "#test/cluster/build.ts"
import type { Cluster } from "#test/cluster/cluster.ts"
import { issuer } from "#test/cluster/controlPlane.ts"
import { testCluster } from "#test/cluster/launch.ts"

const namespace = "control-plane"
let cluster: Cluster

const yaml = (stdin: string, kubeconfig?: string) =>
  cluster.tryKubectl(["apply", "-f", "-"], { stdin, ...(kubeconfig === undefined ? {} : { kubeconfig }) })

beforeAll(async () => {
  cluster = await testCluster()
  await cluster.openNamespace(namespace)
})
afterAll(async () => {
  await cluster?.kubectl(["delete", "namespace", namespace, "--wait=false"])
})

describe("the API server", () => {
  test("says which Kubernetes it is", async () => {
    const answer = await cluster.request("/version")
    expect(await answer.json()).toMatchObject({ gitVersion: kubernetesVersion() })
  })

  test("refuses who has no certificate and no token", async () => {
    const answer = await fetch(`${cluster.server}/api/v1/namespaces`, { tls: { ca: cluster.ca } })
    expect(answer.status).toBe(401)
  })

  test("gives each namespace its default ServiceAccount", async () => {
    await cluster.kubectl(["wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=30s"])
  })

  test("keeps Secrets encrypted in etcd", async () => {
    await cluster.kubectl(["create", "secret", "generic", "hidden", "-n", namespace, "--from-literal=word=swordfish"])
    const answer = await cluster.request("/metrics")
    const metrics = await answer.text()
    expect(metrics).toContain('apiserver_storage_transformation_operations_total{resource="secrets"')
    expect(metrics).toContain('transformation_type="to_storage"')
    expect(metrics).toContain('transformer_prefix="k8s:enc:secretbox:v1:')
  })

  test("security: no file of etcd holds what a Secret says", async () => {
    const words = { secret: "pufferfish-is-hidden", configMap: "pufferfish-is-plain" }
    const literal = (word: string) => ["-n", namespace, `--from-literal=word=${word}`]
    await cluster.kubectl(["create", "secret", "generic", "at-rest", ...literal(words.secret)])
    await cluster.kubectl(["create", "configmap", "at-rest", ...literal(words.configMap)])
    const etcd = join(cluster.folder, "etcd")
    const files = readdirSync(etcd, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const holds = (text: string) =>
      files.some(({ name, parentPath }) => readFileSync(join(parentPath, name)).includes(text))
    // That the other is found shows that this looks where objects are.
    expect({ plain: holds(words.configMap), secret: holds(words.secret) }).toEqual({ plain: true, secret: false })
    expect(holds(Buffer.from(words.secret).toString("base64"))).toBe(false)
  })

  test("refuses connections while stopped, and has its objects again", async () => {
    await cluster.kubectl(["create", "configmap", "kept", "-n", namespace])
    await cluster.stopApiServer()
    try {
      await expect(cluster.request("/readyz")).rejects.toThrow()
    } finally {
      await cluster.startApiServer()
    }
    await cluster.kubectl(["get", "configmap", "kept", "-n", namespace])
  })

  test("lets a request wait while paused, and answers it then", async () => {
    await cluster.pauseApiServer()
    let settled = false
    const answer = cluster.request("/readyz").finally(() => (settled = true))
    try {
      await expect(cluster.request("/livez", { signal: AbortSignal.timeout(500) })).rejects.toThrow()
      expect(settled).toBe(false)
    } finally {
      await cluster.resumeApiServer()
    }
    expect((await answer).status).toBe(200)
  })
})

describe("tokens of ServiceAccounts", () => {
  const review = async (token: string, audiences: ReadonlyArray<string>) => {
    const answer = await cluster.request("/apis/authentication.k8s.io/v1/tokenreviews", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, audiences }
      })
    })
    expect(answer.status).toBe(201)
    return ((await answer.json()) as { readonly status: object }).status
  }

  test("are accepted for the audience they are for, and for no other", async () => {
    const { token } = await cluster.serviceAccount(namespace, "default", { audiences: ["admin.prod"] })
    expect(await review(token, ["admin.prod"])).toMatchObject({
      authenticated: true,
      user: { username: `system:serviceaccount:${namespace}:default` },
      audiences: ["admin.prod"]
    })
    expect(await review(token, ["admin.dev"])).not.toHaveProperty("authenticated")
    expect(await review(`${token}x`, ["admin.prod"])).not.toHaveProperty("authenticated")
  })

  test("are signed by a key that the API server publishes", async () => {
    const { token } = await cluster.serviceAccount(namespace, "default", { audiences: ["admin.prod"] })
    const [head, body] = token.split(".").map((part) => Buffer.from(part, "base64url").toString())
    const keys = (await (await cluster.request("/openid/v1/jwks")).json()) as { keys: ReadonlyArray<object> }
    expect(keys.keys).toContainEqual(expect.objectContaining({ kid: JSON.parse(head!).kid, alg: "RS256" }))
    expect(JSON.parse(body!)).toMatchObject({ iss: issuer, aud: ["admin.prod"] })
  })

  test("make a kubeconfig that may do what RBAC grants and nothing else", async () => {
    await cluster.kubectl(["create", "serviceaccount", "reader", "-n", namespace])
    const { kubeconfig } = await cluster.serviceAccount(namespace, "reader")
    const list = () => cluster.tryKubectl(["get", "configmaps"], { kubeconfig })
    expect((await list()).stderr).toContain("Forbidden")
    await cluster.kubectl(["create", "role", "reader", "-n", namespace, "--verb=list", "--resource=configmaps"])
    const subject = `--serviceaccount=${namespace}:reader`
    await cluster.kubectl(["create", "rolebinding", "reader", "-n", namespace, "--role=reader", subject])
    expect((await list()).code).toBe(0)
    expect((await cluster.tryKubectl(["get", "secrets"], { kubeconfig })).stderr).toContain("Forbidden")
  })
})

test("a client certificate is a user with groups, whose rights RBAC decides", async () => {
  const { kubeconfig } = await cluster.user("nora", ["operators"])
  const who = await cluster.kubectl(["auth", "whoami", "-o", "json"], { kubeconfig })
  expect(JSON.parse(who).status.userInfo).toMatchObject({
    username: "nora",
    groups: ["operators", "system:authenticated"]
  })
  expect((await cluster.tryKubectl(["get", "pods", "-n", namespace], { kubeconfig })).stderr).toContain("Forbidden")
  const binding = ["create", "rolebinding", "operators", "-n", namespace, "--clusterrole=view", "--group=operators"]
  await cluster.kubectl(binding)
  await cluster.kubectl(["get", "pods", "-n", namespace], { kubeconfig })
})

test("a restricted namespace refuses a pod that may become root, and takes one that may not", async () => {
  const labels = "labels: { pod-security.kubernetes.io/enforce: restricted }"
  await yaml(`{ apiVersion: v1, kind: Namespace, metadata: { name: ${namespace}-restricted, ${labels} } }`)
  const pod = (name: string, container: string, podContext: string) =>
    yaml(`{ apiVersion: v1, kind: Pod, metadata: { name: ${name}, namespace: ${namespace}-restricted },
      spec: { securityContext: { ${podContext} }, containers: [{ name: a, image: docker.io/gatehouse/workload:1, ${container} }] } }`)
  const refused = await pod("root", "", "")
  expect(refused.stderr).toContain('violates PodSecurity "restricted:latest"')
  expect(refused.code).toBe(1)
  const context = "securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }"
  const accepted = await pod("modest", context, "runAsNonRoot: true, seccompProfile: { type: RuntimeDefault }")
  expect(accepted).toMatchObject({ code: 0 })
  await cluster.kubectl(["delete", "namespace", `${namespace}-restricted`, "--wait=false"])
})

test("security: a namespace that says nothing of its pods is held to the restricted standard", async () => {
  await cluster.kubectl(["create", "namespace", `${namespace}-silent`])
  const made = ["wait", "--for=create", "serviceaccount/default", "-n", `${namespace}-silent`, "--timeout=30s"]
  await cluster.kubectl(made)
  const image = "--image=docker.io/gatehouse/workload:1"
  const refused = await cluster.tryKubectl(["run", "root", "-n", `${namespace}-silent`, image])
  expect(refused).toMatchObject({ code: 1 })
  expect(refused.stderr).toContain('violates PodSecurity "restricted:latest"')
  await cluster.kubectl(["delete", "namespace", `${namespace}-silent`, "--wait=false"])
})

describe("the audit log", () => {
  test("shows a write with who did it and to what", async () => {
    await cluster.kubectl(["create", "configmap", "audited", "-n", namespace, "--from-literal=a=b"])
    const event = cluster.auditLog().find(({ objectRef }) => objectRef?.name === "audited")
    expect(event).toMatchObject({
      verb: "create",
      user: { username: "admin" },
      objectRef: { resource: "configmaps", namespace },
      responseStatus: { code: 201 },
      requestObject: { data: { a: "b" } }
    })
  })

  test("shows a refused write, and who was impersonated", async () => {
    const as = ["--as", "mallory", "-n", namespace]
    expect((await cluster.tryKubectl(["create", "configmap", "never", ...as])).stderr).toContain("forbidden")
    // Refused before its name was read.
    const event = cluster.auditLog().find(({ impersonatedUser }) => impersonatedUser?.username === "mallory")
    expect(event).toMatchObject({
      verb: "create",
      user: { username: "admin" },
      objectRef: { resource: "configmaps", namespace },
      responseStatus: { code: 403 }
    })
  })

  test("security: shows who asked for a way into a pod, though that is a get, and no other get", async () => {
    for (const path of ["exec?command=id", "attach", "portforward", "log"]) {
      const answer = await cluster.request(`/api/v1/namespaces/${namespace}/pods/entered/${path}`)
      await answer.body?.cancel()
    }
    // Such a request may last: its beginning is recorded too.
    const ended = cluster.auditLog().filter(({ stage }) => stage === "ResponseComplete")
    const events = ended.filter(({ objectRef }) => objectRef?.name === "entered")
    expect(events.map(({ objectRef, user }) => [objectRef?.subresource, user.username])).toEqual([
      ["exec", "admin"],
      ["attach", "admin"],
      ["portforward", "admin"]
    ])
  })

  test("holds no content of a Secret", async () => {
    await cluster.kubectl(["create", "secret", "generic", "s", "-n", namespace, "--from-literal=word=barracuda"])
    await cluster.kubectl(["get", "secret", "s", "-n", namespace, "-o", "yaml"])
    const events = cluster.auditLog().filter(({ objectRef }) => objectRef?.resource === "secrets")
    expect(events).toContainEqual(expect.objectContaining({ verb: "create" }))
    const user = expect.objectContaining({ username: "admin" })
    expect(events).toContainEqual(expect.objectContaining({ verb: "get", user }))
    const text = JSON.stringify(cluster.auditLog())
    expect(text).not.toContain("barracuda")
    expect(text).not.toContain(Buffer.from("barracuda").toString("base64"))
  })
})
