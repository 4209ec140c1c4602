/** JSON text from outside: what is read, and what no two readers would read alike. */
import { describe, expect, test } from "bun:test"
import { MalformedRequest } from "#shared/domain/errors.ts"
import { parseJson } from "#shared/json.ts"

const outcome = (text: string): unknown => {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof MalformedRequest) return error.message
    throw error
  }
}

describe("JSON text", () => {
  test("is read as JSON.parse reads it, whatever its strings hold", () => {
    for (const text of [
      "null",
      '"a:b"',
      "[]",
      "{}",
      '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
      '{"a:b":"c:\\"d\\":e","\\\\":":","":1}',
      '{"__proto__":{"x":1},"constructor":2,"toString":3}',
      '{"\\ud83d\\ude00":"\\uD83D\\uDE00","x":"\\\\ud800 \\\\u0000"}',
      '{ "a" : 1 , "A" : 2 , "10" : 3, "1" : 4 }',
      '[[{"url":"https://x:1/y"}],{"t":"12:30:00"},1e3,true]'
    ]) {
      expect([text, outcome(text)]).toEqual([text, JSON.parse(text)])
    }
  })

  test("security: that names a key twice in one object is refused, wherever and however it is written", () => {
    for (const text of [
      '{"a":1,"a":1}',
      '{"a":1,"b":2,"a":3}',
      '{"x":[{"y":{"a":1,"a":2}}]}',
      '{"a":1,"\\u0061":2}',
      '{"__proto__":1,"__proto__":2}',
      '{"":1,"":2}',
      '[{"a":":"},{"b":1,"b":{"c":1}}]',
      '{"a":{"b":1},"a":{}}'
    ]) {
      expect([text, outcome(text)]).toEqual([text, expect.stringContaining("the body names a key of an object twice")])
    }
  })

  test("that is none, too deep or holds NUL or half of a character is refused with other words", () => {
    expect(outcome('{"a":1,}')).toContain("not valid JSON")
    expect(outcome("{a:1}")).toContain("not valid JSON")
    expect(outcome(`${"[".repeat(65)}${"]".repeat(65)}`)).toContain("deeper than 64")
    expect(outcome('{"a":"\\u0000"}')).toContain("NUL")
    for (const half of ['{"a":"\\ud800"}', '["\\uDC00\\ud800"]', '{"\\ud83d":1}', '[{"a":["x\\ud83d"]}]']) {
      expect([half, outcome(half)]).toEqual([half, expect.stringContaining("half of a character")])
    }
  })
})
