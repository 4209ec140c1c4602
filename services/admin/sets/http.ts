/** The routes of backup sets, below `/admin/ns/:ns/backups`: made, listed, and turned into a plan; must apply nothing, which is the plan's to do. */
import { Effect } from "effect"
import { Elysia } from "elysia"
import { type CapabilityAction, ManifestSet, ManifestSetList, RestorePlan } from "#shared/api/admin.ts"
import type { Run } from "#shared/http.ts"
import { detail } from "#shared/openApi.ts"
import { Authority } from "../Authority.ts"
import { parseManifest } from "../manifest/parseManifest.ts"
import { Plans } from "../Plans.ts"
import { callerOf } from "../requests.ts"
import { BackupSets } from "./BackupSets.ts"
import { documentsOf, identitiesOf } from "./kept.ts"

const json = (value: unknown, status = 200) =>
  Response.json(value, { status, headers: { "cache-control": "no-store" } })

const allowed = (request: Request, action: CapabilityAction, namespace: string) =>
  Authority.use((authority) => authority.authorize(request, action, namespace))

const tag = "admin"

const make = Effect.fnUntraced(function* (request: Request, namespace: string) {
  yield* allowed(request, "plan", namespace)
  return json(yield* BackupSets.use((sets) => sets.make(namespace)), 201)
})

const list = Effect.fnUntraced(function* (request: Request, namespace: string) {
  yield* allowed(request, "read", namespace)
  return json({ items: yield* BackupSets.use((sets) => sets.list(namespace)) })
})

const plan = Effect.fnUntraced(function* (request: Request, namespace: string, id: string) {
  const principal = yield* allowed(request, "plan", namespace)
  const { manifest, refused, set } = yield* BackupSets.use((sets) => sets.sound(namespace, id))
  const parsed = yield* Effect.fromResult(parseManifest(manifest))
  const identities = identitiesOf(parsed.map(({ tree }) => tree))
  const planned = (text: string) =>
    Plans.use((plans) => plans.plan(namespace, text, callerOf(request, principal), identities))
  const whole = yield* planned(manifest)
  const differs = whole.objects.map(({ change }) => change !== "unchanged")
  const unchanged = differs.filter((one) => !one).length
  // What is as it was is left to whoever manages it: applied too, it would be ours as well from then on.
  const needed = differs.some(Boolean) && unchanged > 0
  const made = needed
    ? yield* planned(
        documentsOf(manifest)
          .filter((_, at) => differs[at])
          .join("---\n")
      )
    : whole
  return json({ plan: made, set, refused, unchanged })
})

export const backupSetRoutes = (run: Run<Authority | BackupSets | Plans>) =>
  new Elysia()
    .get("/admin/ns/:ns/backups", ({ params, request }) => run(request, list(request, params.ns)), {
      detail: detail({
        summary: "Backup sets of a namespace, newest first, each checked by its hashes",
        tag,
        answers: { 200: ManifestSetList }
      })
    })
    .post("/admin/ns/:ns/backups", ({ params, request }) => run(request, make(request, params.ns)), {
      detail: detail({
        summary: "Keep what the namespace holds now",
        description: "Without Secrets, whose values are never written down, and without Jobs, which would run again.",
        tag,
        answers: { 201: ManifestSet },
        problems: [503]
      })
    })
    .post(
      "/admin/ns/:ns/backups/:set/plan",
      ({ params, request }) => run(request, plan(request, params.ns, params.set)),
      {
        detail: detail({
          summary: "What a restore of a set would change",
          description:
            "`newest` takes the newest set that is not damaged and names those it refused. The plan is applied as any other.",
          tag,
          answers: { 200: RestorePlan },
          problems: [404, 409, 413, 422]
        })
      }
    )
