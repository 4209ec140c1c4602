/** The one adapter around age (age-encryption): keys, and streams sealed to recipients and opened by an identity; must keep nothing and touch no file. */
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption"
import { Effect, Redacted, Schema } from "effect"

/** A key that is none, or a file that this key does not open, or that is not as it was sealed. Says which, and nothing of either. */
export class AgeFailed extends Schema.TaggedError<AgeFailed>()("AgeFailed", {
  reason: Schema.Literals(["not a key", "not for this key", "damaged"])
}) {
  override get message() {
    return `age: ${this.reason}`
  }
}

/** A public key, `age1…` (C2SP age, X25519). */
export const AgeRecipient = Schema.String.check(
  Schema.isPattern(/^age1[02-9ac-hj-np-z]{58}$/u, { expected: "a public key of age: age1 and 58 characters" })
)

export interface AgeKey {
  /** `AGE-SECRET-KEY-1…` */
  readonly identity: Redacted.Redacted
  readonly recipient: string
}

const keyOf = async (identity: string): Promise<AgeKey> => ({
  identity: Redacted.make(identity),
  recipient: await identityToRecipient(identity)
})

/** A new pair of keys. */
export const newAgeKey: Effect.Effect<AgeKey> = Effect.promise(async () => keyOf(await generateX25519Identity()))

/** The pair of a secret key as age-keygen writes it, comments and all. */
export const readAgeKey = (text: Redacted.Redacted): Effect.Effect<AgeKey, AgeFailed> =>
  Effect.tryPromise({
    try: () => keyOf(/^AGE-SECRET-KEY-1[0-9A-Z]+$/mu.exec(Redacted.value(text))?.[0] ?? ""),
    catch: () => new AgeFailed({ reason: "not a key" })
  })

/** What is read from `plain`, sealed to every recipient: any one of their identities opens it. Throws for a recipient that is none. */
export const sealed = async (
  plain: ReadableStream<Uint8Array>,
  recipients: ReadonlyArray<string>
): Promise<ReadableStream<Uint8Array>> => {
  const encrypter = new Encrypter()
  for (const recipient of recipients) encrypter.addRecipient(recipient)
  return encrypter.encrypt(plain)
}

/**
 * What was sealed, as it was before. Rejects with AgeFailed when the identity is not among the recipients; the stream fails where a
 * byte is not as it was, or the end is missing. Whatever came before such a failure must not be trusted to be all.
 */
export const opened = async (
  cipher: ReadableStream<Uint8Array>,
  identity: Redacted.Redacted
): Promise<ReadableStream<Uint8Array>> => {
  const decrypter = new Decrypter()
  decrypter.addIdentity(Redacted.value(identity))
  return decrypter.decrypt(cipher).catch((error: unknown) => {
    throw new AgeFailed({ reason: /no identity matched/iu.test(String(error)) ? "not for this key" : "damaged" })
  })
}
