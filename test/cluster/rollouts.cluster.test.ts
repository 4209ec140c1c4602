/** kubectl and ours on the same state of a real API server: the same objects afterwards, the same words where it is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Effect, Layer, ManagedRuntime } from "effect"
import { Chronicle } from "#admin/Chronicle.ts"
import { at, fieldsOf, without } from "#shared/kubernetes/fields.ts"
import { fieldManager, onlyOurs } from "#admin/fieldManager.ts"
import { type Prepared, Rollouts } from "#admin/Rollouts.ts"
import { numbered } from "#admin/rollout/history.ts"
import { kubectlStatus } from "#admin/rollout/status.ts"
import { readConfig } from "#shared/config.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import { kubernetesConfig, kubernetesLayer } from "#shared/kubernetes/config.ts"
import { Kubernetes, type KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import type { Cluster } from "#test/cluster/cluster.ts"
import { eventually } from "#test/shared/until.ts"
import { testCluster } from "#test/cluster/launch.ts"

/** One namespace for each hand; what stands in them is the same but for the name of the namespace. */
const theirs = "rollouts-kubectl"
const ours = "rollouts-ours"

let cluster: Cluster
let runtime: ManagedRuntime.ManagedRuntime<Rollouts | Kubernetes, never>

beforeAll(async () => {
  cluster = await testCluster()
  const config = await Effect.runPromise(readConfig(kubernetesConfig, { KUBERNETES: cluster.kubeconfig }, []))
  runtime = ManagedRuntime.make(
    Rollouts.layer.pipe(Layer.provide(Chronicle.layerMemory), Layer.provideMerge(kubernetesLayer(config)), Layer.orDie)
  )
  for (const namespace of [theirs, ours]) await cluster.openNamespace(namespace)
}, 180_000)
afterAll(async () => {
  await runtime.dispose()
  for (const namespace of [theirs, ours]) await cluster.kubectl(["delete", "namespace", namespace, "--wait=false"])
})

const run = <A, E>(effect: Effect.Effect<A, E, Rollouts | Kubernetes>) => runtime.runPromise(effect)
const target = (kind: WorkloadKind, name: string, namespace = ours) => ({ namespace, kind, name })

type Act = (service: Rollouts["Service"]) => Effect.Effect<Prepared, { readonly message: string }>
/** Prepares and writes; the message, or that of the refusal. */
const act = (change: Act) =>
  run(
    Rollouts.use(change).pipe(
      Effect.flatMap((prepared) => Effect.as(prepared.write ?? Effect.void, prepared.message)),
      Effect.catch((refusal) => Effect.succeed(refusal.message))
    )
  )

/** Everything kubectl says, on either output. */
const kubectl = async (...args: ReadonlyArray<string>) => {
  const { stderr, stdout } = await cluster.tryKubectl([...args, "-n", theirs])
  return `${stdout}${stderr}`
}

const live = (kind: WorkloadKind, name: string, namespace: string) =>
  run(Kubernetes.use((kubernetes) => kubernetes.get({ resource: resources[kind], namespace, name })))

/** What must be equal: everything that was written, times and the namespace's name aside. */
const comparable = (object: KubernetesObject) => {
  const { annotations, generation, labels, name } = object.metadata
  const text = JSON.stringify({ name, generation, labels, annotations, spec: object["spec"] })
  return JSON.parse(
    text
      .replaceAll(new RegExp(`${theirs}|${ours}`, "gu"), "namespace")
      .replaceAll(/"kubectl\.kubernetes\.io\/restartedAt":"[^"]+"/gu, '"kubectl.kubernetes.io/restartedAt":"then"')
  ) as unknown
}

const expectSame = async (kind: WorkloadKind, name: string) => {
  expect(comparable(await live(kind, name, ours))).toEqual(comparable(await live(kind, name, theirs)))
}

/** No pod is ever made: what is compared are objects and revisions. */
const manifest = (kind: WorkloadKind, name: string, image: string, annotations = {}) =>
  JSON.stringify({
    apiVersion: "apps/v1",
    kind,
    metadata: { name, annotations },
    spec: {
      ...(kind === "DaemonSet" ? {} : { replicas: 0 }),
      ...(kind === "StatefulSet" ? { serviceName: name } : {}),
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          nodeSelector: { "example.org/none": "none" },
          containers: [{ name: "app", image, resources: { requests: { cpu: "0.5", memory: "1024Mi" } } }]
        }
      }
    }
  })

const revisions = (kind: WorkloadKind, name: string, namespace: string) =>
  run(Rollouts.use((service) => service.load(target(kind, name, namespace)))).then((loaded) => loaded.revisions)

/** The controller has seen the object, and made the revision of its template. */
const settled = (kind: WorkloadKind, name: string, highest: number) =>
  Promise.all(
    [theirs, ours].map((namespace) =>
      eventually(`revision ${highest} of ${kind} ${name} in ${namespace}`, async () => {
        const object = await live(kind, name, namespace)
        const seen = at(object, "status", "observedGeneration") === object.metadata.generation
        const all = await revisions(kind, name, namespace)
        return seen && Math.max(...all.map(({ revision }) => revision)) === highest
      })
    )
  )

const applyBoth = async (kind: WorkloadKind, name: string, image: string, annotations = {}) => {
  for (const namespace of [theirs, ours]) {
    await cluster.kubectl(["apply", "-n", namespace, "-f", "-"], { stdin: manifest(kind, name, image, annotations) })
  }
}
const both = async (...args: ReadonlyArray<string>) => {
  for (const namespace of [theirs, ours]) await cluster.kubectl([...args, "-n", namespace])
}

const cause = (text: string) => ({ "kubernetes.io/change-cause": text })

for (const kind of ["Deployment", "StatefulSet", "DaemonSet"] as const) {
  const name = `web-${kind.toLowerCase()}`
  const ref = `${kind.toLowerCase()}/${name}`

  describe(kind, () => {
    test("is the same after a restart, an undo to the previous and an undo to a number", async () => {
      await applyBoth(kind, name, "example.org/web:1", cause("one"))
      await settled(kind, name, 1)
      await applyBoth(kind, name, "example.org/web:2", cause("two"))
      await settled(kind, name, 2)
      await both("annotate", ref, "note=by-hand")

      const restarted = await act((service) => service.restart(target(kind, name)))
      expect(await kubectl("rollout", "restart", ref)).toContain(restarted)
      await settled(kind, name, 3)
      await expectSame(kind, name)

      const previous = await act((service) => service.undo(target(kind, name), 0))
      expect(previous).toEndWith("rolled back")
      expect(await kubectl("rollout", "undo", ref)).toContain(previous)
      await settled(kind, name, 4)
      await expectSame(kind, name)

      const first = await act((service) => service.undo(target(kind, name), 1))
      expect(await kubectl("rollout", "undo", ref, "--to-revision=1")).toContain(first)
      await settled(kind, name, 5)
      await expectSame(kind, name)
    }, 180_000)

    test("has the same history", async () => {
      const listed = numbered(await revisions(kind, name, ours)).map(
        ({ changeCause, revision }) => `${revision} ${changeCause || "<none>"}`
      )
      const printed = (await kubectl("rollout", "history", ref))
        .split("\n")
        .filter((line) => /^\d/u.test(line))
        .map((line) => line.trim().replaceAll(/\s+/gu, " "))
      expect(printed).toEqual(listed)
    }, 60_000)

    test("has the same status", async () => {
      const { message } = kubectlStatus(kind, await live(kind, name, theirs))
      expect((await kubectl("rollout", "status", ref, "--watch=false")).trim()).toBe(message)
    }, 60_000)

    test("is refused in the same words: a number that is not there, one that is so already, no history", async () => {
      const missing = await act((service) => service.undo(target(kind, name), 77))
      expect(await kubectl("rollout", "undo", ref, "--to-revision=77")).toContain(missing)
      expect(missing).toStartWith("unable to find")

      const skipped = await act((service) => service.undo(target(kind, name), 5))
      expect(await kubectl("rollout", "undo", ref, "--to-revision=5")).toContain(skipped)
      expect(skipped).toContain("skipped rollback")
      await expectSame(kind, name)

      const fresh = `fresh-${kind.toLowerCase()}`
      await applyBoth(kind, fresh, "example.org/web:1")
      await settled(kind, fresh, 1)
      const none = await act((service) => service.undo(target(kind, fresh), 0))
      expect(await kubectl("rollout", "undo", `${kind.toLowerCase()}/${fresh}`)).toContain(none)
      expect(none).toMatch(/^no (?:rollout history found|last revision)/u)

      const absent = await act((service) => service.undo(target(kind, "nobody"), 0))
      expect(await kubectl("rollout", "undo", `${kind.toLowerCase()}/nobody`)).toContain(absent)
    }, 180_000)

    test("warns of a later client-side apply in kubectl's words", async () => {
      const prepared = await run(Rollouts.use((service) => service.undo(target(kind, name), 0)))
      const said = await kubectl("rollout", "undo", ref, "--dry-run=server")
      for (const warning of prepared.warnings.filter((one) => one.startsWith("resource ")))
        expect(said).toContain(warning)
      expect(prepared.warnings.some((one) => one.startsWith("resource "))).toBe(true)
    }, 60_000)
  })
}

describe("a Deployment alone", () => {
  const kind = "Deployment"
  const name = "web-deployment"
  const ref = `deployment/${name}`

  test("is paused, resumed and scaled the same way", async () => {
    expect(await kubectl("rollout", "pause", ref)).toContain(await act((service) => service.pause(target(kind, name))))
    await expectSame(kind, name)
    expect(await kubectl("rollout", "pause", ref)).toContain(await act((service) => service.pause(target(kind, name))))

    const undo = await act((service) => service.undo(target(kind, name), 0))
    expect(await kubectl("rollout", "undo", ref)).toContain(undo)
    expect(undo).toStartWith("you cannot rollback a paused deployment")
    const restart = await act((service) => service.restart(target(kind, name)))
    expect(await kubectl("rollout", "restart", ref)).toContain(restart)
    expect(restart).toStartWith("can't restart paused deployment")
    await expectSame(kind, name)

    expect(await kubectl("rollout", "resume", ref)).toContain(
      await act((service) => service.resume(target(kind, name)))
    )
    await expectSame(kind, name)
    expect(await kubectl("rollout", "resume", ref)).toContain(
      await act((service) => service.resume(target(kind, name)))
    )

    // An absent node keeps its pods from running anywhere.
    expect(await kubectl("scale", ref, "--replicas=2")).toContain(
      await act((service) => service.scale(target(kind, name), 2))
    )
    await expectSame(kind, name)
  }, 180_000)

  test("security: an undo is stale when somebody was there in between, and nothing is written", async () => {
    const prepared = await run(Rollouts.use((service) => service.undo(target(kind, name), 0)))
    await cluster.kubectl(["annotate", ref, "-n", ours, "race=lost"])
    const before = await live(kind, name, ours)
    const refusal = await run(Effect.flip(prepared.write!))
    expect(refusal._tag).toBe("Stale")
    // Controllers write its status whenever they like; what people write is its spec and its annotations.
    const written = ({ metadata, ...object }: KubernetesObject) => ({
      generation: metadata.generation,
      annotations: metadata.annotations,
      spec: object["spec"]
    })
    expect(written(await live(kind, name, ours))).toEqual(written(before))
  }, 60_000)

  test("conflicts after our undo are only ours, so an apply may take them over; after kubectl's they are not", async () => {
    const apply = (namespace: string, image: string, force: boolean) =>
      Kubernetes.use((kubernetes) =>
        kubernetes.apply(
          { resource: resources.Deployment, namespace, name: "applied" },
          JSON.parse(manifest("Deployment", "applied", image)) as KubernetesObject,
          { fieldManager, force }
        )
      )
    for (const namespace of [theirs, ours]) {
      await run(apply(namespace, "example.org/web:1", false))
    }
    await settled(kind, "applied", 1)
    for (const namespace of [theirs, ours]) await run(apply(namespace, "example.org/web:2", false))
    await settled(kind, "applied", 2)
    await act((service) => service.undo(target(kind, "applied"), 0))
    await kubectl("rollout", "undo", "deployment/applied")
    await settled(kind, "applied", 3)
    const conflict = (namespace: string): Promise<KubernetesFailed> =>
      run(Effect.flip(apply(namespace, "example.org/web:3", false)))
    expect(onlyOurs(await conflict(ours))).toBe(true)
    expect(onlyOurs(await conflict(theirs))).toBe(false)
    const { object } = await run(apply(ours, "example.org/web:3", true))
    expect(JSON.stringify(without(fieldsOf(object["spec"]), "selector"))).toContain("example.org/web:3")
  }, 180_000)
})
