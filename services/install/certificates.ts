/** The certificates by which an environment's databases prove who they are: one authority, whose key is used once and kept nowhere; must show no key but the databases' own. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto"
import { AsnConvert, OctetString } from "@peculiar/asn1-schema"
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version
} from "@peculiar/asn1-x509"

/** The databases of an environment. */
export const databaseNames = ["gateway-db", "logging-db", "data-db"] as const
export type DatabaseName = (typeof databaseNames)[number]

/** Two years: the authority ends with what it has signed, as nothing more can be signed by it. */
export const lifetimeDays = 730

const day = 86_400_000
/** Clocks of nodes may be behind this one's. */
const behind = 3_600_000

export interface ServerCertificate {
  /** PEM: the certificate, and its private key (PKCS #8). */
  readonly certificate: string
  readonly key: string
}

export interface DatabaseCertificates {
  /** PEM. */
  readonly authority: string
  readonly servers: Readonly<Record<DatabaseName, ServerCertificate>>
}

/** ECDSA with SHA-256 (RFC 5758 §3.2), which takes no parameters. */
const ecdsaWithSha256 = () => new AlgorithmIdentifier({ algorithm: "1.2.840.10045.4.3.2" })
const commonNameType = "2.5.4.3"

const named = (text: string) =>
  new Name([
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type: commonNameType, value: new AttributeValue({ utf8String: text }) })
    ])
  ])

const extension = (extnID: string, critical: boolean, value: unknown) =>
  new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })

const pem = (der: ArrayBuffer) =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der)
    .toString("base64")
    .replaceAll(/.{64}/gu, "$&\n")
    .trimEnd()}\n-----END CERTIFICATE-----\n`

interface Issue {
  readonly subject: string
  readonly publicKey: KeyObject
  readonly issuer: { readonly name: string; readonly key: KeyObject }
  readonly now: number
  readonly extensions: Array<Extension>
}

/** RFC 5280 §4.1. */
const issue = ({ extensions, issuer, now, publicKey, subject }: Issue): string => {
  const serial = randomBytes(16)
  // Positive, and of its full length.
  serial[0] = (serial[0]! & 0x7f) | 0x40
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: Uint8Array.from(serial).buffer,
    signature: ecdsaWithSha256(),
    issuer: named(issuer.name),
    validity: new Validity({ notBefore: new Date(now - behind), notAfter: new Date(now + lifetimeDays * day) }),
    subject: named(subject),
    subjectPublicKeyInfo: AsnConvert.parse(
      Uint8Array.from(publicKey.export({ type: "spki", format: "der" })),
      SubjectPublicKeyInfo
    ),
    extensions: new Extensions(extensions)
  })
  const signature = sign("sha256", new Uint8Array(AsnConvert.serialize(tbsCertificate)), issuer.key)
  return pem(
    AsnConvert.serialize(
      new Certificate({
        tbsCertificate,
        signatureAlgorithm: ecdsaWithSha256(),
        signatureValue: Uint8Array.from(signature).buffer
      })
    )
  )
}

const keyPair = () => generateKeyPairSync("ec", { namedCurve: "P-256" })

/** The names of a Service, from the same namespace, from another one, and in full. */
const namesOf = (database: string, environment: string) =>
  ["", `.${environment}`, `.${environment}.svc`, `.${environment}.svc.cluster.local`].map((end) => `${database}${end}`)

/**
 * New certificates of every database of `environment`, valid from `now` (milliseconds since 1970) for `lifetimeDays`. The
 * authority's key is forgotten with the return: nobody, not even who reads every secret of the cluster, can make another
 * certificate that the services believe.
 */
export const databaseCertificates = (environment: string, now: number): DatabaseCertificates => {
  const authority = keyPair()
  const identifier = randomBytes(20)
  const issuer = { name: `gatehouse ${environment} ${randomBytes(4).toString("hex")}`, key: authority.privateKey }
  const server = (database: DatabaseName): ServerCertificate => {
    const { privateKey, publicKey } = keyPair()
    const names = namesOf(database, environment).map((dNSName) => new GeneralName({ dNSName }))
    return {
      certificate: issue({
        subject: `${database}.${environment}`,
        publicKey,
        issuer,
        now,
        extensions: [
          extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
          extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
          extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth])),
          extension(id_ce_subjectAltName, false, new SubjectAlternativeName(names)),
          extension(
            id_ce_authorityKeyIdentifier,
            false,
            new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(Uint8Array.from(identifier)) })
          )
        ]
      }),
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString()
    }
  }
  return {
    authority: issue({
      subject: issuer.name,
      publicKey: authority.publicKey,
      issuer,
      now,
      extensions: [
        extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true, pathLenConstraint: 0 })),
        extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.keyCertSign)),
        extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(Uint8Array.from(identifier)))
      ]
    }),
    servers: {
      "gateway-db": server("gateway-db"),
      "logging-db": server("logging-db"),
      "data-db": server("data-db")
    }
  }
}

/** Of a file of certificates those that are still valid at `now`, or undefined where it holds none at all. */
export const validCertificates = (text: string, now: number): ReadonlyArray<string> | undefined => {
  const all = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu) ?? []
  try {
    const read = all.map((one) => ({ text: `${one}\n`, until: Date.parse(new X509Certificate(one).validTo) }))
    return read.length === 0 ? undefined : read.filter(({ until }) => until > now).map(({ text: valid }) => valid)
  } catch {
    return undefined
  }
}
