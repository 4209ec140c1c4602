/** What the API server refuses in the environments' namespaces, each with its counterpart that passes: Pod Security and the admission policies. */
import { beforeAll, describe, expect, test } from "bun:test"
import { appliedEnvironments, type Mutable, podOf, refusalOf } from "#test/cluster/appliedEnvironments.ts"
import { testCluster } from "#test/cluster/launch.ts"

const cluster = await testCluster()

beforeAll(async () => {
  await appliedEnvironments(cluster)
}, 300_000)

describe("security: prod refuses", () => {
  const plain = "prod/Deployment/dashboard"
  const context = (container: Mutable) => container["securityContext"] as Mutable

  test("nothing of a pod as it is rendered", async () => {
    expect(await refusalOf(cluster, podOf(plain))).toBeUndefined()
  })

  test.each<[string, (pod: Mutable, container: Mutable) => void]>([
    [
      "a pod that runs as root",
      (pod, container) => {
        pod["securityContext"] = { seccompProfile: { type: "RuntimeDefault" } }
        context(container)["runAsUser"] = 0
      }
    ],
    [
      "a pod with a path of the host",
      (pod) => {
        pod["volumes"] = [{ name: "tmp", hostPath: { path: "/" } }]
      }
    ],
    [
      "a privileged pod",
      (_, container) => {
        context(container)["privileged"] = true
        context(container)["allowPrivilegeEscalation"] = true
      }
    ],
    [
      "a pod with NET_RAW",
      (_, container) => {
        context(container)["capabilities"] = { drop: ["ALL"], add: ["NET_RAW"] }
      }
    ],
    [
      "a pod without a seccomp profile",
      (pod) => {
        pod["securityContext"] = { runAsNonRoot: true, runAsUser: 65532 }
      }
    ],
    [
      "a pod whose probe names a host",
      (_, container) => {
        container["livenessProbe"] = { httpGet: { path: "/", port: 80, host: "169.254.169.254" } }
      }
    ]
  ])("%s", async (_, change) => {
    expect(await refusalOf(cluster, podOf(plain, change))).toContain("violates PodSecurity")
  })
})

describe("security: a monitoring namespace", () => {
  const monitor = "prod-monitoring/Deployment/monitor"
  const context = (container: Mutable) => container["securityContext"] as Mutable
  const host = (container: Mutable) =>
    (container["volumeMounts"] as ReadonlyArray<Mutable>).find(({ name }) => name === "host")!
  const changeVolume = (pod: Mutable, changed: string, source: Mutable) => {
    const volumes = pod["volumes"] as ReadonlyArray<Mutable>
    expect(volumes.map(({ name }) => name)).toContain(changed)
    pod["volumes"] = volumes.map((volume) => (volume["name"] === changed ? { name: changed, ...source } : volume))
  }

  test("takes the monitor", async () => {
    expect(await refusalOf(cluster, podOf(monitor))).toBeUndefined()
  })

  test.each<[string, (pod: Mutable, container: Mutable) => void]>([
    [
      "a writable mount of the host",
      (_, container) => {
        delete host(container)["readOnly"]
        delete host(container)["recursiveReadOnly"]
      }
    ],
    [
      "a mount that what lies below can be written through",
      (_, container) => {
        delete host(container)["recursiveReadOnly"]
      }
    ],
    [
      "a mount that propagates",
      (_, container) => {
        delete host(container)["recursiveReadOnly"]
        host(container)["mountPropagation"] = "HostToContainer"
      }
    ],
    [
      "another path of the host",
      (pod) => {
        changeVolume(pod, "host", { hostPath: { path: "/etc" } })
      }
    ],
    [
      "the host's processes",
      (pod) => {
        pod["hostPID"] = true
      }
    ],
    [
      "the host's network",
      (pod) => {
        pod["hostNetwork"] = true
      }
    ],
    [
      "the host's IPC",
      (pod) => {
        pod["hostIPC"] = true
      }
    ],
    [
      "a port of the host",
      (_, container) => {
        container["ports"] = [
          { name: "http", containerPort: 8080, hostPort: 8080 },
          { name: "internal", containerPort: 9090 }
        ]
      }
    ],
    [
      "a privileged container",
      (_, container) => {
        context(container)["privileged"] = true
        context(container)["allowPrivilegeEscalation"] = true
      }
    ],
    [
      "a capability",
      (_, container) => {
        context(container)["capabilities"] = { drop: ["ALL"], add: ["SYS_PTRACE"] }
      }
    ],
    [
      "a container that keeps its capabilities",
      (_, container) => {
        delete context(container)["capabilities"]
      }
    ],
    [
      "root",
      (_, container) => {
        context(container)["runAsUser"] = 0
        context(container)["runAsNonRoot"] = false
      }
    ],
    [
      "a low user id",
      (_, container) => {
        context(container)["runAsUser"] = 999
      }
    ],
    [
      "no seccomp profile",
      (_, container) => {
        context(container)["seccompProfile"] = { type: "Unconfined" }
      }
    ],
    [
      "a writable root",
      (_, container) => {
        context(container)["readOnlyRootFilesystem"] = false
      }
    ],
    [
      "another service account",
      (pod) => {
        pod["serviceAccountName"] = "default"
      }
    ],
    [
      "another type of volume",
      (pod) => {
        changeVolume(pod, "tmp", { nfs: { server: "x", path: "/" } })
      }
    ],
    [
      "a sysctl",
      (pod) => {
        pod["securityContext"] = {
          ...(pod["securityContext"] as Mutable),
          sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }]
        }
      }
    ],
    [
      "an SELinux label",
      (_, container) => {
        context(container)["seLinuxOptions"] = { type: "spc_t" }
      }
    ],
    [
      "a probe that names a host",
      (_, container) => {
        container["livenessProbe"] = { httpGet: { path: "/", port: 80, host: "169.254.169.254" } }
      }
    ]
  ])("refuses %s", async (_, change) => {
    expect(await refusalOf(cluster, podOf(monitor, change))).toContain(
      "ValidatingAdmissionPolicy 'gatehouse-monitoring'"
    )
  })
})

describe("security: the admission policies", () => {
  const ingress = (host: string | undefined, more: object = {}, annotations: object = {}) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "tried", namespace: "dev", annotations },
    spec: {
      ...(host === undefined ? {} : { tls: [{ hosts: [host], secretName: "tls" }] }),
      rules: [
        {
          ...(host === undefined ? {} : { host }),
          http: {
            paths: [
              { path: "/", pathType: "Prefix", backend: { service: { name: "gateway", port: { name: "http" } } } }
            ]
          }
        }
      ],
      ...more
    }
  })
  const service = (spec: object) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "tried", namespace: "dev" },
    spec: { ports: [{ port: 80 }], selector: { a: "b" }, ...spec }
  })
  const pod = (change: (pod: Mutable, container: Mutable) => void) => podOf("dev/Deployment/dashboard", change)
  const apiToken = [{ name: "tmp", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }]

  test.each<[string, unknown]>([
    ["a host of the environment", ingress("gate.dev.example.org")],
    ["a Service inside the cluster", service({})],
    ["an image of the platform", pod(() => {})],
    [
      "an image by digest",
      pod((_, container) => {
        container["image"] = `gatehouse.local/x@sha256:${"0".repeat(64)}`
      })
    ],
    ["admin's token for the API server", podOf("dev/Deployment/admin")],
    ["the scheduler's token for its gateway", podOf("dev/Deployment/scheduler")],
    ["hello's token for its gateway", podOf("dev/Deployment/hello")],
    ["annotations that are no controller's", ingress("gate.dev.example.org", {}, { "example.org/owner": "us" })]
  ])("let pass %s", async (_, object) => {
    expect(await refusalOf(cluster, object)).toBeUndefined()
  })

  test.each<[string, string, unknown]>([
    ["gatehouse-ingress-host", "another environment's host", ingress("gate.prod.example.org")],
    ["gatehouse-ingress-host", "a host that only looks like it", ingress("evildev.example.org")],
    ["gatehouse-ingress-host", "every host", ingress(undefined)],
    ["gatehouse-ingress-host", "a host without TLS", ingress("gate.dev.example.org", { tls: [] })],
    [
      "gatehouse-ingress-host",
      "a default backend",
      ingress("gate.dev.example.org", { defaultBackend: { service: { name: "gateway", port: { number: 80 } } } })
    ],
    [
      "gatehouse-ingress-annotations",
      "a piece of nginx configuration",
      ingress("gate.dev.example.org", {}, { "nginx.ingress.kubernetes.io/server-snippet": "return 200;" })
    ],
    [
      "gatehouse-ingress-annotations",
      "the same for the other controller",
      ingress("gate.dev.example.org", {}, { "nginx.org/location-snippets": "return 200;" })
    ],
    ["gatehouse-services", "a port of the node", service({ type: "NodePort" })],
    ["gatehouse-services", "a load balancer", service({ type: "LoadBalancer" })],
    ["gatehouse-services", "a name outside", service({ type: "ExternalName", externalName: "example.org" })],
    ["gatehouse-services", "an external address", service({ externalIPs: ["203.0.113.7"] })],
    [
      "gatehouse-images",
      "an image from elsewhere",
      pod((_, container) => {
        container["image"] = "docker.io/evil/miner:1"
      })
    ],
    [
      "gatehouse-images",
      "the latest image",
      pod((_, container) => {
        container["image"] = "gatehouse.local/gatehouse:latest"
      })
    ],
    [
      "gatehouse-images",
      "an image without a tag",
      pod((_, container) => {
        container["image"] = "gatehouse.local/gatehouse"
      })
    ],
    [
      "gatehouse-tokens",
      "a token that is mounted by itself",
      pod((one) => {
        one["automountServiceAccountToken"] = true
      })
    ],
    [
      "gatehouse-tokens",
      "a token for the API server",
      pod((one) => {
        one["volumes"] = apiToken
      })
    ],
    [
      "gatehouse-tokens",
      "the same by its audience",
      pod((one) => {
        one["volumes"] = [
          { name: "tmp", projected: { sources: [{ serviceAccountToken: { path: "token", audience: "k3s" } }] } }
        ]
      })
    ]
  ])("%s refuses %s", async (policy, _, object) => {
    expect(await refusalOf(cluster, object)).toContain(`ValidatingAdmissionPolicy '${policy}'`)
  })

  test("are of no concern to namespaces that are not the platform's", async () => {
    const elsewhere = service({ type: "NodePort" })
    const object = { ...elsewhere, metadata: { name: "tried", namespace: "default" } }
    expect(await refusalOf(cluster, object)).toBeUndefined()
  })
})
