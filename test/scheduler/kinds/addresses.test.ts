/** Security: a health check reaches no address outside of a cluster's own networks. */
import { expect, test } from "bun:test"
import { isClusterAddress } from "#scheduler/kinds/addresses.ts"

test("a cluster's own addresses may be reached", () => {
  for (const address of ["10.43.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1"]) {
    expect([address, isClusterAddress(address)]).toEqual([address, true])
  }
})

test("loopback, link-local, metadata services, the Internet and disguised addresses may not", () => {
  for (const address of [
    "127.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "8.8.8.8",
    "172.32.0.1",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "2001:4860:4860::8888",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "10.0.0.1.evil.example",
    "0x0a000001",
    ""
  ]) {
    expect([address, isClusterAddress(address)]).toEqual([address, false])
  }
})
