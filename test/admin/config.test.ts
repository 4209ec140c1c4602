/** Admin's settings: the defaults of its policies, and what stops the start. */
import { describe, expect, test } from "bun:test"
import { Effect, Result } from "effect"
import { adminConfig } from "#admin/config.ts"
import { readConfig } from "#shared/config.ts"

const read = (env: Record<string, string>) =>
  Effect.runSync(
    Effect.result(
      readConfig(
        adminConfig,
        {
          ENVIRONMENT: "prod",
          IDENTITY_ISSUER: "https://gatehouse.test",
          IDENTITY_JWKS_URL: "http://gateway:9090/keys",
          ADMIN_DATABASE_URL: "postgresql:///logging",
          ...env
        },
        ["ADMIN_"]
      )
    )
  )
const good = (env: Record<string, string>) => {
  const result = read(env)
  if (Result.isFailure(result)) throw result.failure
  const { directApply, fourEyes, namespaces } = result.success
  return { namespaces, fourEyes, directApply }
}

describe("the policies", () => {
  test("are by default those of the environment's own namespace: four eyes on prod, direct applies on dev", () => {
    expect(good({})).toEqual({ namespaces: ["prod"], fourEyes: ["prod"], directApply: [] })
    expect(good({ ENVIRONMENT: "dev" })).toEqual({ namespaces: ["dev"], fourEyes: [], directApply: ["dev"] })
    expect(good({ ADMIN_NAMESPACES: "dev, nightly ,prod" })).toEqual({
      namespaces: ["dev", "nightly", "prod"],
      fourEyes: ["prod"],
      directApply: ["dev"]
    })
  })

  test("can be others, and none", () => {
    expect(good({ ADMIN_NAMESPACES: "dev,prod", ADMIN_FOUR_EYES: "dev,prod", ADMIN_DIRECT_APPLY: "none" })).toEqual({
      namespaces: ["dev", "prod"],
      fourEyes: ["dev", "prod"],
      directApply: []
    })
  })
})

describe("the start is stopped, and the key named,", () => {
  test.each([
    ["ADMIN_NAMESPACES", "Prod"],
    ["ADMIN_NAMESPACES", "dev,dev"],
    ["ADMIN_NAMESPACES", "none"],
    ["ADMIN_FOUR_EYES", "nightly"],
    ["ADMIN_DIRECT_APPLY", "nightly"],
    ["ADMIN_BACKUP_DIR", "relative"],
    ["ADMIN_BACKUP_KEEP", "0"],
    ["ADMIN_BACKUP_AGE", "soon"],
    ["ADMIN_BACKUP_MIN_FREE_BYTES", "-1"],
    ["ADMIN_SECRETS", "perhaps"],
    ["ADMIN_SERVICE_ACCOUNTS", "Not A Name"],
    ["ADMIN_NAMESPACE", "dev"]
  ])("by %s=%s", (key, value) => {
    const result = read({ [key]: value })
    expect(Result.isFailure(result) ? result.failure.key : "started").toBe(key)
  })
})
