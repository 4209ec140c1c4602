/** A manifest's text as objects: kubectl's reading, with every doubtful text refused at its line. */
import { describe, expect, test } from "bun:test"
import { parseManifest } from "#admin/manifest/parseManifest.ts"

const treesOf = (text: string) => {
  const result = parseManifest(text)
  if (result._tag === "Failure") throw result.failure
  return result.success.map(({ tree }) => tree)
}
const faultOf = (text: string) => {
  const result = parseManifest(text)
  if (result._tag === "Success") throw new Error(`accepted: ${JSON.stringify(result.success)}`)
  const { failure } = result
  return failure._tag === "ManifestRefused" ? failure.errors[0] : failure
}

describe("a manifest", () => {
  test("is read as YAML documents, empty ones left out, and as JSON", () => {
    expect(treesOf("---\n# nothing\n---\na: 1\n---\n\n---\nb: [x, 'yes', \"0400\"]\n")).toEqual([
      { a: 1 },
      { b: ["x", "yes", "0400"] }
    ])
    expect(treesOf('{"a": {"b": [true, null, 1.5, "off"]}}')).toEqual([{ a: { b: [true, null, 1.5, "off"] } }])
  })

  test("has its lists taken apart, also lists in lists and typed ones", () => {
    const list = (items: ReadonlyArray<unknown>, kind = "List") => ({ apiVersion: "v1", kind, items })
    expect(
      treesOf(JSON.stringify(list([{ kind: "A" }, list([{ kind: "B" }]), list([{ kind: "C" }], "CList")])))
    ).toEqual([{ kind: "A" }, { kind: "B" }, { kind: "C" }])
  })

  test("has aliases and merge keys, the object's own fields first, the first merged one next", () => {
    const text =
      "base: &b {x: 1, y1: 2}\nother: &o {x: 9, z: 3}\none: {<<: *b, y1: 5}\ntwo:\n  <<: [*b, *o]\nlist: [*b]\n"
    expect(treesOf(text)).toEqual([
      {
        base: { x: 1, y1: 2 },
        other: { x: 9, z: 3 },
        one: { x: 1, y1: 5 },
        two: { x: 1, y1: 2, z: 3 },
        list: [{ x: 1, y1: 2 }]
      }
    ])
  })

  test("keeps block scalars and quoted text as they are", () => {
    expect(treesOf("a: |\n  yes\n  0400\nb: >-\n  off\nc: !!str 0400\n")).toEqual([
      { a: "yes\n0400\n", b: "off", c: "0400" }
    ])
  })
})

describe("security: a manifest that two parsers read differently is refused, with code, line and place", () => {
  test.each([
    ["a: 1\nmode: 0400\n", "ambiguous_scalar", 2, "/objects/0/mode"],
    ["a:\n  b:\n    - yes\n", "ambiguous_scalar", 3, "/objects/0/a/b/0"],
    ["a: 1\n---\ny: 1\n", "ambiguous_scalar", 3, "/objects/1"],
    ["a: 1\noff: 2\n", "ambiguous_scalar", 2, "/objects/0"],
    ["0400: x\n", "ambiguous_scalar", 1, "/objects/0"],
    ["1.50: x\n", "ambiguous_scalar", 1, "/objects/0"],
    ["a: 1\nb: 2\na: 3\n", "duplicate_key", 3, "/objects/0"],
    ["'a': 1\n\"a\": 3\n", "duplicate_key", 2, "/objects/0"],
    ['{"a": 1, "a": 2}', "duplicate_key", 1, "/objects/0"],
    ["1: a\n'1': b\n", "duplicate_key", 2, "/objects/0"],
    ["a: 9007199254740993\n", "number_too_large", 1, "/objects/0/a"],
    ["a: .nan\n", "not_json", 1, "/objects/0/a"],
    ["a: 1\nb: !foo bar\n", "custom_tag", 2, "/objects/0/b"],
    ["a: !!int '3'\n", "custom_tag", 1, "/objects/0/a"],
    ["a: !!binary aGk=\n", "custom_tag", 1, "/objects/0/a"],
    ["%YAML 1.1\n---\na: 1\n", "directive", 1, "/objects/0"],
    ["? [a]\n: 1\n", "bad_key", 1, "/objects/0"],
    ["a: {<<: {x: 1}, <<: {x: 2}}\n", "duplicate_key", 1, "/objects/0/a"],
    ["a: 1\nb: x\0y\n", "bad_text", 2, "/manifest"],
    ["a: 1\n---\n\ufeffb: 2\n", "bad_text", 3, "/manifest"],
    ['a: "\\0"\n', "bad_text", 1, "/objects/0/a"],
    ['{"a": "\\ud800"}', "bad_text", 1, "/objects/0/a"],
    ["a: 1\n...\nb: 2\n", "document_end", 3, "/objects/1"],
    ["~: 1\n", "bad_key", 1, "/objects/0"],
    ["__proto__: {a: 1}\n", "bad_key", 1, "/objects/0"],
    ["a: &x [*x]\n", "alias_limit", 1, "/objects/0/a/0"],
    ["a: *nothing\n", "unknown_alias", 1, "/objects/0/a"],
    ["just text\n", "not_an_object", 1, "/objects/0"],
    ["- a\n", "not_an_object", 1, "/objects/0"],
    ["a: [1\n", "syntax", 2, "/objects/0"],
    ["a: {<<: 5}\n", "bad_merge", 1, "/objects/0/a"],
    ["\n---\n# nothing\n", "no_objects", undefined, "/manifest"]
  ] as const)("%j", (text, code, line, pointer) => {
    expect(faultOf(text)).toMatchObject({ code, pointer, ...(line === undefined ? {} : { line }) })
  })

  test("an alias bomb is refused before it is made", () => {
    const levels = Array.from({ length: 9 }, (_, level) =>
      level === 0
        ? "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"
        : `a${level}: &a${level} [${Array(10)
            .fill(`*a${level - 1}`)
            .join(", ")}]`
    )
    expect(faultOf(levels.join("\n"))).toMatchObject({ code: "alias_limit" })
  })

  test("an alias means the last anchor of its name before it", () => {
    expect(treesOf("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")).toEqual([{ a: 1, b: 1, c: 2, d: 2 }])
  })

  test("keys and aliases by the thousand are read once each, not compared with one another", () => {
    // Quadratic work made of one megabyte here three quarters of a minute in which nobody else was answered.
    const text = ["k: &a x", ...Array.from({ length: 40_000 }, (_, index) => `k${index}: *a`)].join("\n")
    expect(Object.keys(treesOf(text)[0]!)).toHaveLength(40_001)
  }, 20_000)

  test("values by the hundred thousand are refused before a tree is made of them", () => {
    expect(faultOf(`a: [${"1,".repeat(400_000)}]`)).toMatchObject({ code: "too_many_values" })
  })

  test("nesting without end is refused", () => {
    expect(faultOf(`a: ${"[".repeat(200)}${"]".repeat(200)}`)).toMatchObject({ code: "too_deep" })
  })

  test("more than 100 objects are too many, also in one list", () => {
    const items = Array.from({ length: 101 }, (_, index) => ({ kind: "ConfigMap", n: index }))
    expect(faultOf(JSON.stringify({ kind: "List", items }))).toMatchObject({ _tag: "TooManyObjects" })
  })
})

describe("security: what is wrong with a Secret is told without its value", () => {
  test.each([
    ["0700123", "ambiguous_scalar"],
    ["123_456", "ambiguous_scalar"],
    ["!hunter2 x", "custom_tag"],
    ["*hunter2", "unknown_alias"],
    ['"\\qhunter2"', "syntax"]
  ])("%s", (value, code) => {
    const fault = faultOf(`kind: List\nitems:\n- kind: Secret\n  stringData:\n    k: ${value}\n`)
    expect(fault).toMatchObject({ code, line: 5 })
    expect(JSON.stringify(fault)).not.toMatch(/hunter2|0?700123|229459|123.?456/u)
  })
})
