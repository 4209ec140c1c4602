/** The Prometheus text: order, escaping, special numbers, and no series twice. */
import { describe, expect, test } from "bun:test"
import { expose } from "#monitor/exposition.ts"
import { counter, gauge, sample, untyped } from "#monitor/family.ts"

describe("exposition", () => {
  test("writes HELP, TYPE and one line per series, families sorted by name", () => {
    const { text } = expose([
      untyped("b", "second", [sample(2)]),
      counter("a_total", "first", [sample(1.5, { cpu: "0", mode: "user" }), sample(3, { cpu: "1", mode: "user" })])
    ])
    expect(text).toBe(
      '# HELP a_total first\n# TYPE a_total counter\na_total{cpu="0",mode="user"} 1.5\na_total{cpu="1",mode="user"} 3\n' +
        "# HELP b second\n# TYPE b untyped\nb 2\n"
    )
  })

  test("escapes backslash, quote and line feed in labels, backslash and line feed in help", () => {
    const { text } = expose([gauge("a", 'x\\y\n"z"', [sample(1, { path: 'C:\\"a"\nb' })])])
    expect(text).toBe('# HELP a x\\\\y\\n"z"\n# TYPE a gauge\na{path="C:\\\\\\"a\\"\\nb"} 1\n')
  })

  test("writes infinities and NaN as Prometheus does", () => {
    const values = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]
    const { text } = expose([
      gauge(
        "a",
        "h",
        values.map((value, index) => sample(value, { index: String(index) }))
      )
    ])
    expect(text.split("\n").slice(2, 5)).toEqual(['a{index="0"} +Inf', 'a{index="1"} -Inf', 'a{index="2"} NaN'])
  })

  test("keeps the first of two identical series and reports the other", () => {
    const { duplicates, text } = expose([
      gauge("a", "h", [sample(1, { x: "1" })]),
      gauge("a", "other help", [sample(2, { x: "1" }), sample(3, { x: "2" })])
    ])
    expect(text).toBe('# HELP a h\n# TYPE a gauge\na{x="1"} 1\na{x="2"} 3\n')
    expect(duplicates).toEqual(['a{x="1"}'])
  })

  test("leaves out a family without samples", () => {
    expect(expose([gauge("a", "h", [])]).text).toBe("")
  })
})
