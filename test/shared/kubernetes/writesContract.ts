/** The contract of writes: server-side apply and ownership, patches, validation, defaults, locking; part of contract.ts. */
import { describe, expect, test } from "bun:test"
import { Effect } from "effect"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { at, type Bench, list } from "./target.ts"

const { ConfigMap, Deployment, Secret, Service, StatefulSet } = resources

export const writesContract = (bench: Bench): void => {
  const { apply, configMap, deployment, failure, get, namespace, place, run, use } = bench

  describe("server-side apply", () => {
    test("creates, leaves alone what is the same, and changes what differs", async () => {
      const first = await run(apply(ConfigMap, configMap("apply-a", { a: "1" })))
      const again = await run(apply(ConfigMap, configMap("apply-a", { a: "1" })))
      const changed = await run(apply(ConfigMap, configMap("apply-a", { a: "2" })))
      expect([first.created, again.created, changed.created]).toEqual([true, false, false])
      expect(again.object.metadata.resourceVersion).toBe(first.object.metadata.resourceVersion!)
      expect(changed.object.metadata.resourceVersion).not.toBe(first.object.metadata.resourceVersion!)
      expect(changed.object["data"]).toEqual({ a: "2" })
    })

    test("refuses an unknown field by its name and changes nothing", async () => {
      const refused = await failure(apply(Deployment, deployment("apply-unknown", "web:1", { replicaz: 2 })))
      expect(refused.reason).toBe("invalid")
      expect(refused.detail).toContain(".spec.replicaz: field not declared in schema")
      expect(await failure(get(Deployment, "apply-unknown"))).toMatchObject({ reason: "not_found" })
    })

    test("refuses a field of the wrong type", async () => {
      const refused = await failure(apply(Deployment, deployment("apply-type", "web:1", { replicas: "two" })))
      expect(refused.reason).toBe("invalid")
      expect(refused.detail).toContain(".spec.replicas: expected numeric (int or float), got string")
      expect(await failure(get(Deployment, "apply-type"))).toMatchObject({ reason: "not_found" })
    })

    test("meets a field of another manager with a conflict that names both", async () => {
      await run(apply(Deployment, deployment("apply-conflict", "web:1"), "kubectl"))
      const conflict = await failure(apply(Deployment, deployment("apply-conflict", "web:2")))
      expect(conflict).toMatchObject({ reason: "conflict", status: 409 })
      expect(conflict.causes).toContainEqual({
        reason: "FieldManagerConflict",
        message: 'conflict with "kubectl"',
        field: '.spec.template.spec.containers[name="main"].env[name="VERSION"].value'
      })
      expect(at(await run(get(Deployment, "apply-conflict")), "metadata", "generation")).toBe(1)
    })

    test("takes a field over by force, and then the loser no longer owns it", async () => {
      await run(apply(ConfigMap, configMap("apply-force", { a: "1" }), "kubectl"))
      const taken = await run(apply(ConfigMap, configMap("apply-force", { a: "2" }), "gatehouse", true))
      expect(taken.object["data"]).toEqual({ a: "2" })
      expect(await failure(apply(ConfigMap, configMap("apply-force", { a: "1" }), "kubectl"))).toMatchObject({
        reason: "conflict",
        causes: [{ message: 'conflict with "gatehouse"', field: ".data.a" }]
      })
    })

    test("removes what its manager no longer wants, and keeps what another still does", async () => {
      await run(apply(ConfigMap, configMap("apply-remove", { mine: "1", shared: "1" })))
      await run(apply(ConfigMap, configMap("apply-remove", { shared: "1", theirs: "1" }), "other"))
      const left = await run(apply(ConfigMap, configMap("apply-remove", {})))
      expect(left.object["data"]).toEqual({ shared: "1", theirs: "1" })
    })

    test("keeps a variable that an update has set, and removes one that apply had set", async () => {
      const name = "apply-items"
      await run(apply(Deployment, deployment(name, "web:1")))
      const variables = [{ name: "main", env: [{ name: "BY_HAND", value: "1" }] }]
      const patch = { spec: { template: { spec: { containers: variables } } } }
      const options = { fieldManager: "by-hand" }
      await run(use((one) => one.patch(place(Deployment, name), { type: "strategic", body: patch }, options)))
      const bare = deployment(name, "web:1", {
        template: { ...bench.template(name, "web:1", { env: [] }) }
      })
      const { object } = await run(apply(Deployment, bare))
      expect(list(object, "spec", "template", "spec", "containers", 0, "env")).toEqual([
        { name: "BY_HAND", value: "1" }
      ])
    })

    test("tells its own update and its own apply apart", async () => {
      const name = "apply-update"
      await run(apply(Deployment, deployment(name, "web:1")))
      const containers = [{ name: "main", env: [{ name: "VERSION", value: "by update" }] }]
      const patch = { spec: { template: { spec: { containers } } } }
      const options = { fieldManager: "gatehouse" }
      await run(use((one) => one.patch(place(Deployment, name), { type: "strategic", body: patch }, options)))
      const conflict = await failure(apply(Deployment, deployment(name, "web:2")))
      expect(conflict.causes.map(({ message }) => message).join()).toMatch(/^conflict with "gatehouse" using apps\/v1/u)
      expect((await run(apply(Deployment, deployment(name, "web:2"), "gatehouse", true))).created).toBe(false)
    })

    test("loses a field to an update that changes it, so that a third meets only the updater", async () => {
      await run(apply(ConfigMap, configMap("apply-lost", { a: "1", b: "1" }), "kubectl"))
      const patch = { type: "merge", body: { data: { a: "2" } } } as const
      await run(use((one) => one.patch(place(ConfigMap, "apply-lost"), patch, { fieldManager: "by-hand" })))
      const conflict = await failure(apply(ConfigMap, configMap("apply-lost", { a: "3", b: "3" })))
      expect(conflict.causes.map(({ field, message }) => `${field} ${message.split(" using")[0]}`).toSorted()).toEqual([
        '.data.a conflict with "by-hand"',
        '.data.b conflict with "kubectl"'
      ])
    })

    test("conflicts with a scaler of the scale subresource, by its name", async () => {
      const name = "apply-scale"
      await run(apply(Deployment, deployment(name, "web:1")))
      const scale = { ...place(Deployment, name), subresource: "scale" }
      const patch = { type: "merge", body: { spec: { replicas: 3 } } } as const
      await run(use((one) => one.patch(scale, patch, { fieldManager: "kube-controller-manager" })))
      expect(at(await run(get(Deployment, name)), "spec", "replicas")).toBe(3)
      const conflict = await failure(apply(Deployment, deployment(name, "web:1")))
      expect(conflict.causes[0]).toMatchObject({ field: ".spec.replicas" })
      expect(conflict.causes[0]!.message).toStartWith(
        'conflict with "kube-controller-manager" with subresource "scale"'
      )
    })

    test("takes over from client-side apply once its fields are moved", async () => {
      const name = "apply-adopt"
      const object = deployment(name, "web:1")
      const both = deployment(name, "web:1", {
        template: bench.template(name, "web:1", {
          env: [
            { name: "A", value: "1" },
            { name: "B", value: "1" }
          ]
        })
      })
      await run(
        use((one) =>
          one.create({ resource: Deployment, namespace }, both, { fieldManager: "kubectl-client-side-apply" })
        )
      )
      const onlyA = deployment(name, "web:1", {
        template: bench.template(name, "web:1", { env: [{ name: "A", value: "1" }] })
      })
      const kept = await run(apply(Deployment, onlyA))
      expect(list(kept.object, "spec", "template", "spec", "containers", 0, "env")).toHaveLength(2)
      const entries = kept.object.metadata.managedFields ?? []
      // The controller's own, of the status, may be there by now.
      const mine = entries.find((entry) => entry["manager"] === "kubectl-client-side-apply")!
      const moved = entries
        .filter((entry) => entry["manager"] !== "gatehouse" && entry !== mine)
        .concat([{ ...mine, manager: "gatehouse", operation: "Apply" }])
      await run(
        use((one) =>
          one.patch(place(Deployment, name), {
            type: "json",
            body: [{ op: "replace", path: "/metadata/managedFields", value: moved }]
          })
        )
      )
      const { object: gone } = await run(apply(Deployment, onlyA))
      expect(list(gone, "spec", "template", "spec", "containers", 0, "env")).toEqual([{ name: "A", value: "1" }])
      expect(object.kind).toBe("Deployment")
    })

    test("tries a change without writing it", async () => {
      const name = "apply-dry"
      const tried = await run(
        use((one) =>
          one.apply(place(Deployment, name), deployment(name, "web:1"), { fieldManager: "gatehouse", dryRun: true })
        )
      )
      expect(tried).toMatchObject({ created: true, object: { spec: { revisionHistoryLimit: 10 } } })
      expect(await failure(get(Deployment, name))).toMatchObject({ reason: "not_found" })
    })
  })

  describe("the server", () => {
    test("fills in defaults", async () => {
      const { object } = await run(
        apply(Deployment, {
          ...deployment("defaults", "web:1"),
          spec: {
            selector: { matchLabels: { app: "defaults" } },
            template: {
              metadata: { labels: { app: "defaults" } },
              spec: {
                containers: [
                  {
                    name: "main",
                    image: "web",
                    ports: [{ containerPort: 80 }],
                    readinessProbe: { httpGet: { port: 80 } },
                    resources: { limits: { memory: "64Mi" } }
                  }
                ],
                volumes: [{ name: "tmp" }]
              }
            }
          }
        })
      )
      expect(object).toMatchObject({
        metadata: { generation: 1 },
        spec: {
          replicas: 1,
          revisionHistoryLimit: 10,
          progressDeadlineSeconds: 600,
          strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
          template: {
            spec: {
              restartPolicy: "Always",
              dnsPolicy: "ClusterFirst",
              terminationGracePeriodSeconds: 30,
              schedulerName: "default-scheduler",
              securityContext: {},
              volumes: [{ name: "tmp", emptyDir: {} }],
              containers: [
                {
                  imagePullPolicy: "Always",
                  ports: [{ containerPort: 80, protocol: "TCP" }],
                  terminationMessagePath: "/dev/termination-log",
                  terminationMessagePolicy: "File",
                  resources: { limits: { memory: "64Mi" } },
                  readinessProbe: {
                    httpGet: { path: "/", port: 80, scheme: "HTTP" },
                    timeoutSeconds: 1,
                    periodSeconds: 10,
                    successThreshold: 1,
                    failureThreshold: 3
                  }
                }
              ]
            }
          }
        }
      })
    })

    test("gives a Service an address, and a Secret's text as data", async () => {
      const service = await run(
        apply(Service, {
          apiVersion: "v1",
          kind: "Service",
          metadata: { name: "addressed", namespace },
          spec: { selector: { app: "x" }, ports: [{ port: 80 }] }
        })
      )
      expect(service.object["spec"]).toMatchObject({
        type: "ClusterIP",
        sessionAffinity: "None",
        ipFamilyPolicy: "SingleStack",
        ports: [{ port: 80, protocol: "TCP", targetPort: 80 }]
      })
      expect(String(at(service.object, "spec", "clusterIP"))).toMatch(/^\d+\.\d+\.\d+\.\d+$/u)
      const secret: KubernetesObject = {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "folded", namespace },
        stringData: { password: "hunter2" }
      }
      const { object } = await run(use((one) => one.create({ resource: Secret, namespace }, secret)))
      expect(object).toMatchObject({ type: "Opaque", data: { password: "aHVudGVyMg==" } })
      expect(object["stringData"]).toBeUndefined()
    })

    test("counts generations: spec and, on Deployments, annotations, but neither labels nor status", async () => {
      const name = "generations"
      await run(apply(Deployment, deployment(name, "web:1", { paused: true })))
      const generation = async (body: { readonly [key: string]: unknown }, subresource?: string) => {
        const where = { ...place(Deployment, name), ...(subresource === undefined ? {} : { subresource }) }
        await run(use((one) => one.patch(where, { type: "merge", body })))
        return at(await run(get(Deployment, name)), "metadata", "generation")
      }
      expect(await generation({ metadata: { labels: { a: "b" } } })).toBe(1)
      expect(await generation({ metadata: { annotations: { a: "b" } } })).toBe(2)
      expect(await generation({ spec: { replicas: 2 } })).toBe(3)
      expect(await generation({ spec: { replicas: 2 } })).toBe(3)
      expect(await generation({ status: { observedGeneration: 1 } }, "status")).toBe(3)
    })

    test.each([
      ["a selector that its own template does not match", { selector: { matchLabels: { app: "else" } } }, "selector"],
      ["no selector", { selector: undefined }, "spec.selector"],
      [
        "no containers",
        { template: { metadata: { labels: { app: "refused" } }, spec: { containers: [] } } },
        "containers"
      ],
      ["negative replicas", { replicas: -1 }, "spec.replicas"],
      [
        "a mount of no volume",
        {
          template: {
            metadata: { labels: { app: "refused" } },
            spec: {
              containers: [{ name: "main", image: "web:1", volumeMounts: [{ name: "gone", mountPath: "/x" }] }]
            }
          }
        },
        "volumeMounts[0].name"
      ],
      [
        "two containers of one name",
        {
          template: {
            metadata: { labels: { app: "refused" } },
            spec: {
              containers: [
                { name: "main", image: "web:1" },
                { name: "main", image: "web:2" }
              ]
            }
          }
        },
        "name"
      ]
    ])("refuses %s", async (_, spec, named) => {
      const creating = use((one) =>
        one.create({ resource: Deployment, namespace }, deployment("refused", "web:1", spec))
      )
      const refused = await failure(creating)
      expect(refused).toMatchObject({ reason: "invalid", status: 422 })
      expect(refused.detail).toContain(named)
      expect(refused.causes.length).toBeGreaterThan(0)
      expect(await failure(get(Deployment, "refused"))).toMatchObject({ reason: "not_found" })
    })

    test("holds fast to a selector and to a StatefulSet's claims", async () => {
      await run(apply(Deployment, deployment("fast", "web:1", { paused: true })))
      const other = { app: "fast", more: "x" }
      const patch = { spec: { selector: { matchLabels: other }, template: { metadata: { labels: other } } } }
      const refused = await failure(
        use((one) => one.patch(place(Deployment, "fast"), { type: "strategic", body: patch }))
      )
      expect(refused).toMatchObject({ reason: "invalid", status: 422, causes: [{ field: "spec.selector" }] })
      expect(refused.detail).toContain("field is immutable")
      await run(
        apply(StatefulSet, {
          ...deployment("fast-set", "web:1", { replicas: 0, serviceName: "x" }),
          kind: "StatefulSet"
        })
      )
      const serviceName = { type: "merge", body: { spec: { serviceName: "y" } } } as const
      const forbidden = await failure(use((one) => one.patch(place(StatefulSet, "fast-set"), serviceName)))
      expect(forbidden).toMatchObject({ reason: "invalid", status: 422, causes: [{ field: "spec" }] })
      expect(forbidden.detail).toContain("updates to statefulset spec for fields other than 'replicas'")
    })

    test("refuses a second object of a name, and one in a namespace that is not there", async () => {
      await run(apply(ConfigMap, configMap("twice", {})))
      const creating = use((one) => one.create({ resource: ConfigMap, namespace }, configMap("twice", {})))
      expect(await failure(creating)).toMatchObject({ reason: "already_exists", status: 409 })
      const nowhere = { ...configMap("x", {}), metadata: { name: "x", namespace: "no-such-place" } }
      const absent = use((one) => one.create({ resource: ConfigMap, namespace: "no-such-place" }, nowhere))
      expect(await failure(absent)).toMatchObject({ reason: "not_found", status: 404 })
    })
  })

  describe("patches", () => {
    test("carry JSON operations out together or not at all, a failed test among them", async () => {
      const name = "patch-json"
      const annotated = { ...configMap(name, { a: "1" }), metadata: { name, namespace, annotations: { kept: "yes" } } }
      const { object } = await run(apply(ConfigMap, annotated))
      const patch = (uid: string) =>
        use((one) =>
          one.patch(place(ConfigMap, name), {
            type: "json",
            body: [
              { op: "test", path: "/metadata/uid", value: uid },
              { op: "replace", path: "/data/a", value: "2" },
              { op: "add", path: "/metadata/annotations/b~1c", value: "3" }
            ]
          })
        )
      expect(await failure(patch("another"))).toMatchObject({ reason: "invalid", status: 422 })
      expect((await run(get(ConfigMap, name)))["data"]).toEqual({ a: "1" })
      const { object: done } = await run(patch(object.metadata.uid!))
      expect(done["data"]).toEqual({ a: "2" })
      expect(done.metadata.annotations).toEqual({ kept: "yes", "b/c": "3" })
    })

    test("remove nothing that is not there", async () => {
      await run(apply(ConfigMap, configMap("patch-missing", { a: "1" })))
      const body = [{ op: "remove", path: "/data/gone" }]
      const patch = use((one) => one.patch(place(ConfigMap, "patch-missing"), { type: "json", body }))
      expect(await failure(patch)).toMatchObject({ reason: "invalid", status: 422 })
    })

    test("refuse an unknown field where they are to be strict, and tell of it where not", async () => {
      const { object } = await run(apply(Deployment, deployment("patch-unknown", "web:1", { paused: true })))
      const patch = { type: "merge", body: { spec: { replicaz: 2 } } } as const
      const tried = await run(use((one) => one.patch(place(Deployment, "patch-unknown"), patch)))
      expect(tried.warnings).toEqual(['unknown field "spec.replicaz"'])
      expect(at(tried.object, "metadata", "generation")).toBe(object.metadata.generation)
      const created = use((one) =>
        one.create({ resource: Deployment, namespace }, deployment("create-unknown", "web:1", { replicaz: 2 }))
      )
      const refused = await failure(created)
      expect(refused).toMatchObject({ reason: "invalid", status: 400 })
      expect(refused.detail).toContain('strict decoding error: unknown field "spec.replicaz"')
    })

    test("security: that cannot be decoded are refused without telling what the object holds", async () => {
      const secret: KubernetesObject = {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "patch-secret", namespace, annotations: { note: 'canary "quoted" canary' } },
        data: { password: "Y2FuYXJ5" }
      }
      await run(use((one) => one.create({ resource: Secret, namespace }, secret)))
      for (const type of ["merge", "strategic"] as const) {
        const body = { immutable: "yes", data: { other: "Y2FuYXJ5" } }
        const refused = await failure(use((one) => one.patch(place(Secret, "patch-secret"), { type, body })))
        expect(refused).toMatchObject({ reason: "invalid", status: 422 })
        expect(refused.detail).toContain("patch: Invalid value: ")
        expect(JSON.stringify(refused)).not.toMatch(/canary|Y2FuYXJ5/u)
      }
    })

    test("merge containers by name, and replace a whole template where told", async () => {
      const name = "patch-strategic"
      await run(apply(Deployment, deployment(name, "web:1", { paused: true })))
      const strategic = (body: { readonly [key: string]: unknown }) =>
        use((one) => one.patch(place(Deployment, name), { type: "strategic", body }))
      const sidecar = { name: "side", image: "side:1" }
      const added = await run(strategic({ spec: { template: { spec: { containers: [sidecar] } } } }))
      const names = (object: KubernetesObject) =>
        list(object, "spec", "template", "spec", "containers").map((one) => at(one, "name"))
      expect(names(added.object).toSorted()).toEqual(["main", "side"])
      const removed = await run(
        strategic({ spec: { template: { spec: { containers: [{ name: "side", $patch: "delete" }] } } } })
      )
      expect(names(removed.object)).toEqual(["main"])
      const whole = { metadata: { labels: { app: name } }, spec: { containers: [sidecar] }, $patch: "replace" }
      const { object } = await run(strategic({ spec: { template: whole } }))
      expect(names(object)).toEqual(["side"])
      expect(at(object, "spec", "template", "spec", "restartPolicy")).toBe("Always")
    })

    test("with an old version are a conflict", async () => {
      const { object } = await run(apply(ConfigMap, configMap("patch-stale", { a: "1" })))
      await run(apply(ConfigMap, configMap("patch-stale", { a: "2" })))
      const { resourceVersion } = object.metadata
      const body = { metadata: { resourceVersion }, data: { a: "3" } }
      const patch = use((one) => one.patch(place(ConfigMap, "patch-stale"), { type: "merge", body }))
      expect(await failure(patch)).toMatchObject({ reason: "conflict", status: 409, causes: [] })
    })

    test("that change nothing leave the version alone", async () => {
      const { object } = await run(apply(ConfigMap, configMap("patch-same", { a: "1" })))
      const patch = { type: "merge", body: { data: { a: "1" } } } as const
      const same = await run(use((one) => one.patch(place(ConfigMap, "patch-same"), patch)))
      expect(same.object.metadata.resourceVersion).toBe(object.metadata.resourceVersion!)
    })
  })

  describe("delete", () => {
    test("meets another uid with a conflict, and is final with the right one", async () => {
      const { object } = await run(apply(ConfigMap, configMap("delete-a", {})))
      const remove = (uid: string) => use((one) => one.delete(place(ConfigMap, "delete-a"), { uid }))
      expect(await failure(remove("00000000-0000-0000-0000-000000000000"))).toMatchObject({ reason: "conflict" })
      await run(remove(object.metadata.uid!))
      expect(await failure(get(ConfigMap, "delete-a"))).toMatchObject({ reason: "not_found" })
    })

    test("of what is not there is not found", async () => {
      expect(await failure(use((one) => one.delete(place(ConfigMap, "delete-b"))))).toMatchObject({
        reason: "not_found"
      })
      await run(Effect.void)
    })
  })
}
