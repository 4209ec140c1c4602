/**
 * A table that becomes a list of cards on narrow screens, each value with its column's name; must know no row. The roles
 * are said because CSS `display` takes them away.
 */
import type { ComponentChildren } from "preact"
import { fullTime, relative, unknown } from "../format.ts"

export interface Column<A> {
  readonly title: string
  /** Said only to screen readers, for a column of buttons. */
  readonly quiet?: boolean
  readonly cell: (row: A) => ComponentChildren
}

interface TableProps<A> {
  readonly caption: string
  readonly columns: ReadonlyArray<Column<A>>
  readonly rows: ReadonlyArray<A>
  readonly rowKey: (row: A) => string
  readonly rowClass?: (row: A) => string
}

export const Table = <A,>({ caption, columns, rowClass, rowKey, rows }: TableProps<A>) => (
  <table class="table" role="table">
    <caption class="visually-hidden">{caption}</caption>
    <thead>
      <tr role="row">
        {columns.map(({ quiet, title }) => (
          <th scope="col" role="columnheader" key={title}>
            {quiet === true ? <span class="visually-hidden">{title}</span> : title}
          </th>
        ))}
      </tr>
    </thead>
    <tbody>
      {rows.map((row) => (
        <tr key={rowKey(row)} role="row" class={rowClass?.(row)}>
          {columns.map(({ cell, quiet, title }) => (
            <td
              key={title}
              role="cell"
              data-title={quiet === true ? undefined : title}
              class={quiet === true ? "cell-actions" : undefined}
            >
              {cell(row)}
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  </table>
)

/** A time in words, exact on hover. */
export const Time = ({ at }: { readonly at: string | null }) =>
  at === null ? (
    <>{unknown}</>
  ) : (
    <time dateTime={at} title={fullTime(at)}>
      {relative(at, Date.now())}
    </time>
  )

export const More = ({ busy, more }: { readonly more: (() => void) | undefined; readonly busy: boolean }) =>
  more === undefined ? null : (
    <div class="more">
      <button type="button" class="button" disabled={busy} onClick={more}>
        Show more
      </button>
    </div>
  )
