/** The gateway DB's migrations in order; forward only: a released one is never edited. */
import type { Migrations } from "#shared/sql.ts"
import { identity } from "./0001_identity.ts"
import { workloads } from "./0002_workloads.ts"
import { hello } from "./0003_hello.ts"

export const migrations: Migrations = {
  "0001_identity": identity,
  "0002_workloads": workloads,
  "0003_hello": hello
}
