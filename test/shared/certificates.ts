/** X.509 certificates made on the spot (RFC 5280, ECDSA P-256), so that TLS tests need no tool and nothing that expires; for tests only. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"

const length = (size: number): Buffer => {
  if (size < 128) return Buffer.from([size])
  const bytes = size < 256 ? [size] : [size >> 8, size & 255]
  return Buffer.from([0x80 | bytes.length, ...bytes])
}
const tlv = (tag: number, ...parts: ReadonlyArray<Buffer>): Buffer => {
  const body = Buffer.concat([...parts])
  return Buffer.concat([Buffer.from([tag]), length(body.length), body])
}
const sequence = (...parts: ReadonlyArray<Buffer>) => tlv(0x30, ...parts)
const set = (...parts: ReadonlyArray<Buffer>) => tlv(0x31, ...parts)
const integer = (bytes: Buffer) => tlv(0x02, bytes)
const octets = (bytes: Buffer) => tlv(0x04, bytes)
const bits = (bytes: Buffer) => tlv(0x03, Buffer.from([0]), bytes)
const truth = tlv(0x01, Buffer.from([0xff]))
const oid = (hex: string) => tlv(0x06, Buffer.from(hex, "hex"))

const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"))
const commonName = (text: string) => sequence(set(sequence(oid("550403"), tlv(0x0c, Buffer.from(text, "utf8")))))
/** GeneralizedTime, whole seconds. */
const time = (at: Date) =>
  tlv(0x18, Buffer.from(`${at.toISOString().slice(0, 19).replaceAll(/[-:T]/gu, "")}Z`, "ascii"))
const extension = (id: string, critical: boolean, value: Buffer) =>
  sequence(oid(id), ...(critical ? [truth] : []), octets(value))

const alternative = (name: string) =>
  /^\d+\.\d+\.\d+\.\d+$/u.test(name)
    ? tlv(0x87, Buffer.from(name.split(".").map(Number)))
    : tlv(0x82, Buffer.from(name, "ascii"))

const pem = (label: string, der: Buffer) =>
  `-----BEGIN ${label}-----\n${der
    .toString("base64")
    .replaceAll(/.{64}/gu, "$&\n")
    .trimEnd()}\n-----END ${label}-----\n`

export interface Certificate {
  /** PEM. */
  readonly cert: string
  readonly key: string
}
export interface Authority extends Certificate {
  readonly issue: (options: {
    readonly name: string
    /** DNS names and IPv4 addresses. */
    readonly hosts?: ReadonlyArray<string>
    readonly notAfter?: Date
  }) => Certificate
}

const hour = 3_600_000

const make = (
  subject: string,
  issuer: string,
  signer: KeyObject | undefined,
  extensions: ReadonlyArray<Buffer>,
  notAfter: Date
): Certificate & { readonly privateKey: KeyObject } => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" })
  const serial = randomBytes(8)
  serial[0] = (serial[0]! & 0x7f) | 1
  const body = sequence(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ecdsaWithSha256,
    commonName(issuer),
    sequence(time(new Date(Math.min(Date.now(), notAfter.getTime()) - 24 * hour)), time(notAfter)),
    commonName(subject),
    publicKey.export({ type: "spki", format: "der" }),
    tlv(0xa3, sequence(...extensions))
  )
  const signature = sign("sha256", body, signer ?? privateKey)
  return {
    cert: pem("CERTIFICATE", sequence(body, ecdsaWithSha256, bits(signature))),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    privateKey
  }
}

/** A certificate authority of its own. */
export const makeAuthority = (name: string): Authority => {
  const later = new Date(Date.now() + 24 * hour)
  const own = make(name, name, undefined, [extension("551d13", true, sequence(truth))], later)
  return {
    cert: own.cert,
    key: own.key,
    issue: ({ hosts = [], name: subject, notAfter = later }) => {
      const names = hosts.length === 0 ? [] : [extension("551d11", false, sequence(...hosts.map(alternative)))]
      const { cert, key } = make(
        subject,
        name,
        own.privateKey,
        [extension("551d13", true, sequence()), ...names],
        notAfter
      )
      return { cert, key }
    }
  }
}
