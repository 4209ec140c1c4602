/** Restart, pause and scale of every kind: patches, words and warnings. */
import { describe, expect, test } from "bun:test"
import { Result } from "effect"
import { planPause } from "#admin/rollout/pause.ts"
import { planRestart, stampOf } from "#admin/rollout/restart.ts"
import { planScale } from "#admin/rollout/scale.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { daemonSet, deployment, statefulSet, template } from "#test/admin/objects.ts"

const kinds: ReadonlyArray<readonly [WorkloadKind, KubernetesObject, string]> = [
  ["Deployment", deployment(), "deployment.apps/web"],
  ["StatefulSet", statefulSet(), "statefulset.apps/web"],
  ["DaemonSet", daemonSet(), "daemonset.apps/web"]
]
const now = Date.UTC(2026, 10, 22, 22, 50, 32, 987)
const failure = <A, E>(result: Result.Result<A, E>) => (Result.isFailure(result) ? result.failure : undefined)

describe("restart", () => {
  for (const [kind, object, printed] of kinds) {
    test(`of a ${kind} is kubectl's stamp on the template`, () => {
      expect(Result.getOrThrow(planRestart(kind, object, now))).toEqual({
        patch: {
          type: "strategic",
          body: {
            spec: {
              template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "2026-11-22T22:50:32Z" } } }
            }
          }
        },
        message: `${printed} restarted`,
        warnings: []
      })
    })
  }

  test("warns that OnDelete restarts no pod", () => {
    const object = daemonSet({ spec: { updateStrategy: { type: "OnDelete" } } })
    expect(Result.getOrThrow(planRestart("DaemonSet", object, now)).warnings).toEqual([
      "the update strategy is OnDelete: no pod restarts before it is deleted"
    ])
  })

  test("is refused within the second of the last one, and not by a stamp of another second", () => {
    const stamped = (at: string) =>
      statefulSet({ template: template("web:1", {}, { "kubectl.kubernetes.io/restartedAt": at }) })
    expect(failure(planRestart("StatefulSet", stamped(stampOf(now)), now))?._tag).toBe("RestartTooSoon")
    expect(failure(planRestart("StatefulSet", stamped(stampOf(now - 1000)), now))).toBeUndefined()
  })

  test("of a StatefulSet with a field `paused` is not refused: only Deployments can be paused", () => {
    expect(failure(planRestart("StatefulSet", statefulSet({ spec: { paused: true } }), now))).toBeUndefined()
  })
})

describe("pause", () => {
  for (const [kind, object] of kinds.slice(1)) {
    test(`of a ${kind} is not supported, nor is resuming`, () => {
      expect(failure(planPause(kind, object, true))?.message).toBe("pausing is not supported")
      expect(failure(planPause(kind, object, false))?.message).toBe("resuming is not supported")
    })
  }
  test("of what is not paused is nothing to resume", () => {
    expect(Result.getOrThrow(planPause("Deployment", deployment(), false))).toEqual({
      message: 'deployments.apps "web" is not paused',
      warnings: []
    })
  })
})

describe("scale", () => {
  const autoscaler = (apiVersion: string, kind: string, name = "web"): KubernetesObject => ({
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "hpa" },
    spec: { scaleTargetRef: { apiVersion, kind, name } }
  })

  test("of a DaemonSet is not supported", () => {
    expect(failure(planScale("DaemonSet", daemonSet(), [], 1))?.message).toBe("scaling is not supported")
  })

  test("of an absent count counts as 1, as the API server has it", () => {
    const object = statefulSet({ spec: { replicas: null } })
    expect(Result.getOrThrow(planScale("StatefulSet", object, [], 1)).patch).toBeUndefined()
    expect(Result.getOrThrow(planScale("StatefulSet", object, [], 0)).patch?.body).toEqual({ spec: { replicas: 0 } })
  })

  const owners: ReadonlyArray<readonly [title: string, hpa: KubernetesObject, owned: boolean]> = [
    ["its own", autoscaler("apps/v1", "StatefulSet"), true],
    ["one of another kind", autoscaler("apps/v1", "Deployment"), false],
    ["one of another name", autoscaler("apps/v1", "StatefulSet", "api"), false],
    ["one of another group", autoscaler("example.org/v1", "StatefulSet"), false]
  ]
  for (const [title, hpa, owned] of owners) {
    test(`${owned ? "is refused" : "goes on"} beside an autoscaler: ${title}`, () => {
      expect(failure(planScale("StatefulSet", statefulSet(), [hpa], 5))?._tag).toBe(owned ? "HpaOwned" : undefined)
    })
  }
})
