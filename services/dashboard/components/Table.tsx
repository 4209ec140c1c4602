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
  /** The column can be sorted under this name. */
  readonly sort?: string
  /** Numbers that are compared down the column. */
  readonly number?: boolean
}

/** The name of the sorted column; a leading dash says that the largest comes first. */
export interface Sorting {
  readonly by: string
  readonly onSort: (by: string) => void
}

interface TableProps<A> {
  readonly caption: string
  readonly columns: ReadonlyArray<Column<A>>
  readonly rows: ReadonlyArray<A>
  readonly rowKey: (row: A) => string
  readonly rowClass?: (row: A) => string
  readonly sorting?: Sorting
}

const Heading = ({
  name,
  sorting,
  title
}: {
  readonly name: string
  readonly sorting: Sorting
  readonly title: string
}) => {
  const direction = sorting.by === name ? "ascending" : sorting.by === `-${name}` ? "descending" : undefined
  return (
    <th scope="col" role="columnheader" aria-sort={direction}>
      <button type="button" class="sort" onClick={() => sorting.onSort(direction === "ascending" ? `-${name}` : name)}>
        {title}
        <span class="sort-mark" aria-hidden="true">
          {direction === undefined ? "" : direction === "ascending" ? "↑" : "↓"}
        </span>
      </button>
    </th>
  )
}

export const Table = <A,>({ caption, columns, rowClass, rowKey, rows, sorting }: TableProps<A>) => (
  <table class="table" role="table">
    <caption class="visually-hidden">{caption}</caption>
    <thead>
      <tr role="row">
        {columns.map(({ quiet, sort, title }) =>
          sort === undefined || sorting === undefined ? (
            <th scope="col" role="columnheader" key={title}>
              {quiet === true ? <span class="visually-hidden">{title}</span> : title}
            </th>
          ) : (
            <Heading key={title} name={sort} sorting={sorting} title={title} />
          )
        )}
      </tr>
    </thead>
    <tbody>
      {rows.map((row) => (
        <tr key={rowKey(row)} role="row" class={rowClass?.(row)}>
          {columns.map(({ cell, number, quiet, title }) => (
            <td
              key={title}
              role="cell"
              data-title={quiet === true ? undefined : title}
              class={quiet === true ? "cell-actions" : number === true ? "cell-number" : undefined}
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
export const Time = ({ at }: { readonly at: string | null | undefined }) =>
  at === null || at === undefined ? (
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
