/** The adapter of age: what is sealed is opened by each recipient and by nobody else, and never when a byte has changed. */
import { expect, test } from "bun:test"
import { Effect, Redacted, Schema } from "effect"
import { AgeRecipient, newAgeKey, opened, readAgeKey, sealed } from "#shared/age.ts"

const bytes = (text: string) => new Blob([text]).stream()
const read = async (stream: ReadableStream<Uint8Array>) => new Uint8Array(await new Response(stream).arrayBuffer())
const long = "x".repeat(200_000)

test("each of two recipients opens what was sealed to both", async () => {
  const [one, other, stranger] = await Promise.all([1, 2, 3].map(() => Effect.runPromise(newAgeKey)))
  const cipher = await read(await sealed(bytes(long), [one!.recipient, other!.recipient]))
  for (const { identity } of [one!, other!]) {
    expect(new TextDecoder().decode(await read(await opened(new Blob([cipher]).stream(), identity)))).toBe(long)
  }
  await expect(opened(new Blob([cipher]).stream(), stranger!.identity)).rejects.toMatchObject({
    _tag: "AgeFailed",
    reason: "not for this key"
  })
})

test("security: a changed byte anywhere and a missing end are failures, not other text", async () => {
  const { identity, recipient } = await Effect.runPromise(newAgeKey)
  const cipher = await read(await sealed(bytes(long), [recipient]))
  const open = async (spoiled: Uint8Array<ArrayBuffer>) => read(await opened(new Blob([spoiled]).stream(), identity))
  for (const at of [30, 250, 70_000, cipher.length - 1]) {
    const spoiled = cipher.slice()
    spoiled[at]! ^= 1
    expect([
      at,
      await open(spoiled).then(
        () => "opened",
        () => "failed"
      )
    ]).toEqual([at, "failed"])
  }
  for (const length of [100, 65_536 + 216, cipher.length - 1]) {
    const cut = cipher.slice(0, length)
    expect([
      length,
      await open(cut).then(
        () => "opened",
        () => "failed"
      )
    ]).toEqual([length, "failed"])
  }
})

test("a key is read as age-keygen writes it, and what is none is refused without being quoted", async () => {
  const key = await Effect.runPromise(newAgeKey)
  const file = Redacted.make(`# public key: ${key.recipient}\n${Redacted.value(key.identity)}\n`)
  expect((await Effect.runPromise(readAgeKey(file))).recipient).toBe(key.recipient)
  const error = await Effect.runPromise(Effect.flip(readAgeKey(Redacted.make("AGE-SECRET-KEY-1WRONG"))))
  expect(String(error)).not.toContain("WRONG")
  const isRecipient = Schema.is(AgeRecipient)
  expect([key.recipient, "age1", key.recipient.toUpperCase(), ` ${key.recipient}`].map(isRecipient)).toEqual([
    true,
    false,
    false,
    false
  ])
})
