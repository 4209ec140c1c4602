/** What the node tier promises: real pods with probes, restarts and logs, names and Services, enforced policies, a kubelet that can be lost. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Cluster } from "#test/cluster/cluster.ts"
import { eventually } from "#test/shared/until.ts"
import { workloadImages } from "#test/cluster/images.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { nodeName } from "#test/cluster/pki.ts"
import { skipUnless } from "#test/shared/skip.ts"

const namespace = "node"
const cluster: Cluster = await testCluster()
const onNode = skipUnless(cluster.tier === "node", cluster.reason)

const apply = (objects: ReadonlyArray<object>) =>
  cluster.kubectl(["apply", "--server-side", "-f", "-"], {
    stdin: JSON.stringify({ apiVersion: "v1", kind: "List", items: objects })
  })
const kubectl = (...args: ReadonlyArray<string>) => cluster.kubectl(["-n", namespace, ...args])

/** A pod as restricted Pod Security wants it. */
const pod = (name: string, image: string, args?: ReadonlyArray<string>) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace, labels: { app: name } },
  spec: {
    terminationGracePeriodSeconds: 1,
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: "app",
        image,
        imagePullPolicy: "IfNotPresent",
        ...(args === undefined ? {} : { args }),
        ports: [{ name: "http", containerPort: 8080 }],
        readinessProbe: { httpGet: { path: "/readyz", port: 8080 }, periodSeconds: 1 },
        livenessProbe: { httpGet: { path: "/livez", port: 8080 }, periodSeconds: 1 },
        resources: { limits: { memory: "32Mi", cpu: "500m" }, requests: { memory: "16Mi", cpu: "10m" } },
        securityContext: {
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] }
        }
      }
    ]
  }
})

const ready = (name: string) => kubectl("wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s")

interface ContainerStatus {
  readonly restartCount: number
  readonly ready: boolean
  readonly state: { readonly waiting?: { readonly reason: string } }
  readonly lastState: { readonly terminated?: { readonly exitCode: number; readonly reason: string } }
}
const containerStatus = async (name: string) => {
  const { status } = await cluster.read<{ readonly status: { containerStatuses?: ReadonlyArray<ContainerStatus> } }>(
    `/api/v1/namespaces/${namespace}/pods/${name}`
  )
  return status.containerStatuses?.[0]
}

/** Exit code of a TCP connection from inside a pod: 0 connected, 2 timed out. */
const dial = async (from: string, address: string) =>
  (await cluster.tryKubectl(["exec", "-n", namespace, from, "--", "/workload", "dial", address])).code

onNode.describe("a node", () => {
  beforeAll(async () => {
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" }
    await apply([{ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } }])
    await kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    await apply([
      pod("server", workloadImages.good),
      pod("client", workloadImages.good),
      pod("crash", workloadImages.crash),
      pod("never", workloadImages.neverReady),
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "web", namespace },
        spec: { selector: { app: "server" }, ports: [{ port: 80, targetPort: "http" }] }
      }
    ])
    await Promise.all([ready("server"), ready("client")])
  })
  afterAll(async () => {
    await cluster.kubectl(["delete", "namespace", namespace, "--timeout=60s"])
  })

  test("runs a pod until its probe succeeds, and gives its log", async () => {
    expect(await containerStatus("server")).toMatchObject({ ready: true, restartCount: 0 })
    expect(await kubectl("logs", "server")).toContain("listening on :8080")
  })

  test("limits a pod's memory by a cgroup", async () => {
    const name = cluster.folder.slice(cluster.folder.lastIndexOf("/") + 1)
    const script = `find /sys/fs/cgroup -path '*${name}*' \\( -name memory.limit_in_bytes -o -name memory.max \\) -exec cat {} +`
    const { stdout } = await cluster.runOnNode(["sh", "-c", script])
    expect(stdout.split("\n")).toContain(String(32 * 1024 * 1024))
  })

  test("keeps a pod that never gets ready running and out of the Service", async () => {
    await kubectl("wait", "pod/never", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    expect(await containerStatus("never")).toMatchObject({ ready: false })
  })

  test("backs off from a crash loop, with its exit code and the log of the container before", async () => {
    const status = await eventually("a crash loop is seen", async () => {
      const one = await containerStatus("crash")
      return one?.state.waiting?.reason === "CrashLoopBackOff" && one.restartCount >= 2 && one
    })
    expect(status.lastState.terminated).toMatchObject({ exitCode: 3, reason: "Error" })
    // Between two starts the kubelet removes the container before.
    const previous = await eventually("the log of the container before", async () => {
      const text = await kubectl("logs", "crash", "--previous")
      return text.includes("workload: starting") && text
    })
    expect(previous).toContain("fatal: cannot open configuration")
    const reasons = await kubectl("get", "events", "--field-selector=involvedObject.name=crash", "-o", "name")
    expect(reasons).not.toBe("")
  })

  test("resolves a Service's name inside a pod, and leads there", async () => {
    const inPod = ["exec", "client", "--", "/workload"]
    const address = (await kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")).trim()
    expect((await kubectl(...inPod, "resolve", `web.${namespace}.svc.cluster.local`)).trim()).toBe(address)
    expect(await kubectl(...inPod, "get", "http://web/hello")).toBe("server /hello\n")
  })

  test("is reached from this machine by an address of its own", async () => {
    const address = await kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    const relayed = await cluster.reach(`${address}:80`)
    expect(await (await fetch(`http://${relayed}/from-outside`)).text()).toBe("server /from-outside\n")
  })

  test("lets pods reach this machine", async () => {
    using server = Bun.serve({ hostname: cluster.hostAddress!, port: 0, fetch: () => new Response("the machine") })
    const url = `http://${cluster.hostAddress}:${server.port}/`
    expect(await kubectl("exec", "client", "--", "/workload", "get", url)).toBe("the machine")
  })

  describe("with NetworkPolicies", () => {
    const policy = (name: string, spec: object) => ({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name, namespace },
      spec
    })
    const server = { podSelector: { matchLabels: { app: "server" } } }

    afterAll(async () => {
      await kubectl("delete", "networkpolicies", "--all")
    })

    test("a connection that was open is closed by a deny, and opened again by an allow", async () => {
      const address = `${await kubectl("get", "pod", "server", "-o", "jsonpath={.status.podIP}")}:8080`
      expect(await dial("client", address)).toBe(0)
      await apply([policy("deny", { ...server, policyTypes: ["Ingress"] })])
      await eventually("the connection times out", async () => (await dial("client", address)) === 2)
      // By the Service too: policies see pods behind its address.
      expect(await dial("client", "web:80")).toBe(2)
      // The kubelet's probes come from the node, which no policy keeps away.
      expect(await containerStatus("server")).toMatchObject({ ready: true })
      const from = [{ podSelector: { matchLabels: { app: "client" } } }]
      const ports = [{ port: "http", protocol: "TCP" }]
      await apply([policy("allow", { ...server, policyTypes: ["Ingress"], ingress: [{ from, ports }] })])
      await eventually("the connection opens", async () => (await dial("client", address)) === 0)
      expect(await dial("never", address)).toBe(2)
    })

    test("a deny of egress closes the way out, to names and the API server too", async () => {
      expect(await dial("client", "10.43.0.1:443")).toBe(0)
      await apply([policy("closed", { podSelector: { matchLabels: { app: "client" } }, policyTypes: ["Egress"] })])
      await eventually("the way out is closed", async () => (await dial("client", "10.43.0.1:443")) === 2)
      const resolve = ["exec", "-n", namespace, "client", "--", "/workload", "resolve", "web"]
      expect((await cluster.tryKubectl(resolve)).code).not.toBe(0)
      await kubectl("delete", "networkpolicy", "closed")
      await eventually("the way out is open", async () => (await dial("client", "10.43.0.1:443")) === 0)
    })
  })

  test("goes NotReady without its kubelet while pods run on, and comes back with it", async () => {
    const address = await cluster.reach(
      `${await kubectl("get", "pod", "server", "-o", "jsonpath={.status.podIP}")}:8080`
    )
    const node = (status: string) =>
      cluster.kubectl(["wait", `node/${nodeName}`, `--for=condition=Ready=${status}`, "--timeout=90s"])
    await cluster.stopKubelet()
    try {
      await node("Unknown")
      expect(await (await fetch(`http://${address}/still`)).text()).toBe("server /still\n")
    } finally {
      await cluster.startKubelet()
    }
    await node("True")
    await ready("server")
    expect(await containerStatus("server")).toMatchObject({ restartCount: 0 })
  })
  test("comes back from a power cut with its pods", async () => {
    const boots = (await containerStatus("server"))?.restartCount ?? 0
    await cluster.rebootNode()
    await eventually("the pod is started again", async () => {
      const status = await containerStatus("server")
      return status !== undefined && status.restartCount > boots
    })
    await Promise.all([ready("server"), ready("client")])
    await cluster.kubectl(["-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s"])
    await eventually("names and Services lead to it again", async () =>
      (await kubectl("exec", "client", "--", "/workload", "get", "http://web/again")).startsWith("server ")
    )
  })
})
