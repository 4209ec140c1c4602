/** Undo, restart, pause and scale against a simulated cluster: what goes over the wire, and what does not when it is refused. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { Effect } from "effect"
import { Chronicle } from "#admin/Chronicle.ts"
import { type Prepared, Rollouts } from "#admin/Rollouts.ts"
import type { WorkloadRef } from "#admin/kinds.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { resources } from "#shared/kubernetes/objects.ts"
import { at, listAt, textAt } from "#shared/kubernetes/fields.ts"
import { change, make, release, remove, startWorld, type World } from "#test/admin/simulated.ts"

const web: WorkloadRef = { namespace: "dev", kind: "Deployment", name: "web" }
const restartedAt = "kubectl.kubernetes.io/restartedAt"

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(() => world.stop())

const rollouts = <A, E>(act: (service: Rollouts["Service"]) => Effect.Effect<A, E>) => Rollouts.use(act)

const written = ({ write }: Prepared) => {
  if (write === undefined) throw new Error("there is nothing to write")
  return write
}

const writes = () =>
  world.cluster.writes().map(({ body, contentType, method, path, query }) => ({
    request: `${method} ${path}${query}`,
    contentType,
    body: JSON.parse(body) as unknown
  }))

const imageOf = async () =>
  textAt(listAt(await world.get("Deployment", "web"), "spec", "template", "spec", "containers")[0], "image")

/** web:1, then web:2, then web:crash, each rolled out as far as it goes. */
const threeReleases = async () => {
  await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
  world.cluster.advance(10)
  await release(world.cluster, "Deployment", "web", "web:2")
  world.cluster.advance(10)
  await release(world.cluster, "Deployment", "web", "web:crash")
  world.cluster.advance(10)
  world.cluster.writes(true)
}

describe("undo", () => {
  test("reads, prepares, and writes only when told: one JSON patch under our field manager", async () => {
    await threeReleases()
    const prepared = await world.run(rollouts((service) => service.undo(web, 0)))
    expect(prepared.undo).toMatchObject({ fromRevision: 3, toRevision: 2, skipped: false })
    expect(writes()).toEqual([])
    const { object } = await world.run(written(prepared))
    expect(await imageOf()).toBe("web:2")
    expect(object.metadata.generation).toBe((prepared.before.metadata.generation ?? 0) + 1)
    expect(writes()).toMatchObject([
      {
        request: "PATCH /apis/apps/v1/namespaces/dev/deployments/web?fieldManager=gatehouse-admin",
        contentType: "application/json-patch+json"
      }
    ])
  })

  test("gives the old ReplicaSet a new number, so that its old one is gone", async () => {
    await threeReleases()
    await world.run(
      Effect.flatMap(
        rollouts((service) => service.undo(web, 2)),
        written
      )
    )
    world.cluster.advance(10)
    const { revisions } = await world.run(rollouts((service) => service.load(web)))
    expect(revisions.map(({ revision }) => revision).toSorted()).toEqual([1, 3, 4])
    const refusal = await world.refused(rollouts((service) => service.undo(web, 2)))
    expect([refusal._tag, refusal.message]).toEqual([
      "RevisionNotFound",
      "unable to find specified revision 2 in history"
    ])
  })

  test("is skipped where the template is so already, and writes nothing", async () => {
    await threeReleases()
    const prepared = await world.run(rollouts((service) => service.undo(web, 3)))
    expect([prepared.write, prepared.idle, prepared.message]).toEqual([
      undefined,
      "skipped",
      "deployment.apps/web skipped rollback (current template already matches revision 3)"
    ])
  })

  test("as a dry run asks the API server and leaves nothing to write", async () => {
    await threeReleases()
    const prepared = await world.run(rollouts((service) => service.undo(web, 0, true)))
    expect([prepared.write, prepared.undo?.toRevision]).toEqual([undefined, 2])
    expect(world.cluster.writes().map(({ dryRun, query }) => [dryRun, query])).toEqual([
      [true, "?fieldManager=gatehouse-admin&dryRun=All"]
    ])
    expect(await imageOf()).toBe("web:crash")
  })

  test("to the last known good finds what was marked, by uid", async () => {
    await threeReleases()
    const { object, revisions } = await world.run(rollouts((service) => service.load(web)))
    const first = revisions.find(({ revision }) => revision === 1)!
    await world.run(Chronicle.use((chronicle) => chronicle.markGood(object.metadata.uid!, first.uid)))
    const prepared = await world.run(rollouts((service) => service.undo(web, "last-known-good")))
    expect(prepared.undo?.toRevision).toBe(1)
  })

  const races: ReadonlyArray<readonly [title: string, race: () => Promise<void>]> = [
    ["its template", () => release(world.cluster, "Deployment", "web", "web:4")],
    ["its replicas", () => change(world.cluster, "Deployment", "web", { spec: { replicas: 5 } })],
    ["its annotations", () => change(world.cluster, "Deployment", "web", { metadata: { annotations: { a: "b" } } })],
    [
      "the object of that name",
      async () => {
        await remove(world.cluster, "Deployment", "web")
        world.cluster.advance(5)
        await make(world.cluster, { kind: "Deployment", name: "web", image: "web:9" })
      }
    ]
  ]
  for (const [title, race] of races) {
    test(`security: is stale, and changes nothing, when somebody has changed ${title} in between`, async () => {
      await threeReleases()
      const prepared = await world.run(rollouts((service) => service.undo(web, 0)))
      await race()
      const before = await world.get("Deployment", "web")
      expect((await world.refused(written(prepared)))._tag).toBe("Stale")
      expect(await world.get("Deployment", "web")).toEqual(before)
    })
  }

  test("is not stale because a crash-looping pod has changed the status", async () => {
    await threeReleases()
    const prepared = await world.run(rollouts((service) => service.undo(web, 0)))
    world.cluster.advance(120)
    const now = await world.get("Deployment", "web")
    expect(now.metadata.generation).toBe(prepared.before.metadata.generation!)
    await world.run(written(prepared))
    expect(await imageOf()).toBe("web:2")
  })

  test("of a workload that is not there is refused in kubectl's words", async () => {
    const refusal = await world.refused(rollouts((service) => service.undo(web, 0)))
    expect([refusal._tag, refusal.message]).toEqual(["WorkloadNotFound", 'deployments.apps "web" not found'])
  })

  test("names the right that the service account lacks", async () => {
    await threeReleases()
    world.cluster.intercept((request) =>
      request.url.includes("/replicasets")
        ? Response.json(
            {
              kind: "Status",
              apiVersion: "v1",
              metadata: {},
              status: "Failure",
              reason: "Forbidden",
              code: 403,
              message: "cannot list replicasets"
            },
            { status: 403 }
          )
        : undefined
    )
    const refusal = await world.refused(rollouts((service) => service.undo(web, 0)))
    expect([refusal._tag, refusal.message]).toEqual([
      "UpstreamForbidden",
      "the service account may not do this: cannot list replicasets"
    ])
  })
})

describe("restart", () => {
  test("sends kubectl's patch under our field manager, in UTC", async () => {
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
    world.cluster.advance(10)
    world.cluster.writes(true)
    const prepared = await world.run(rollouts((service) => service.restart(web)))
    expect(prepared.message).toBe("deployment.apps/web restarted")
    await world.run(written(prepared))
    expect(writes()).toEqual([
      {
        request: "PATCH /apis/apps/v1/namespaces/dev/deployments/web?fieldManager=gatehouse-admin",
        contentType: "application/strategic-merge-patch+json",
        body: { spec: { template: { metadata: { annotations: { [restartedAt]: "2026-01-01T00:00:00Z" } } } } }
      }
    ])
  })

  test("a second time within the same second is refused in kubectl's words", async () => {
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
    await world.run(
      Effect.flatMap(
        rollouts((service) => service.restart(web)),
        written
      )
    )
    const refusal = await world.refused(rollouts((service) => service.restart(web)))
    expect([refusal._tag, refusal.message]).toEqual([
      "RestartTooSoon",
      "failed to create patch for web: if restart has already been triggered within the past second, please wait before attempting to trigger another"
    ])
    await world.pass(1)
    expect((await world.run(rollouts((service) => service.restart(web)))).write).toBeDefined()
  })

  test("of a paused Deployment is refused", async () => {
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
    await world.run(
      Effect.flatMap(
        rollouts((service) => service.pause(web)),
        written
      )
    )
    const refusal = await world.refused(rollouts((service) => service.restart(web)))
    expect([refusal._tag, refusal.message]).toEqual([
      "Paused",
      "can't restart paused deployment (run rollout resume first)"
    ])
  })
})

describe("pause and resume", () => {
  test("set and remove the field, and are unchanged the second time", async () => {
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
    world.cluster.writes(true)
    const paused = await world.run(rollouts((service) => service.pause(web)))
    await world.run(written(paused))
    const again = await world.run(rollouts((service) => service.pause(web)))
    expect([again.write, again.idle, again.message]).toEqual([
      undefined,
      "unchanged",
      'deployments.apps "web" is already paused'
    ])
    const resumed = await world.run(rollouts((service) => service.resume(web)))
    await world.run(written(resumed))
    expect(at(await world.get("Deployment", "web"), "spec", "paused")).toBeUndefined()
    expect(writes().map(({ body }) => body)).toEqual([{ spec: { paused: true } }, { spec: { paused: null } }])
    expect([paused.message, resumed.message]).toEqual(["deployment.apps/web paused", "deployment.apps/web resumed"])
  })
})

describe("scale", () => {
  test("patches the scale subresource, and is unchanged where it is so already", async () => {
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
    world.cluster.writes(true)
    await world.run(
      Effect.flatMap(
        rollouts((service) => service.scale(web, 4)),
        written
      )
    )
    expect(at(await world.get("Deployment", "web"), "spec", "replicas")).toBe(4)
    expect(writes()).toEqual([
      {
        request: "PATCH /apis/apps/v1/namespaces/dev/deployments/web/scale?fieldManager=gatehouse-admin",
        contentType: "application/merge-patch+json",
        body: { spec: { replicas: 4 } }
      }
    ])
    expect((await world.run(rollouts((service) => service.scale(web, 4)))).write).toBeUndefined()
  })

  test("refuses what a HorizontalPodAutoscaler owns, and says which one", async () => {
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
    const autoscaler = (name: string, target: string) => ({
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name },
      spec: {
        minReplicas: 1,
        maxReplicas: 3,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: target }
      }
    })
    const create = (name: string, target: string) =>
      world.run(
        Kubernetes.use((kubernetes) =>
          kubernetes.create({ resource: resources.HorizontalPodAutoscaler, namespace: "dev" }, autoscaler(name, target))
        )
      )
    await create("other", "api")
    expect((await world.run(rollouts((service) => service.scale(web, 4)))).write).toBeDefined()
    await create("web-hpa", "web")
    const refusal = await world.refused(rollouts((service) => service.scale(web, 4)))
    expect([refusal._tag, refusal.message]).toEqual([
      "HpaOwned",
      'deployment "web" is scaled by the HorizontalPodAutoscaler "web-hpa": change its bounds instead'
    ])
  })
})

for (const kind of ["StatefulSet", "DaemonSet"] as const) {
  describe(kind, () => {
    const target: WorkloadRef = { namespace: "dev", kind, name: "db" }
    const image = async () =>
      textAt(listAt(await world.get(kind, "db"), "spec", "template", "spec", "containers")[0], "image")
    const twoReleases = async () => {
      await make(world.cluster, { kind, name: "db", image: "db:1" })
      world.cluster.advance(10)
      await release(world.cluster, kind, "db", "db:2")
      world.cluster.advance(10)
      world.cluster.writes(true)
    }

    test("is undone by its stored revision, as it is", async () => {
      await twoReleases()
      const prepared = await world.run(rollouts((service) => service.undo(target, 0)))
      expect(prepared.undo).toMatchObject({ fromRevision: 2, toRevision: 1, lostAnnotations: [] })
      await world.run(written(prepared))
      expect(await image()).toBe("db:1")
      const [sent] = writes()
      expect(sent?.contentType).toBe("application/strategic-merge-patch+json")
      expect(at(sent?.body, "spec", "template", "$patch")).toBe("replace")
      world.cluster.advance(10)
      const { revisions } = await world.run(rollouts((service) => service.load(target)))
      expect(revisions.map(({ revision }) => revision).toSorted()).toEqual([2, 3])
    })

    test("security: an undo is stale, and sends nothing, when somebody has changed it in between", async () => {
      await twoReleases()
      const prepared = await world.run(rollouts((service) => service.undo(target, 0)))
      await release(world.cluster, kind, "db", "db:3")
      world.cluster.writes(true)
      expect((await world.refused(written(prepared)))._tag).toBe("Stale")
      expect(writes()).toEqual([])
    })

    test("is restarted, and cannot be paused", async () => {
      await twoReleases()
      const prepared = await world.run(rollouts((service) => service.restart(target)))
      await world.run(written(prepared))
      expect(prepared.message).toBe(`${kind.toLowerCase()}.apps/db restarted`)
      expect((await world.refused(rollouts((service) => service.pause(target))))._tag).toBe("Unsupported")
    })
  })
}
