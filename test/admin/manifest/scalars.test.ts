/** What plain YAML scalars mean: kubectl's reading (go-yaml v2), and a refusal wherever YAML 1.2 has another. */
import { describe, expect, test } from "bun:test"
import { readPlain } from "#admin/manifest/scalars.ts"

const valueOf = (text: string) => {
  const reading = readPlain(text)
  return reading._tag === "Value" ? reading.value : reading._tag
}

describe("a plain scalar", () => {
  test.each([
    ["true", true],
    ["True", true],
    ["FALSE", false],
    ["null", null],
    ["~", null],
    ["", null],
    ["8", 8],
    ["08", 8],
    ["-5", -5],
    ["+5", 5],
    ["0", 0],
    ["00", 0],
    ["1.50", 1.5],
    [".5", 0.5],
    ["1.", 1],
    ["1e3", 1000],
    ["0x1F", 31],
    ["0o17", 15],
    ["22:22", "22:22"],
    ["12:30:45", "12:30:45"],
    ["2026-01-01", "2026-01-01"],
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"],
    ["1.2.3", "1.2.3"],
    ["100m", "100m"],
    ["1Gi", "1Gi"],
    ["_1", "_1"],
    ["-", "-"],
    [".", "."],
    ["0b", "0b"],
    ["yesterday", "yesterday"],
    ["nO", "nO"],
    ["9007199254740991", 9007199254740991]
  ] as const)("%j is what both read", (text, value) => {
    expect(valueOf(text)).toBe(value)
  })

  test.each([
    ["0400", "256", "400"],
    ["010", "8", "10"],
    ["-0400", "-256", "-400"],
    ["yes", "true", 'the text "yes"'],
    ["off", "false", 'the text "off"'],
    ["On", "true", 'the text "On"'],
    ["y", "true", 'the text "y"'],
    ["N", "false", 'the text "N"'],
    ["1_000", "1000", 'the text "1_000"'],
    ["0b11", "3", 'the text "0b11"'],
    ["0B11", "3", 'the text "0B11"'],
    ["0X1F", "31", 'the text "0X1F"'],
    ["-0x1F", "-31", 'the text "-0x1F"'],
    ["0_400", "256", 'the text "0_400"'],
    ["1_0.5", "10.5", 'the text "1_0.5"']
  ] as const)("%j is ambiguous: %s or %s", (text, kubectl, plain) => {
    expect(readPlain(text)).toEqual({ _tag: "Ambiguous", kubectl, plain })
  })

  test.each(["9007199254740993", "18446744073709551616", "-9007199254740992", "1e400", "1e20", "0x20000000000001"])(
    "%s loses digits and is refused",
    (text) => {
      expect(valueOf(text)).toBe("TooLarge")
    }
  )

  test.each([".inf", "-.INF", "+.inf", ".nan", ".NaN"])("%s has no place in JSON", (text) => {
    expect(valueOf(text)).toBe("NotANumber")
  })
})
