/** What the lint finds and somebody has accepted, with the reason, from kustomize/exceptions.yaml; an exception that excuses nothing is a fault. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { Schema } from "effect"
import { parse } from "yaml"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { placeOf } from "#test/manifests/render.ts"
import { rules } from "./rules.ts"

const file = resolve(import.meta.dir, "../../../kustomize/exceptions.yaml")

const Exceptions = Schema.Struct({
  exceptions: Schema.Array(
    Schema.Struct({
      rule: Schema.NonEmptyString,
      /** `<namespace>/<Kind>/<name>`; `<env>` stands for each environment. */
      object: Schema.NonEmptyString,
      reason: Schema.String.check(Schema.isMinLength(20))
    })
  )
})
export type Exception = (typeof Exceptions.Type)["exceptions"][number]

const decode = Schema.decodeUnknownSync(Exceptions, { onExcessProperty: "error" })

export const exceptions = (): ReadonlyArray<Exception> => decode(parse(readFileSync(file, "utf8"))).exceptions

export interface Accepted {
  readonly rule: string
  readonly object: KubernetesObject
  readonly detail: string
  readonly exception: Exception | undefined
}

const covers = (exception: Exception, rule: string, object: KubernetesObject) =>
  exception.rule === rule &&
  new RegExp(`^${exception.object.replace("<env>", "(?:prod|nightly|dev)")}$`, "u").test(placeOf(object))

/** Every finding, with the exception that excuses it if there is one. */
export const lint = (
  objects: ReadonlyArray<KubernetesObject>,
  accepted: ReadonlyArray<Exception> = exceptions()
): ReadonlyArray<Accepted> =>
  rules.flatMap(({ check, name }) =>
    check(objects).map(({ detail, object }) => ({
      rule: name,
      object,
      detail,
      exception: accepted.find((one) => covers(one, name, object))
    }))
  )
