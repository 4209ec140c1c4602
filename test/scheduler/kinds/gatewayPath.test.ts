/** Security: a job's call stays on plain paths of services behind the gateway. */
import { expect, test } from "bun:test"
import { isCallable } from "#scheduler/kinds/gatewayPath.ts"

test("a service's path may be called", () => {
  for (const path of ["/orders", "/orders/", "/orders/1/items?page=2&q=a%20b", "/data/query", "/a-b_c.d~e/f:g@h"]) {
    expect([path, isCallable(path)]).toEqual([path, true])
  }
})

test("a path that leaves the gateway, or reads differently behind it, is refused", () => {
  for (const path of [
    "",
    "/",
    "orders",
    "//evil.example/",
    "/\\evil.example",
    "https://evil.example/",
    "/orders//items",
    "/../admin/apply",
    "/orders/../admin",
    "/orders/%2e%2e/admin",
    "/%61dmin/apply",
    "/orders#admin",
    "/orders\n",
    "/orders\u0000",
    "/orders\uff0fadmin",
    "/ orders",
    "/@evil.example"
  ]) {
    expect([path, isCallable(path)]).toEqual([path, false])
  }
})

test("the platform's own paths are refused: who may make jobs does not borrow the scheduler's rights", () => {
  for (const path of [
    "/admin/plans",
    "/ADMIN/plans",
    "/auth/token",
    "/jobs",
    "/jobs/schedules",
    "/openapi",
    "/.well-known/jwks.json"
  ]) {
    expect([path, isCallable(path)]).toEqual([path, false])
  }
})
