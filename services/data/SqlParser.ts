/** PostgreSQL's own parser (libpg_query, as WebAssembly) as a service; must judge nothing. */
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer, Schema } from "effect"
import load, { type PgQueryModule } from "libpg-query/wasm/libpg-query.js"
import { StatementInvalid } from "./failures.ts"

const Parsed = Schema.fromJsonString(
  Schema.Struct({
    stmts: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          stmt: Schema.Record(Schema.String, Schema.Unknown),
          /** Bytes of UTF-8; absent from the first statement and for one that nothing follows. */
          stmt_location: Schema.optionalKey(Schema.Int),
          stmt_len: Schema.optionalKey(Schema.Int)
        })
      )
    )
  })
)
const decode = Schema.decodeUnknownSync(Parsed)

/** One statement of a text: its node, by the name of its kind, and its own words. */
export interface ParsedStatement {
  readonly node: Readonly<Record<string, unknown>>
  readonly text: string
}

/**
 * Where the module's file is: told, as the package would look beside itself, where in a compiled binary there is nothing. That
 * holds the file where only an import that its bundler sees can find it; Deno knows no such import, and finds the package.
 */
const wasmFile = async (): Promise<string> => {
  try {
    const { default: path } = await import("libpg-query/wasm/libpg-query.wasm", { with: { type: "file" } })
    return path
  } catch {
    return fileURLToPath(import.meta.resolve("libpg-query/wasm/libpg-query.wasm"))
  }
}

export class SqlParser extends Context.Service<
  SqlParser,
  {
    /** The statements of a text, or the parser's words on what is wrong with it. */
    readonly parse: (text: string) => Effect.Effect<ReadonlyArray<ParsedStatement>, StatementInvalid>
  }
>()("gatehouse/data/SqlParser") {
  static readonly layer = Layer.effect(
    SqlParser,
    Effect.suspend(() => makeParser)
  )
}

/** Reads the tree of `text`, or throws StatementInvalid; anything else that it throws leaves the module unusable. */
const treeOf = (module: PgQueryModule, text: string): string => {
  const bytes = module.lengthBytesUTF8(text) + 1
  const query = module._malloc(bytes)
  module.stringToUTF8(text, query, bytes)
  const result = module._wasm_parse_query_raw(query)
  // PgQueryParseResult: the tree, what went to stderr, the error; PgQueryError opens with its message.
  const error = module.getValue(result + 8, "i32")
  const message = error === 0 ? undefined : module.UTF8ToString(module.getValue(error, "i32"))
  const tree = message === undefined ? module.UTF8ToString(module.getValue(result, "i32")) : ""
  module._free(query)
  module._wasm_free_parse_result(result)
  if (message !== undefined) throw new StatementInvalid({ detail: message, state: "42601" })
  return tree
}

const makeParser = Effect.gen(function* () {
  const file = yield* Effect.promise(wasmFile)
  const fresh = Effect.promise(() => load({ locateFile: () => file }))
  let module = yield* fresh
  const unreadable = new StatementInvalid({
    detail: "the statement is too deep or too long to be read",
    state: "54001"
  })

  return SqlParser.of({
    parse: Effect.fnUntraced(function* (text) {
      const outcome = yield* Effect.result(
        Effect.try({
          try: () => decode(treeOf(module, text)),
          catch: (error) => (error instanceof StatementInvalid ? error : undefined)
        })
      )
      if (outcome._tag === "Success") {
        const encoded = Buffer.from(text)
        return (outcome.success.stmts ?? []).map(({ stmt, stmt_len, stmt_location: start = 0 }) => ({
          node: stmt,
          text: encoded.toString("utf8", start, stmt_len === undefined ? encoded.length : start + stmt_len)
        }))
      }
      if (outcome.failure !== undefined) return yield* outcome.failure
      // Its stack ran over: what is left in its memory is not to be trusted with the next text.
      module = yield* fresh
      return yield* unreadable
    })
  })
})
