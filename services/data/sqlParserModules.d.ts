/** The untyped parts of libpg-query that the parser's adapter uses. */
declare module "libpg-query/wasm/libpg-query.js" {
  export interface PgQueryModule {
    readonly _malloc: (bytes: number) => number
    readonly _free: (pointer: number) => void
    readonly _wasm_parse_query_raw: (query: number) => number
    readonly _wasm_free_parse_result: (result: number) => void
    readonly getValue: (pointer: number, type: "i32") => number
    readonly lengthBytesUTF8: (text: string) => number
    readonly stringToUTF8: (text: string, pointer: number, bytes: number) => void
    readonly UTF8ToString: (pointer: number) => string
  }
  const load: (options: {
    /** Makes the instance itself, hands it over and gives anything. */
    readonly instantiateWasm: (
      imports: WebAssembly.Imports,
      done: (instance: WebAssembly.Instance) => void
    ) => WebAssembly.Exports
  }) => Promise<PgQueryModule>
  export default load
}

declare module "libpg-query/wasm/libpg-query.wasm" {
  const path: string
  export default path
}
