/** The databases' certificates as OpenSSL's rules see them: for their own names, from an authority that can sign nothing more, for as long as is said. */
import { describe, expect, test } from "bun:test"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { databaseCertificates, databaseNames, lifetimeDays } from "#install/certificates.ts"

const now = Date.UTC(2026, 0, 2, 3, 4, 5)
const made = databaseCertificates("prod", now)
const authority = new X509Certificate(made.authority)
const certificateOf = (name: (typeof databaseNames)[number]) => new X509Certificate(made.servers[name].certificate)

describe("an environment's certificates", () => {
  test("are signed by the environment's authority, which is one, and may sign servers alone", () => {
    expect(authority.ca).toBe(true)
    expect(authority.verify(authority.publicKey)).toBe(true)
    for (const name of databaseNames) {
      const certificate = certificateOf(name)
      expect(certificate.ca).toBe(false)
      expect(certificate.checkIssued(authority)).toBe(true)
      expect(certificate.verify(authority.publicKey)).toBe(true)
      // id-kp-serverAuth
      expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"])
    }
  })

  test("security: are for one database's names in one environment, and for no other's", () => {
    const certificate = certificateOf("logging-db")
    for (const host of ["logging-db", "logging-db.prod", "logging-db.prod.svc", "logging-db.prod.svc.cluster.local"]) {
      expect(certificate.checkHost(host)).toBe(host)
    }
    for (const host of ["gateway-db", "logging-db.nightly", "logging-db.prod.svc.evil.example", "prod", "localhost"]) {
      expect(certificate.checkHost(host)).toBeUndefined()
    }
  })

  test("security: come with keys of their own, and with none of the authority's", () => {
    const keys = databaseNames.map((name) => made.servers[name].key)
    expect(new Set(keys).size).toBe(3)
    for (const name of databaseNames) {
      const key = createPrivateKey(made.servers[name].key)
      expect(key.asymmetricKeyDetails?.namedCurve).toBe("prime256v1")
      expect(certificateOf(name).checkPrivateKey(key)).toBe(true)
      expect(authority.checkPrivateKey(key)).toBe(false)
    }
    expect(JSON.stringify(made).match(/PRIVATE KEY-----\\n/gu)).toHaveLength(3 * 2)
  })

  test("are valid from an hour ago, for clocks that are behind, for two years, the authority no longer than they", () => {
    for (const { validFrom, validTo } of [authority, ...databaseNames.map(certificateOf)]) {
      expect(Date.parse(validFrom)).toBe(now - 3_600_000)
      expect(Date.parse(validTo)).toBe(now + lifetimeDays * 86_400_000)
    }
  })

  test("security: are new each time, so that an old authority says nothing about new ones", () => {
    const again = databaseCertificates("prod", now)
    expect(new X509Certificate(again.servers["data-db"].certificate).verify(authority.publicKey)).toBe(false)
    expect(new X509Certificate(again.authority).serialNumber).not.toBe(authority.serialNumber)
  })
})
