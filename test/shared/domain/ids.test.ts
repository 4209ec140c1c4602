/** Identifiers: UUIDv7 by RFC 9562 §5.7, unique however many are made. */
import { expect, test } from "bun:test"
import { Schema } from "effect"
import { UserId, uuidv7 } from "#shared/domain/ids.ts"

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u

test("is a UUID of version 7 and the RFC's variant", () => {
  const ids = Array.from({ length: 2000 }, () => uuidv7(1_700_000_000_000))
  expect(ids.filter((id) => !form.test(id))).toEqual([])
  const variants = new Set(ids.map((id) => id[19]))
  expect([...variants].sort()).toEqual(["8", "9", "a", "b"])
})

test("begins with the time in milliseconds, so that ids sort by time", () => {
  for (const now of [0, 1, 1_700_000_000_123, 2 ** 47]) {
    expect(Number.parseInt(uuidv7(now).replaceAll("-", "").slice(0, 12), 16)).toBe(now)
  }
  const times = [1_600_000_000_000, 1_600_000_000_001, 1_699_999_999_999, 1_700_000_000_000]
  const ids = times.map(uuidv7)
  expect(ids.toSorted()).toEqual(ids)
})

test("never repeats, across refills of its pool of random bytes", () => {
  const count = 50_000
  expect(new Set(Array.from({ length: count }, () => uuidv7(1_700_000_000_000))).size).toBe(count)
})

test("varies in every random position", () => {
  const ids = Array.from({ length: 4000 }, () => uuidv7(0).replaceAll("-", ""))
  const constant = Array.from({ length: 32 }, (_, at) => new Set(ids.map((id) => id[at])).size)
  // 12 digits of time, the version, then the variant's two fixed bits.
  expect(constant.map((size, at) => (at <= 12 ? 1 : at === 16 ? 4 : 16) === size)).not.toContain(false)
})

test("is the only form that a branded id takes", () => {
  const accepted = Schema.decodeUnknownOption(UserId)
  expect(accepted(uuidv7(0))._tag).toBe("Some")
  const id = "0190e0a0-0000-7000-8000-00000000000a"
  for (const wrong of [id.toUpperCase(), `${id}\n`, ` ${id}`, `{${id}}`, id.replaceAll("-", ""), "", 7, null]) {
    expect(accepted(wrong)._tag).toBe("None")
  }
})
