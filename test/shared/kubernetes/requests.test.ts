/** What the client sends and makes of the answers: paths, retries, deadlines, pages, warnings, logs; over a server that a function plays. */
import { describe, expect, test } from "bun:test"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { makeKubernetes } from "#shared/kubernetes/client.ts"
import type { Kubernetes, KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { warningsOf } from "#shared/kubernetes/transport.ts"

const { ConfigMap, Deployment, Pod } = resources
const namespace = "dev"
const object: KubernetesObject = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x", namespace } }
const place = { resource: ConfigMap, namespace, name: "x" }

interface Sent {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly contentType: string | null
  readonly body: string
}
type Answer = (sent: Sent, index: number) => Response | Promise<Response>

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers })
const status = (code: number, reason: string, headers: Record<string, string> = {}) =>
  json({ kind: "Status", apiVersion: "v1", status: "Failure", reason, code, message: `it is ${reason}` }, code, headers)

/** Runs `body` on the test clock against a server that answers as told; gives what was sent. */
const against = async (
  answer: Answer,
  body: (kubernetes: Kubernetes["Service"]) => Effect.Effect<void, KubernetesFailed>
) => {
  const sent: Array<Sent> = []
  await Effect.runPromise(
    Effect.gen(function* () {
      const kubernetes = yield* makeKubernetes({
        description: "played",
        server: "https://played.invalid",
        send: async (url, init) => {
          const { pathname, searchParams } = new URL(url)
          sent.push({
            method: init.method ?? "GET",
            path: pathname,
            query: searchParams,
            contentType: new Headers(init.headers).get("content-type"),
            body: typeof init.body === "string" ? init.body : ""
          })
          return answer(sent.at(-1)!, sent.length - 1)
        },
        credentials: () => Effect.succeed({})
      })
      yield* body(kubernetes)
    }).pipe(Effect.provide(TestClock.layer()))
  )
  return sent
}
const failing =
  (
    f: (kubernetes: Kubernetes["Service"]) => Effect.Effect<unknown, KubernetesFailed>,
    wanted: Partial<KubernetesFailed>
  ) =>
  (kubernetes: Kubernetes["Service"]) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.flip(f(kubernetes)), { startImmediately: true })
      let done = false
      fiber.addObserver(() => (done = true))
      while (!done)
        yield* TestClock.adjust("1 second").pipe(Effect.andThen(TestClock.withLive(Effect.sleep("1 millis"))))
      expect(yield* Effect.orDie(Fiber.join(fiber))).toMatchObject(wanted)
    })

describe("a name", () => {
  test("is encoded in every part of a path", async () => {
    const odd = { resource: ConfigMap, namespace: "a/b", name: "c?d=%2e#e" }
    const sent = await against(
      () => json(object),
      (one) => Effect.asVoid(one.get(odd))
    )
    expect(sent[0]!.path).toBe("/api/v1/namespaces/a%2Fb/configmaps/c%3Fd%3D%252e%23e")
  })
  test.each([["."], [".."], [""]])("security: that is %p leads nowhere", async (name) => {
    const refused = { reason: "invalid", sent: false } as const
    const get = (one: Kubernetes["Service"]) => one.get({ ...place, name })
    const logs = (one: Kubernetes["Service"]) => Stream.runDrain(one.logs({ namespace: name, pod: "x" }))
    expect(await against(() => json(object), failing(get, refused))).toEqual([])
    expect(await against(() => json(object), failing(logs, refused))).toEqual([])
  })
  test("of a namespaced kind needs its namespace, and of another has none", async () => {
    const refused = { reason: "invalid", sent: false } as const
    const without = (one: Kubernetes["Service"]) => one.get({ resource: ConfigMap, name: "x" })
    const within = (one: Kubernetes["Service"]) => one.get({ resource: resources.Node, namespace, name: "x" })
    expect(await against(() => json(object), failing(without, refused))).toEqual([])
    expect(await against(() => json(object), failing(within, refused))).toEqual([])
  })
})

describe("a write", () => {
  test("is sent as the API wants it", async () => {
    const sent = await against(
      () => json(object),
      (one) =>
        Effect.gen(function* () {
          yield* one.apply(place, object, { fieldManager: "gatehouse", dryRun: true })
          yield* one.patch({ ...place, subresource: "scale" }, { type: "merge", body: { a: 1 } })
          yield* one.patch(place, { type: "json", body: [] }, { fieldManager: "m" })
          yield* one.patch(place, { type: "strategic", body: {} })
          yield* one.delete(place, { uid: "u", propagation: "Foreground" })
        })
    )
    const shown = sent.map(({ contentType, method, path, query }) => [method, path, contentType, query.toString()])
    const path = "/api/v1/namespaces/dev/configmaps/x"
    expect(shown).toEqual([
      [
        "PATCH",
        path,
        "application/apply-patch+yaml",
        "fieldManager=gatehouse&dryRun=All&force=false&fieldValidation=Strict"
      ],
      ["PATCH", `${path}/scale`, "application/merge-patch+json", ""],
      ["PATCH", path, "application/json-patch+json", "fieldManager=m"],
      ["PATCH", path, "application/strategic-merge-patch+json", ""],
      ["DELETE", path, "application/json", ""]
    ])
    expect(JSON.parse(sent[4]!.body)).toMatchObject({ preconditions: { uid: "u" }, propagationPolicy: "Foreground" })
  })
  test("of another kind than the place is of is refused here", async () => {
    const apply = (one: Kubernetes["Service"]) =>
      one.apply({ ...place, resource: Deployment }, object, { fieldManager: "gatehouse" })
    expect(await against(() => json(object), failing(apply, { reason: "invalid", sent: false }))).toEqual([])
  })
  test("gives the server's warnings", async () => {
    const warning = '299 - "unknown field \\"a\\"", 299 - "old, \\\\ and \\"quoted\\""'
    await against(
      () => json(object, 200, { warning }),
      (one) =>
        Effect.gen(function* () {
          const { warnings } = yield* one.patch(place, { type: "merge", body: {} })
          expect(warnings).toEqual(['unknown field "a"', 'old, \\ and "quoted"'])
        })
    )
    expect(warningsOf(null)).toEqual([])
    expect(warningsOf("nonsense")).toEqual([])
  })
  test("whose answer does not come may have been carried out, and is not repeated", async () => {
    const wanted = { reason: "unreachable", sent: true, status: null } as const
    const sent = await against(
      () => new Promise<Response>(() => {}),
      failing((one) => one.patch(place, { type: "merge", body: {} }), wanted)
    )
    expect(sent).toHaveLength(1)
  })
})

describe("a refusal", () => {
  test.each([
    [401, "Unauthorized", "unauthorized"],
    [403, "Forbidden", "forbidden"],
    [404, "NotFound", "not_found"],
    [409, "Conflict", "conflict"],
    [409, "AlreadyExists", "already_exists"],
    [410, "Expired", "gone"],
    [400, "BadRequest", "invalid"],
    [422, "Invalid", "invalid"],
    [429, "TooManyRequests", "too_many_requests"],
    [500, "InternalError", "server"],
    [503, "ServiceUnavailable", "server"]
  ] as const)("%p %p is %p, in the server's words", (code, reason, ours) =>
    against(
      () => status(code, reason),
      failing((one) => one.get(place), { reason: ours, status: code, detail: `it is ${reason}`, sent: true })
    ).then(() => {})
  )
  test("that is no Status is told as far as it is worth", async () => {
    const long = "x".repeat(2000)
    const get = (one: Kubernetes["Service"]) => one.get(place)
    await against(
      () => new Response(long, { status: 502 }),
      failing(get, { reason: "server", detail: "x".repeat(500) })
    )
    await against(() => new Response("", { status: 502 }), failing(get, { reason: "server", detail: "HTTP 502" }))
  })
  test("for being too busy is asked again where that is harmless, three times at most", async () => {
    const busy = () => status(429, "TooManyRequests", { "retry-after": "2" })
    const wanted = { reason: "too_many_requests", retryAfterSeconds: 2 } as const
    expect(
      await against(
        busy,
        failing((one) => one.get(place), wanted)
      )
    ).toHaveLength(3)
    const create = (one: Kubernetes["Service"]) => one.create({ resource: ConfigMap, namespace }, object)
    expect(await against(busy, failing(create, wanted))).toHaveLength(1)
    const patch = (one: Kubernetes["Service"]) => one.patch(place, { type: "merge", body: {} })
    expect(await against(busy, failing(patch, wanted))).toHaveLength(1)
    const unasked = () => status(503, "ServiceUnavailable")
    expect(
      await against(
        unasked,
        failing((one) => one.get(place), { reason: "server" })
      )
    ).toHaveLength(1)
    const later = () => status(503, "ServiceUnavailable", { "retry-after": "3600" })
    expect(
      await against(
        later,
        failing((one) => one.get(place), { retryAfterSeconds: 3600 })
      )
    ).toHaveLength(1)
  })
  test.each([["<html>"], ["[]"], ["null"], ['{"kind":"ConfigMap"}']])(
    "in the shape of %p is none of an API server",
    async (text) => {
      await against(
        () => new Response(text),
        failing((one) => one.get(place), { reason: "format" })
      )
      await against(
        () => new Response(text),
        failing((one) => one.list(place), { reason: "format" })
      )
    }
  )
})

describe("a list", () => {
  const page = (names: ReadonlyArray<string>, next?: string) =>
    json({
      apiVersion: "v1",
      kind: "ConfigMapList",
      metadata: { resourceVersion: "7", ...(next === undefined ? {} : { continue: next }) },
      items: names.map((name) => ({ metadata: { name } }))
    })
  test("joins its pages, and gives each item its kind", async () => {
    const sent = await against(
      (_, index) => (index === 0 ? page(["a"], "more") : page(["b"])),
      (one) =>
        Effect.gen(function* () {
          const { items, resourceVersion } = yield* one.list({ resource: ConfigMap, namespace, labelSelector: "a=b" })
          expect(items.map((item) => [item.kind, item.metadata.name])).toEqual([
            ["ConfigMap", "a"],
            ["ConfigMap", "b"]
          ])
          expect(resourceVersion).toBe("7")
        })
    )
    expect(sent.map(({ query }) => [query.get("limit"), query.get("continue"), query.get("labelSelector")])).toEqual([
      ["500", null, "a=b"],
      ["500", "more", "a=b"]
    ])
  })
  test("that expires between two pages is begun anew, a few times", async () => {
    const once = await against(
      (_, index) => (index === 1 ? status(410, "Expired") : index === 0 ? page(["a"], "more") : page(["a", "b"])),
      (one) => Effect.map(one.list(place), ({ items }) => expect(items).toHaveLength(2))
    )
    expect(once).toHaveLength(3)
    const always: Answer = ({ query }) => (query.has("continue") ? status(410, "Expired") : page(["a"], "more"))
    expect(
      await against(
        always,
        failing((one) => one.list(place), { reason: "gone" })
      )
    ).toHaveLength(6)
  })
  test("without items is empty", () =>
    against(
      () => json({ apiVersion: "v1", kind: "ConfigMapList", metadata: { resourceVersion: "1" }, items: null }),
      (one) => Effect.map(one.list(place), ({ items }) => expect(items).toEqual([]))
    ).then(() => {}))
})

describe("logs", () => {
  const logs = (text: string | ReadonlyArray<string>, wanted: ReadonlyArray<string>) =>
    against(
      () =>
        new Response(
          new ReadableStream({
            start: (controller) => {
              for (const chunk of [text].flat()) controller.enqueue(new TextEncoder().encode(chunk))
              controller.close()
            }
          })
        ),
      (one) =>
        Effect.map(Stream.runCollect(one.logs({ namespace, pod: "p" })), (lines) => expect(lines).toEqual([...wanted]))
    )
  test("are asked for with what was given, nothing dropped", async () => {
    const sent = await against(
      () => new Response(""),
      (one) =>
        Stream.runDrain(
          one.logs({
            namespace,
            pod: "p",
            container: "c",
            previous: true,
            tailLines: 0,
            sinceSeconds: 5,
            limitBytes: 9
          })
        )
    )
    expect(sent[0]!.path).toBe("/api/v1/namespaces/dev/pods/p/log")
    expect(Object.fromEntries(sent[0]!.query)).toEqual({
      container: "c",
      previous: "true",
      tailLines: "0",
      sinceSeconds: "5",
      limitBytes: "9"
    })
    expect(Pod.plural).toBe("pods")
  })
  test("come line by line, however they are cut", async () => {
    await logs(["a", "b\nc\r\n", "\n", "d"], ["ab", "c", "", "d"])
    await logs("", [])
    await logs("\n", [""])
    await logs("bar 10%\rbar 20%\n", ["bar 10%\rbar 20%"])
  })
  test("keep characters whole that two chunks share", async () => {
    const [first, second] = [new Uint8Array([0x67, 0xc3]), new Uint8Array([0xbc, 0x0a])]
    await against(
      () =>
        new Response(
          new ReadableStream({
            start: (controller) => {
              controller.enqueue(first)
              controller.enqueue(second)
              controller.close()
            }
          })
        ),
      (one) =>
        Effect.map(Stream.runCollect(one.logs({ namespace, pod: "p" })), (lines) => expect(lines).toEqual(["gü"]))
    )
  })
  test("without any line end are given up", () =>
    against(
      () => new Response("x".repeat(2 * 1024 * 1024)),
      failing((one) => Stream.runDrain(one.logs({ namespace, pod: "p" })), { reason: "format" })
    ).then(() => {}))
  test("that break off are a failure, after what has come", async () => {
    await against(
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => {
              controller.enqueue(new TextEncoder().encode("a\n"))
              controller.error(new TypeError("broken"))
            }
          })
        ),
      failing((one) => Stream.runDrain(one.logs({ namespace, pod: "p" })), { reason: "unreachable" })
    )
  })
})

describe("discovery", () => {
  test("is asked once in ten minutes", async () => {
    const sent = await against(
      () =>
        json({
          resources: [
            { name: "things", kind: "Thing", namespaced: true },
            { name: "things/status", kind: "Thing", namespaced: true }
          ]
        }),
      (one) =>
        Effect.gen(function* () {
          const thing = { group: "example.com", version: "v1", kind: "Thing", plural: "things", namespaced: true }
          expect(yield* one.resourceOf("example.com/v1", "Thing")).toEqual(thing)
          expect(yield* one.resourceOf("example.com/v1", "Other")).toBeUndefined()
          yield* TestClock.adjust("11 minutes")
          yield* one.resourceOf("example.com/v1", "Thing")
        })
    )
    expect(sent.map(({ path }) => path)).toEqual(["/apis/example.com/v1", "/apis/example.com/v1"])
  })
})
