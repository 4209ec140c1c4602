/** What runs in the simulated cluster of a development start; data alone, no secret. */
import type { WorkloadKind } from "#shared/domain/workload.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import type { Place } from "#shared/kubernetes/Kubernetes.ts"

export interface DemoWorkload {
  readonly kind: WorkloadKind
  readonly name: string
  /** Its releases so far, oldest first. */
  readonly images: readonly [string, ...ReadonlyArray<string>]
  readonly manifest: (image: string, namespace: string) => KubernetesObject
}

interface Shape {
  readonly replicas?: number
  readonly env?: Readonly<Record<string, string>>
  readonly spec?: Readonly<Record<string, unknown>>
}

const workload = (
  kind: WorkloadKind,
  name: string,
  images: DemoWorkload["images"],
  { env = {}, replicas, spec = {} }: Shape
): DemoWorkload => ({
  kind,
  name,
  images,
  manifest: (image, namespace) => ({
    apiVersion: "apps/v1",
    kind,
    metadata: { name, namespace, labels: { "app.kubernetes.io/name": name } },
    spec: {
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: { "app.kubernetes.io/name": name } },
      template: {
        metadata: {
          labels: { "app.kubernetes.io/name": name },
          annotations: { "kubernetes.io/change-cause": `release ${image.slice(image.lastIndexOf(":") + 1)}` }
        },
        spec: {
          containers: [
            {
              name,
              image,
              env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
              resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { memory: "128Mi" } }
            }
          ]
        }
      },
      ...spec
    }
  })
})

export const demoWorkloads: ReadonlyArray<DemoWorkload> = [
  workload("Deployment", "shop", ["registry.example/shop:1.4.0", "registry.example/shop:1.4.1"], {
    replicas: 3,
    env: { CATALOGUE_URL: "http://catalogue", LOG_LEVEL: "info" }
  }),
  workload("Deployment", "catalogue", ["registry.example/catalogue:7", "registry.example/catalogue:8"], {
    replicas: 2,
    env: { CACHE_SECONDS: "30" }
  }),
  workload("Deployment", "mailer", ["registry.example/mailer:2026.11"], { replicas: 1 }),
  workload("StatefulSet", "orders-db", ["registry.example/postgres:18.3", "registry.example/postgres:18.4"], {
    replicas: 1,
    spec: {
      serviceName: "orders-db",
      volumeClaimTemplates: [
        {
          metadata: { name: "data" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } }
        }
      ]
    }
  }),
  workload("DaemonSet", "log-shipper", ["registry.example/log-shipper:3.2"], {})
]

/** The demo's bad release: its image's name makes the simulated kubelet crash it. */
export const badRelease = { name: "shop", image: "registry.example/shop:1.5.0-crash" } as const

export const placeOf = ({ kind, name }: DemoWorkload, namespace: string): Place => ({
  resource: resources[kind],
  namespace,
  name
})
