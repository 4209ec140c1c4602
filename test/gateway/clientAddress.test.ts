/** R4: nothing forwarded is trusted by default; whom the gateway takes for the client. */
import { describe, expect, test } from "bun:test"
import { Effect } from "effect"
import { clientAddress, isTrusted, normaliseAddress, trustedNetworks } from "#gateway/clientAddress.ts"
import { gatewayConfig } from "#gateway/config.ts"

const none = trustedNetworks([])
const proxies = trustedNetworks(["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"])

describe("R4: TRUSTED_PROXIES is empty by default", () => {
  test("with no trusted proxy the client is the TCP peer, whatever a header says", () => {
    for (const forwarded of [null, "1.2.3.4", "1.2.3.4, 127.0.0.1", "127.0.0.1", "::1", "unknown", ""])
      expect(clientAddress("203.0.113.9", forwarded, none)).toBe("203.0.113.9")
  })
  test("not even loopback or a private peer is trusted", () => {
    for (const peer of ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fe80::1"])
      expect(clientAddress(peer, "1.2.3.4", none)).toBe(peer)
  })
})

describe("R4: the client is the rightmost hop outside the list", () => {
  const cases: ReadonlyArray<readonly [what: string, forwarded: string, client: string]> = [
    ["one hop", "203.0.113.9", "203.0.113.9"],
    ["a hop that the client invented is left of its own", "1.2.3.4, 203.0.113.9", "203.0.113.9"],
    ["trusted hops are passed over", "1.2.3.4, 203.0.113.9, 10.1.1.1, 192.0.2.7", "203.0.113.9"],
    ["a trusted address that the client invented does not hide it", "10.9.9.9, 203.0.113.9", "203.0.113.9"],
    ["hops that are all trusted give the first", "10.1.1.1, 10.2.2.2", "10.1.1.1"],
    ["IPv6", "2001:db8:2::1, 2001:db8:1::5", "2001:db8:2::1"],
    ["brackets and ports are no part of it", "[2001:db8:2::1]:4711, 10.0.0.1:80", "2001:db8:2::1"],
    ["IPv4 in IPv6 is IPv4", "::ffff:203.0.113.9, ::ffff:10.0.0.1", "203.0.113.9"],
    ["the same in hexadecimal", "::ffff:cb00:7109, ::ffff:a00:1", "203.0.113.9"],
    ["spaces and tabs", "  203.0.113.9 ,\t10.0.0.1  ", "203.0.113.9"]
  ]
  for (const [what, forwarded, client] of cases) {
    test(what, () => expect(clientAddress("10.0.0.1", forwarded, proxies)).toBe(client))
  }
  test("a peer outside the list is not believed", () => {
    expect(clientAddress("203.0.113.1", "1.2.3.4", proxies)).toBe("203.0.113.1")
    expect(clientAddress("11.0.0.1", "1.2.3.4", proxies)).toBe("11.0.0.1")
  })
  test("a trusted peer that speaks IPv4 in IPv6 is trusted", () => {
    expect(clientAddress("::ffff:10.0.0.1", "203.0.113.9", proxies)).toBe("203.0.113.9")
  })
})

test("R4: an unparsable header gives the peer's address", () => {
  for (const forwarded of [
    "",
    ",",
    "unknown",
    "203.0.113.9,",
    "203.0.113.9, _hidden",
    "203.0.113.9, 10.0.0.999",
    "203.0.113.9;10.0.0.1",
    "203.0.113.9 10.0.0.1",
    "203.0.113.9, 010.0.0.1",
    "for=203.0.113.9",
    "203.0.113.9\u0000",
    "1.2.3, 10.0.0.1",
    "[203.0.113.9]",
    "2001:db8::1::2",
    "localhost"
  ])
    expect([forwarded, clientAddress("10.0.0.1", forwarded, proxies)]).toEqual([forwarded, "10.0.0.1"])
})

test("a peer that cannot be told is nobody, and not trusted", () => {
  expect(clientAddress(undefined, "1.2.3.4", proxies)).toBe("unknown")
  expect(clientAddress("/run/socket", "1.2.3.4", proxies)).toBe("unknown")
})

test("every spelling of an address is one address", () => {
  for (const spelling of [
    "::ffff:1.2.3.4",
    "::FFFF:1.2.3.4",
    "::ffff:102:304",
    "0:0:0:0:0:ffff:1.2.3.4",
    "[::ffff:1.2.3.4]:9",
    "1.2.3.4:9"
  ])
    expect(normaliseAddress(spelling)).toBe("1.2.3.4")
  for (const spelling of [
    "2001:db8::1",
    "2001:DB8:0:0::1",
    "2001:0db8:0000:0000:0000:0000:0000:0001",
    "[2001:db8::1]",
    "2001:db8::1%eth0"
  ])
    expect(normaliseAddress(spelling)).toBe("2001:db8::1")
})

describe("R4: the start refuses a list that trusts everyone", () => {
  const start = (TRUSTED_PROXIES: string) =>
    Effect.runPromise(
      Effect.flip(
        gatewayConfig({
          ENVIRONMENT: "test",
          GATEWAY_PUBLIC_URL: "https://gate.test",
          GATEWAY_FILE: "/nowhere",
          GATEWAY_DATABASE_URL: "postgresql:///x",
          GATEWAY_SECRET: "a secret of this test alone, longer than 32 bytes",
          TRUSTED_PROXIES
        })
      )
    )
  for (const list of [
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8,0.0.0.0/0",
    "10.0.0.0/8, ::/0",
    "1.2.3.4/0",
    "::ffff:0:0/96",
    "::/64"
  ]) {
    test(list, async () => {
      expect(await start(list)).toMatchObject({
        key: "TRUSTED_PROXIES",
        detail: expect.stringContaining("trust every")
      })
    })
  }
  test("and entries that are no network", async () => {
    for (const list of [
      "10.0.0.0/33",
      "::1/129",
      "10.0.0.0/8/8",
      "10.0.0.0/",
      "10.0.0/8",
      "any",
      "*",
      "10.0.0.0/-1",
      "fe80::1%eth0/64"
    ])
      expect(await start(list)).toMatchObject({ key: "TRUSTED_PROXIES", detail: expect.stringContaining("no network") })
  })
  test("but no other", async () => {
    for (const list of ["", "10.0.0.0/8, 192.0.2.1,fd00::/8", "::1", "::ffff:10.0.0.0/104"])
      expect((await start(list)).key).toBe("GATEWAY_FILE")
    expect(isTrusted("10.1.2.3", trustedNetworks(["::ffff:10.0.0.0/104"]))).toBe(true)
    expect(isTrusted("11.1.2.3", trustedNetworks(["::ffff:10.0.0.0/104"]))).toBe(false)
  })
})
