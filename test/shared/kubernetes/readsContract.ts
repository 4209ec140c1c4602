/** The contract of reads: lists, watches, discovery, reviews, logs; part of contract.ts. */
import { describe, expect, test } from "bun:test"
import { Deferred, Effect, Fiber, Queue, Stream } from "effect"
import type { WatchEvent } from "#shared/kubernetes/Kubernetes.ts"
import { apiVersionOf, resources } from "#shared/kubernetes/objects.ts"
import { at, type Bench, list, type Target } from "./target.ts"

const { ConfigMap, Deployment, Pod, ServiceAccount } = resources

const told = (event: WatchEvent): string =>
  event._tag === "Changed" ? `${event.type} ${event.object.metadata.name}` : event._tag

export const readsContract = (bench: Bench, target: Target): void => {
  const { apply, configMap, deployment, failure, get, namespace, place, run, use } = bench

  test("is ready", () => run(use((one) => one.ready)))

  describe("lists", () => {
    test("give whole objects with their kind, by label and by name", async () => {
      const labelled = (name: string) => ({
        ...configMap(name, {}),
        metadata: { name, namespace, labels: { list: "yes" } }
      })
      await run(apply(ConfigMap, labelled("list-a")))
      await run(apply(ConfigMap, labelled("list-b")))
      const names = async (selection: { readonly labelSelector?: string; readonly fieldSelector?: string }) => {
        const found = await run(use((one) => one.list({ resource: ConfigMap, namespace, ...selection })))
        expect(found.items.every((item) => item.kind === "ConfigMap" && item.apiVersion === "v1")).toBe(true)
        expect(Number(found.resourceVersion)).toBeGreaterThan(0)
        return found.items.map((item) => item.metadata.name)
      }
      expect(await names({ labelSelector: "list=yes" })).toEqual(["list-a", "list-b"])
      expect(await names({ labelSelector: "list in (no)" })).toEqual([])
      expect(await names({ labelSelector: "list", fieldSelector: "metadata.name=list-b" })).toEqual(["list-b"])
    })
    test("refuse a selector that is none", async () => {
      const asked = use((one) => one.list({ resource: ConfigMap, namespace, labelSelector: "a=b=c" }))
      expect(await failure(asked)).toMatchObject({ reason: "invalid", status: 400 })
    })
    test("of another namespace or kind are empty or not found", async () => {
      const elsewhere = use((one) => one.list({ resource: ConfigMap, namespace: "no-such-place" }))
      expect((await run(elsewhere)).items).toEqual([])
      const foreign = { group: "example.com", version: "v1", kind: "Thing", plural: "things", namespaced: true }
      expect(await failure(use((one) => one.list({ resource: foreign, namespace })))).toMatchObject({
        reason: "not_found"
      })
    })
  })

  describe("a watch", () => {
    test("tells the list first, then each change, and of leaving its selector as a deletion", async () => {
      const object = (name: string, value: string) => ({
        ...configMap(name, {}),
        metadata: { name, namespace, labels: { watched: value } }
      })
      const seen = await run(
        Effect.gen(function* () {
          const events = yield* Queue.unbounded<WatchEvent>()
          const started = yield* Deferred.make<void>()
          yield* apply(ConfigMap, object("watch-a", "yes"))
          const watching = yield* use((one) =>
            one
              .watch({ resource: ConfigMap, namespace, labelSelector: "watched=yes" })
              .pipe(
                Stream.runForEach((event) =>
                  Queue.offer(events, event).pipe(Effect.andThen(Deferred.succeed(started, undefined)))
                )
              )
          ).pipe(Effect.forkChild({ startImmediately: true }))
          yield* Deferred.await(started)
          yield* apply(ConfigMap, object("watch-b", "yes"))
          yield* apply(ConfigMap, object("watch-c", "no"))
          yield* apply(ConfigMap, { ...object("watch-b", "yes"), data: { a: "1" } })
          yield* apply(ConfigMap, object("watch-a", "no"))
          yield* use((one) => one.delete(place(ConfigMap, "watch-b")))
          const all: Array<string> = []
          while (all.at(-1) !== "DELETED watch-b") all.push(told(yield* Queue.take(events)))
          yield* Fiber.interrupt(watching)
          return all
        })
      )
      expect(seen).toEqual(["Synced", "ADDED watch-b", "MODIFIED watch-b", "DELETED watch-a", "DELETED watch-b"])
    })
  })

  describe("discovery", () => {
    test("knows every kind of ours as the server serves it", async () => {
      for (const resource of Object.values(resources)) {
        const found = await run(use((one) => one.resourceOf(apiVersionOf(resource), resource.kind)))
        expect(found).toEqual(resource)
      }
    })
    test("knows no other", async () => {
      expect(await run(use((one) => one.resourceOf("example.com/v1", "Thing")))).toBeUndefined()
      expect(await run(use((one) => one.resourceOf("v1", "Thing")))).toBeUndefined()
    })
  })

  describe("reviews", () => {
    test("find whose a service account's token is, for its audience only", async () => {
      const name = "reviewed"
      await run(apply(ServiceAccount, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } }))
      const requested = await run(
        use((one) =>
          one.post(`/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, {
            apiVersion: "authentication.k8s.io/v1",
            kind: "TokenRequest",
            metadata: { name },
            spec: { audiences: ["gateway.dev"], expirationSeconds: 600 }
          })
        )
      )
      const token = at(requested, "status", "token")
      const review = (audience: string, asked: unknown) =>
        run(
          use((one) =>
            one.post("/apis/authentication.k8s.io/v1/tokenreviews", {
              apiVersion: "authentication.k8s.io/v1",
              kind: "TokenReview",
              metadata: { name: "" },
              spec: { token: asked, audiences: [audience] }
            })
          )
        )
      expect(at(await review("gateway.dev", token), "status")).toMatchObject({
        authenticated: true,
        user: { username: `system:serviceaccount:${namespace}:${name}` },
        audiences: ["gateway.dev"]
      })
      expect(at(await review("gateway.prod", token), "status", "authenticated")).not.toBe(true)
      expect(at(await review("gateway.dev", "nonsense"), "status", "authenticated")).not.toBe(true)
    })
    test("say what one may do", async () => {
      const answer = await run(
        use((one) =>
          one.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
            apiVersion: "authorization.k8s.io/v1",
            kind: "SelfSubjectAccessReview",
            metadata: { name: "" },
            spec: { resourceAttributes: { namespace, verb: "get", resource: "pods" } }
          })
        )
      )
      expect(at(answer, "status", "allowed")).toBe(true)
    })
  })

  describe("logs", () => {
    const lines = (pod: string, options: { readonly [key: string]: unknown } = {}) =>
      use((one) => Stream.runCollect(one.logs({ namespace, pod, ...options })))

    test("of a pod that is not there are not found", async () => {
      expect(await failure(lines("no-such-pod"))).toMatchObject({ reason: "not_found", status: 404 })
    })
    if (!target.features.kubelet) return

    const onePod = (name: string, wanted: (pod: unknown) => boolean) =>
      bench
        .eventually(`a pod of ${name}`, bench.owned(Pod, name), (pods) => pods.length === 1 && wanted(pods[0]))
        .pipe(Effect.map((pods) => pods[0]!.metadata.name))
    const state = (pod: unknown) => at(pod, "status", "containerStatuses", 0, "state")

    test("end where told: all, some, none", async () => {
      await run(apply(Deployment, deployment("log-lines", "web:1")))
      const pod = await run(onePod("log-lines", (one) => at(state(one), "running") !== undefined))
      await run(bench.eventually("a line", lines(pod), (all) => all.length > 0))
      expect(await run(lines(pod, { tailLines: 1 }))).toHaveLength(1)
      expect(await run(lines(pod, { tailLines: 0 }))).toEqual([])
      expect((await run(lines(pod, { timestamps: true })))[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z /u)
      const before = await failure(lines(pod, { previous: true }))
      expect(before).toMatchObject({ reason: "invalid", status: 400 })
      expect(before.detail).toContain("previous terminated container")
      expect(await failure(lines(pod, { container: "other" }))).toMatchObject({ reason: "invalid", status: 400 })
    })
    test("of a crashed container are those of before", async () => {
      await run(apply(Deployment, deployment("log-crash", "web:crash")))
      const pod = await run(onePod("log-crash", (one) => at(state(one), "waiting", "reason") === "CrashLoopBackOff"))
      // Between two looks it may have been started again for a moment: what is judged is one look.
      const crashed = await run(
        bench.eventually(
          "a crash loop",
          get(Pod, pod),
          (one) => at(state(one), "waiting", "reason") === "CrashLoopBackOff"
        )
      )
      const [status] = list(crashed, "status", "containerStatuses")
      expect(status).toMatchObject({ ready: false, lastState: { terminated: { exitCode: 3, reason: "Error" } } })
      // Its two outputs are read one beside the other, and a moment after its end.
      const said = (all: ReadonlyArray<string>) => all.join("\n").includes("fatal: cannot open configuration")
      const last = await run(bench.eventually("its last words", lines(pod, { previous: true, tailLines: 10 }), said))
      expect(last.join("\n")).toContain("fatal: cannot open configuration")
    })
  })
}
