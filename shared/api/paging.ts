/** Keyset paging, the same for every list: `limit` 1–200 (default 50) and an opaque `cursor`; must not know what is listed. */
import { Schema } from "effect"

export const PageQuery = Schema.Struct({
  limit: Schema.optionalKey(
    Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: 200 }))
  ),
  cursor: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(512)))
})
export type PageQuery = typeof PageQuery.Type

/** One page; `nextCursor` is null on the last. */
export const page = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })

export interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly nextCursor: string | null
}
