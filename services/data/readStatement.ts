/** Which statements a caller may send: one that reads, and says so by its form; the roles' rights and the session's limits stand behind it. Must not depend on how the server is set up. */
import { Effect, Schema } from "effect"
import type { StatementInvalid } from "./failures.ts"
import { type ParsedStatement, SqlParser } from "./SqlParser.ts"

/** A statement of a form that is not taken here, whoever sends it. */
export class StatementRefused extends Schema.TaggedError<StatementRefused>()(
  "StatementRefused",
  { detail: Schema.String },
  { httpApiStatus: 422 }
) {
  override get message() {
    return this.detail
  }
}

/** A statement that may be sent: `select` as part of one of ours, `explain` as it is. */
export interface ReadStatement {
  readonly kind: "select" | "explain"
  readonly text: string
}

/** Characters of SQL at most; the parser's time and stack grow with it. */
export const maxSqlLength = 65_536

/** Options of EXPLAIN that run nothing and show no more than the plan; ANALYZE counts rows that policies hide. */
const explainOptions = new Set(["format", "verbose", "costs", "settings", "summary"])

const isNode = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Why a part of the tree is refused, or undefined. Every statement within is looked at, wherever it hides. */
const faultWithin = (root: unknown): string | undefined => {
  const waiting: Array<unknown> = [root]
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (Array.isArray(value)) waiting.push(...value)
    else if (isNode(value)) {
      for (const [key, inner] of Object.entries(value)) {
        if (key.endsWith("Stmt") && key !== "SelectStmt") return `${spoken(key)} is not taken: a query only reads`
        if (key === "intoClause") return "SELECT INTO is not taken: a query only reads"
        if (key === "lockingClause") return "FOR UPDATE and FOR SHARE are not taken: a query takes no locks"
        if (inner !== null && inner !== undefined) waiting.push(inner)
      }
    }
  }
  return undefined
}

/** `InsertStmt` → `INSERT`, `VariableSetStmt` → `VARIABLE SET`. */
const spoken = (node: string) =>
  node
    .replace(/Stmt$/u, "")
    .replaceAll(/(?<=[a-z])(?=[A-Z])/gu, " ")
    .toUpperCase()

const explained = (
  node: Readonly<Record<string, unknown>>
): { readonly query: unknown } | { readonly fault: string } => {
  const options = Array.isArray(node["options"]) ? node["options"] : []
  for (const option of options) {
    const element: unknown = isNode(option) ? option["DefElem"] : undefined
    const name = isNode(element) ? String(element["defname"]).toLowerCase() : "?"
    if (!explainOptions.has(name)) return { fault: `EXPLAIN with ${name.toUpperCase()} is not taken` }
  }
  return { query: node["query"] }
}

const judged = (statement: ParsedStatement): ReadStatement | { readonly fault: string } => {
  const [kind, inner] = Object.entries(statement.node)[0] ?? ["Empty", undefined]
  if (kind === "SelectStmt") {
    const fault = faultWithin(statement.node)
    return fault === undefined ? { kind: "select", text: statement.text } : { fault }
  }
  if (kind === "ExplainStmt" && isNode(inner)) {
    const what = explained(inner)
    if ("fault" in what) return what
    const fault = faultWithin(what.query)
    return fault === undefined ? { kind: "explain", text: statement.text } : { fault }
  }
  return { fault: `${spoken(kind)} is not taken: send one SELECT, WITH, VALUES, TABLE or EXPLAIN` }
}

/** The one statement in `sql`, if it only reads. Fails with StatementInvalid (not SQL) or StatementRefused (not taken). */
export const readStatement = Effect.fnUntraced(function* (
  sql: string
): Effect.fn.Return<ReadStatement, StatementInvalid | StatementRefused, SqlParser> {
  if (sql.length > maxSqlLength) {
    return yield* new StatementRefused({ detail: `the statement is longer than ${maxSqlLength} characters` })
  }
  const statements = yield* SqlParser.use((parser) => parser.parse(sql))
  const [statement, ...others] = statements
  if (statement === undefined) return yield* new StatementRefused({ detail: "there is no statement" })
  if (others.length > 0) return yield* new StatementRefused({ detail: "more than one statement" })
  const verdict = judged(statement)
  if ("fault" in verdict) return yield* new StatementRefused({ detail: verdict.fault })
  return verdict
})
