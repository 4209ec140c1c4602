/** The rendered environments on a real API server: they apply without a warning and twice without a change, and what they must refuse is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { listAt, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { eventually } from "#test/cluster/eventually.ts"
import { accessTable, checkedInAccess } from "#test/manifests/access.ts"
import { clusterText, environments, objectAt, overlay, overlayText } from "#test/manifests/render.ts"

const cluster = await testCluster()

/** kubectl's own words about each object, and its warnings. */
const apply = async (text: string) => {
  const { code, stderr, stdout } = await cluster.tryKubectl(
    ["apply", "--server-side", "--validate=strict", "-f", "-"],
    {
      stdin: text
    }
  )
  return { code, complaints: stderr.trim(), lines: stdout.trim().split("\n") }
}

const versions = async () => {
  const kinds =
    "serviceaccounts,roles,rolebindings,configmaps,services,persistentvolumeclaims,deployments,statefulsets,poddisruptionbudgets,networkpolicies,ingresses"
  const answers = await Promise.all(
    environments
      .flatMap((environment) => [environment, `${environment}-monitoring`])
      .map((namespace) => cluster.kubectl(["get", kinds, "-n", namespace, "-o", "json"]))
  )
  return answers
    .flatMap((text) => listAt(JSON.parse(text), "items"))
    .map((one) => {
      const place = `${textAt(one, "kind")} ${textAt(one, "metadata", "namespace")}/${textAt(one, "metadata", "name")}`
      // Controllers report in the status all the time; the generation counts what was asked for.
      const spec = JSON.stringify(
        [one].map((object) => Object.entries(object ?? {}).filter(([key]) => key !== "status" && key !== "metadata"))
      )
      return [place, `${JSON.stringify(textsAt(one, "metadata", "labels"))} ${spec}`] as const
    })
    .sort()
}

let first: ReadonlyArray<Awaited<ReturnType<typeof apply>>> = []

/** Admission policies take effect some time after they are there. */
const policiesInForce = () =>
  eventually(
    "the admission policies are in force",
    async () => {
      const { code } = await cluster.tryKubectl(["create", "-f", "-", "--dry-run=server"], {
        stdin: JSON.stringify({
          apiVersion: "v1",
          kind: "Service",
          metadata: { name: "probe", namespace: "prod" },
          spec: { type: "ExternalName", externalName: "example.org" }
        })
      })
      return code !== 0
    },
    60
  )

beforeAll(async () => {
  const answers = [await apply(clusterText())]
  await policiesInForce()
  for (const environment of environments) answers.push(await apply(overlayText(environment)))
  first = answers
}, 240_000)

afterAll(async () => {
  await cluster.tryKubectl(["delete", "validatingadmissionpolicybindings,validatingadmissionpolicies", "--all"])
  await cluster.tryKubectl(["delete", "-f", "-", "--wait=false", "--ignore-not-found"], { stdin: clusterText() })
}, 120_000)

describe("the environments and the cluster's own objects", () => {
  test("apply server-side, strictly validated, without a warning", () => {
    expect(first.map(({ code, complaints }) => ({ code, complaints }))).toEqual(
      first.map(() => ({ code: 0, complaints: "" }))
    )
  })

  test("applied again, change nothing", async () => {
    const before = await versions()
    for (const text of [clusterText(), ...environments.map(overlayText)]) {
      expect(await apply(text)).toMatchObject({ code: 0, complaints: "" })
    }
    expect(await versions()).toEqual(before)
  })

  test("fit their quotas: every workload gets its pods", async () => {
    await eventually(
      "every workload has its pod",
      async () => {
        const text = await cluster.kubectl([
          "get",
          "pods",
          "-A",
          "-l",
          "app.kubernetes.io/part-of=gatehouse",
          "-o",
          "json"
        ])
        return listAt(JSON.parse(text), "items").length >= 30
      },
      90
    )
  }, 120_000)
})

/** A dry run by the administrator: only admission can refuse it. */
const refusalOf = async (object: unknown) => {
  const { code, stderr } = await cluster.tryKubectl(["create", "-f", "-", "--dry-run=server"], {
    stdin: JSON.stringify(object)
  })
  return code === 0 ? undefined : stderr
}

type Mutable = { [key: string]: Mutable | string | number | boolean | ReadonlyArray<unknown> | undefined }

/** A pod as the workload's controller would make it, changed. */
const podOf = (place: string, change: (pod: Mutable, container: Mutable) => void = () => {}) => {
  const [namespace = ""] = place.split("/")
  const environment = environments.find((one) => namespace.startsWith(one)) ?? "prod"
  const template: { metadata: object; spec: Mutable } = structuredClone(
    objectAt(overlay(environment), place) as KubernetesObject & {
      readonly spec: { readonly template: { readonly metadata: object; readonly spec: Mutable } }
    }
  ).spec.template
  const containers = template.spec["containers"] as ReadonlyArray<Mutable>
  change(template.spec, containers[0]!)
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...template.metadata, namespace, name: "tried" },
    spec: template.spec
  }
}

describe("security: prod refuses", () => {
  const plain = "prod/Deployment/dashboard"
  const context = (container: Mutable) => container["securityContext"] as Mutable

  test("nothing of a pod as it is rendered", async () => {
    expect(await refusalOf(podOf(plain))).toBeUndefined()
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
    expect(await refusalOf(podOf(plain, change))).toContain("violates PodSecurity")
  })
})

describe("security: a monitoring namespace", () => {
  const monitor = "prod-monitoring/Deployment/monitor"
  const context = (container: Mutable) => container["securityContext"] as Mutable
  const host = (container: Mutable) =>
    (container["volumeMounts"] as ReadonlyArray<Mutable>).find(({ name }) => name === "host")!

  test("takes the monitor", async () => {
    expect(await refusalOf(podOf(monitor))).toBeUndefined()
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
        pod["volumes"] = [
          { name: "tmp", emptyDir: {} },
          { name: "secrets", emptyDir: {} },
          { name: "host", hostPath: { path: "/etc" } }
        ]
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
        pod["volumes"] = [
          { name: "tmp", nfs: { server: "x", path: "/" } },
          { name: "secrets", emptyDir: {} },
          { name: "host", hostPath: { path: "/" } }
        ]
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
    expect(await refusalOf(podOf(monitor, change))).toContain("ValidatingAdmissionPolicy 'gatehouse-monitoring'")
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
    expect(await refusalOf(object)).toBeUndefined()
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
    expect(await refusalOf(object)).toContain(`ValidatingAdmissionPolicy '${policy}'`)
  })

  test("are of no concern to namespaces that are not the platform's", async () => {
    const elsewhere = service({ type: "NodePort" })
    const object = { ...elsewhere, metadata: { name: "tried", namespace: "default" } }
    expect(await refusalOf(object)).toBeUndefined()
  })
})

describe("quotas and limits", () => {
  test("a container that asks for nothing gets the namespace's defaults, and one that asks for too much is refused", async () => {
    const bare = podOf("dev/Deployment/dashboard", (_, container) => {
      delete container["resources"]
    })
    const text = await cluster.kubectl(["create", "-f", "-", "--dry-run=server", "-o", "json"], {
      stdin: JSON.stringify(bare)
    })
    const [container] = listAt(JSON.parse(text), "spec", "containers")
    expect(textAt(container, "resources", "limits", "memory")).toBe("256Mi")
    const greedy = podOf("dev/Deployment/dashboard", (_, one) => {
      one["resources"] = { requests: { cpu: "1", memory: "2Gi" }, limits: { cpu: "2", memory: "2Gi" } }
    })
    expect(await refusalOf(greedy)).toContain("exceeded quota: environment")
  })
})

describe("rights", () => {
  test("of every service account in every namespace are those of kustomize/access.txt", async () => {
    expect(await accessTable(cluster)).toBe(checkedInAccess())
  }, 180_000)

  test.each([
    ["prod:admin", "patch", "deployments.apps", "prod", "yes"],
    ["prod:admin", "patch", "deployments.apps", "dev", "no"],
    ["prod:admin", "get", "secrets", "prod", "no"],
    ["prod:scheduler", "patch", "deployments.apps", "prod", "no"],
    ["prod:scheduler", "create", "jobs.batch", "prod", "yes"],
    ["prod:scheduler", "list", "nodes", "prod", "no"],
    ["prod:gateway", "create", "tokenreviews.authentication.k8s.io", "prod", "yes"],
    ["prod:gateway", "create", "subjectaccessreviews.authorization.k8s.io", "prod", "no"],
    ["prod:dashboard", "get", "pods", "prod", "no"],
    ["dev:scheduler", "list", "pods", "prod", "no"]
  ])("%s: %s %s in %s: %s", async (account, verb, resource, namespace, answer) => {
    const as = `--as=system:serviceaccount:${account}`
    const { stdout } = await cluster.tryKubectl(["auth", "can-i", verb, resource, "-n", namespace, as])
    expect(stdout.trim()).toBe(answer)
  })
})
