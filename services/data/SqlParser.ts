/** PostgreSQL's own parser (libpg_query, as WebAssembly) as a service; must judge nothing. */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
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
    /** For the scope the parser keeps no memory between texts, at a millisecond or more for each. */
    readonly lean: Effect.Effect<void, never, Scope.Scope>
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

/**
 * The parser is kept from text to text, except where its memory is in the way: 128 MiB, of which it touches next to nothing,
 * stand in the collector's books as twice that of live heap, in proportion to which it lets garbage wait. That is some 50 MiB
 * more of an export's rows.
 */
const makeParser = Effect.gen(function* () {
  const file = yield* Effect.promise(wasmFile)
  const compiled = yield* Effect.promise(async () => WebAssembly.compile(await readFile(file)))
  const fresh = Effect.promise(() =>
    load({
      instantiateWasm: (imports, done) => {
        const instance = new WebAssembly.Instance(compiled, imports)
        done(instance)
        return instance.exports
      }
    })
  )
  let kept: PgQueryModule | undefined
  let leanScopes = 0
  const unreadable = new StatementInvalid({
    detail: "the statement is too deep or too long to be read",
    state: "54001"
  })

  return SqlParser.of({
    lean: Effect.acquireRelease(
      Effect.sync(() => {
        leanScopes++
        kept = undefined
      }),
      () => Effect.sync(() => void leanScopes--)
    ),
    parse: Effect.fnUntraced(function* (text) {
      const module = kept ?? (yield* fresh)
      const outcome = yield* Effect.result(
        Effect.try({
          try: () => decode(treeOf(module, text)),
          catch: (error) => (error instanceof StatementInvalid ? error : undefined)
        })
      )
      // Its stack ran over: what is left in its memory is not to be trusted with the next text.
      const unusable = outcome._tag === "Failure" && outcome.failure === undefined
      kept = unusable || leanScopes > 0 ? undefined : module
      if (outcome._tag === "Failure") return yield* outcome.failure ?? unreadable
      const encoded = Buffer.from(text)
      return (outcome.success.stmts ?? []).map(({ stmt, stmt_len, stmt_location: start = 0 }) => ({
        node: stmt,
        text: encoded.toString("utf8", start, stmt_len === undefined ? encoded.length : start + stmt_len)
      }))
    })
  })
})
