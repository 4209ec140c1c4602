/** Each parser against the kernel's own formats: cut anywhere, with numbers that are none, with counters that fall. */
import { describe, expect, test } from "bun:test"
import { clean, explode } from "#monitor/collectors/hwmon.ts"
import { makeMonotone, parseCpuList } from "#monitor/collectors/cpu.ts"
import { parseDiskStats, parseUdev } from "#monitor/collectors/diskstats.ts"
import { parseFileNr } from "#monitor/collectors/filefd.ts"
import { parseLoad } from "#monitor/collectors/loadavg.ts"
import { parseMemInfo } from "#monitor/collectors/meminfo.ts"
import { parseMountInfo } from "#monitor/collectors/mountinfo.ts"
import { parseNetDev } from "#monitor/collectors/netdev.ts"
import { parseNetStat, parseSnmp6 } from "#monitor/collectors/netstat.ts"
import { parsePressure } from "#monitor/collectors/pressure.ts"
import { parseSockStat } from "#monitor/collectors/sockstat.ts"
import { type CpuTimes, parseStat } from "#monitor/collectors/stat.ts"
import { parseVmStat } from "#monitor/collectors/vmstat.ts"
import { NoData } from "#monitor/files.ts"

const problemOf = (read: () => unknown): string => {
  try {
    read()
    return "none"
  } catch (error) {
    return error instanceof NoData ? error.problem : String(error)
  }
}

const statText =
  "cpu  3 0 3 30 0 0 0 0 0 0\ncpu0 100 0 50 1000 7 1 2 3 4 5\nintr 99 1 2\nctxt 7\nbtime 1000\nprocesses 5\nprocs_running 1\nprocs_blocked 0\nsoftirq 1 2\n"

describe("stat", () => {
  test("gives seconds per processor without the total row", () => {
    const { bootTime, cpus, interrupts } = parseStat(statText)
    expect([...cpus.keys()]).toEqual(["0"])
    expect(cpus.get("0")).toEqual({
      user: 1,
      nice: 0,
      system: 0.5,
      idle: 10,
      iowait: 0.07,
      irq: 0.01,
      softirq: 0.02,
      steal: 0.03,
      guest: 0.04,
      guestNice: 0.05
    })
    expect([bootTime, interrupts]).toEqual([1000, 99])
  })

  test("is truncated wherever it is cut", () => {
    for (let length = 0; length < statText.length; length++) {
      // What comes after the last line that is needed may be missing.
      const needed = statText.indexOf("softirq")
      if (length === needed) continue
      expect([length, problemOf(() => parseStat(statText.slice(0, length)))]).toEqual([length, "truncated"])
    }
  })

  test("refuses a number that is none", () => {
    expect(problemOf(() => parseStat(statText.replace("ctxt 7", "ctxt x")))).toBe("malformed")
  })
})

describe("cpu", () => {
  const times = (idle: number, user = 1): CpuTimes => ({
    user,
    nice: 0,
    system: 0,
    idle,
    iowait: 0,
    irq: 0,
    softirq: 0,
    steal: 0,
    guest: 0,
    guestNice: 0
  })
  const step = (monotone: ReturnType<typeof makeMonotone>, idle: number, user?: number) =>
    monotone(new Map([["0", times(idle, user)]])).get("0")!

  test("never lets a time fall by less than a hotplug's jump", () => {
    const monotone = makeMonotone()
    step(monotone, 100, 5)
    expect(step(monotone, 98, 4)).toEqual(times(100, 5))
    expect(step(monotone, 101, 6)).toEqual(times(101, 6))
  })

  test("starts anew when idle falls by three seconds", () => {
    const monotone = makeMonotone()
    step(monotone, 100, 5)
    expect(step(monotone, 97, 1)).toEqual(times(97, 1))
  })

  test("forgets a processor that went away", () => {
    const monotone = makeMonotone()
    monotone(
      new Map([
        ["0", times(1)],
        ["1", times(50)]
      ])
    )
    expect([...monotone(new Map([["0", times(2)]])).keys()]).toEqual(["0"])
    expect(monotone(new Map([["1", times(1)]])).get("1")).toEqual(times(1))
  })

  test("reads the kernel's lists", () => {
    expect(parseCpuList("0-2,5")).toEqual(["0", "1", "2", "5"])
    expect(parseCpuList("")).toEqual([])
  })
})

describe("loadavg, file-nr, meminfo, vmstat", () => {
  test("loadavg needs three averages and a line's end", () => {
    expect(parseLoad("0.37 1.30 18.05 2/719 19737\n")).toEqual({ load1: 0.37, load5: 1.3, load15: 18.05 })
    expect(problemOf(() => parseLoad("0.37 1.30\n"))).toBe("truncated")
    expect(problemOf(() => parseLoad("0.37 1.30 18.0"))).toBe("truncated")
    expect(problemOf(() => parseLoad(""))).toBe("truncated")
  })

  test("file-nr gives the first and third number", () => {
    expect(parseFileNr("1024\t0\t9223372036854775807\n")).toEqual({ allocated: 1024, maximum: 2 ** 63 })
  })

  test("meminfo turns kB into bytes and leaves page counts", () => {
    const fields = parseMemInfo("MemTotal: 10 kB\nMemFree: 5 kB\nActive(anon): 3 kB\nHugePages_Total:   4\n")
    expect(Object.fromEntries(fields)).toEqual({
      MemTotal_bytes: 10240,
      MemFree_bytes: 5120,
      Active_anon_bytes: 3072,
      HugePages_Total: 4
    })
    expect(problemOf(() => parseMemInfo("MemTotal: 10 kB\n"))).toBe("truncated")
    expect(problemOf(() => parseMemInfo("MemTotal: 10 kB\nMemFree: 5"))).toBe("truncated")
    expect(problemOf(() => parseMemInfo("MemTotal: ten kB\nMemFree: 5 kB\n"))).toBe("malformed")
  })

  test("vmstat keeps faults, paging, swapping and kills", () => {
    const text = "nr_free_pages 9\npgpgin 1\npswpout 2\npgmajfault 3\noom_kill 4\npgalloc_dma 5\n"
    expect(Object.fromEntries(parseVmStat(text))).toEqual({ pgpgin: 1, pswpout: 2, pgmajfault: 3, oom_kill: 4 })
  })
})

describe("diskstats", () => {
  const row = (columns: number) => `8 0 sda ${Array.from({ length: columns - 3 }, (_, index) => index + 1).join(" ")}\n`

  test("takes 14, 18 and 20 columns and no others' remains", () => {
    for (const columns of [14, 18, 20]) {
      expect(parseDiskStats(row(columns))[0]!.counters.length).toBe(columns - 3)
    }
    expect(parseDiskStats(row(25))[0]!.counters.length).toBe(17)
    expect(problemOf(() => parseDiskStats(row(13)))).toBe("truncated")
    expect(problemOf(() => parseDiskStats(row(20) + row(17)))).toBe("truncated")
  })

  test("reads udev's properties, values with = included", () => {
    expect(parseUdev("N:sda\nE:ID_MODEL=A=B\nE:ID_WWN=\nI:5\n")).toEqual({ ID_MODEL: "A=B", ID_WWN: "" })
  })
})

describe("net/dev", () => {
  const heading = "Inter-| Receive | Transmit\n face |bytes |bytes\n"
  const counts = Array.from({ length: 16 }, (_, index) => index).join(" ")

  test("takes names with colons and dashes, with and without a blank after the colon", () => {
    const text = `${heading}  eth0: ${counts}\neth0:1: ${counts}\nveth-4B:${counts}\n`
    expect(parseNetDev(text).map(({ device }) => device)).toEqual(["eth0", "eth0:1", "veth-4B"])
    expect(parseNetDev(text)[2]!.counters.receive_packets).toBe(1)
    expect(parseNetDev(text)[1]!.counters.transmit_compressed).toBe(15)
  })

  test("gives counters beyond 2^53 as the nearest double", () => {
    const text = `${heading}eth0: 18446744073709551615 9007199254740993 ${counts.slice(4)}\n`
    const { counters } = parseNetDev(text)[0]!
    expect(counters.receive_bytes).toBe(2 ** 64)
    expect(counters.receive_packets).toBe(9007199254740992)
  })

  test("is truncated without heading and with a short row", () => {
    expect(problemOf(() => parseNetDev("Inter-|\n"))).toBe("truncated")
    expect(problemOf(() => parseNetDev(`${heading}eth0: 1 2 3\n`))).toBe("truncated")
    expect(parseNetDev(heading)).toEqual([])
  })
})

describe("netstat, snmp6, sockstat", () => {
  test("pairs names with values", () => {
    const text = "TcpExt: SyncookiesSent Foo\nTcpExt: 3 4\nIp: Forwarding\nIp: -1\n"
    expect(Object.fromEntries(parseNetStat(text, "x"))).toEqual({
      TcpExt_SyncookiesSent: 3,
      TcpExt_Foo: 4,
      Ip_Forwarding: -1
    })
    expect(problemOf(() => parseNetStat("TcpExt: A B\nTcpExt: 3\n", "x"))).toBe("truncated")
    expect(problemOf(() => parseNetStat("TcpExt: A\n", "x"))).toBe("truncated")
    expect(problemOf(() => parseNetStat("TcpExt: A\nUdp: 1\n", "x"))).toBe("malformed")
  })

  test("splits IPv6 names after the 6", () => {
    expect(Object.fromEntries(parseSnmp6("Ip6InReceives\t7\nIcmp6OutMsgs 8\n"))).toEqual({
      Ip6_InReceives: 7,
      Icmp6_OutMsgs: 8
    })
    expect(parseSnmp6("").size).toBe(0)
  })

  test("reads sockets by protocol", () => {
    expect(parseSockStat("sockets: used 2\nTCP: inuse 1 mem 3\n", "x")).toEqual([
      { protocol: "sockets", field: "used", value: 2 },
      { protocol: "TCP", field: "inuse", value: 1 },
      { protocol: "TCP", field: "mem", value: 3 }
    ])
    expect(problemOf(() => parseSockStat("TCP: inuse\n", "x"))).toBe("truncated")
  })
})

describe("pressure", () => {
  const some = "some avg10=1.25 avg60=0.50 avg300=0.10 total=14036781"

  test("gives the kernel's average and seconds, without a last line end too", () => {
    expect(parsePressure(some, "x")).toEqual({ some: { avg10: 1.25, total: 14036781 / 1000 / 1000 } })
    expect(parsePressure(`${some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n`, "x").full).toEqual({
      avg10: 0,
      total: 0
    })
  })

  test("is truncated when a line stops before its total", () => {
    expect(problemOf(() => parsePressure("some avg10=1.25 avg60=0.50 avg300=0.1", "x"))).toBe("truncated")
    expect(problemOf(() => parsePressure(some.slice(0, -8), "x"))).toBe("truncated")
  })
})

describe("mountinfo", () => {
  const line = (rest: string) => `36 35 98:0 / ${rest}\n`
  const one = (rest: string, rootfs = "/") => parseMountInfo(line(rest), rootfs)[0]!

  test("decodes blanks, tabs and backslashes of the mount point", () => {
    expect(one("/a\\040b\\011c\\134d rw - ext4 /dev/x rw").mountpoint).toBe("/a b\tc\\d")
  })

  test("skips any number of optional fields", () => {
    for (const optional of ["", "shared:1 ", "shared:1 master:2 propagate_from:3 unbindable "]) {
      expect(one(`/a rw ${optional}- ext4 /dev/x rw`)).toMatchObject({
        device: "/dev/x",
        fstype: "ext4",
        major: "98",
        minor: "0"
      })
    }
  })

  test("is read-only by the mount's options or the filesystem's own, an emergency included", () => {
    expect(one("/a rw,relatime - ext4 x rw,errors=remount-ro").readonly).toBe(false)
    expect(one("/a ro - ext4 x rw").readonly).toBe(true)
    expect(one("/a rw - ext4 x ro").readonly).toBe(true)
    expect(one("/a rw - ext4 x rw,emergency_ro").readonly).toBe(true)
  })

  test("shows mount points as the host does, without the prefix", () => {
    const at = (path: string) => one(`${path} rw - ext4 x rw`, "/host/root").mountpoint
    expect([at("/host/root"), at("/host/root/srv"), at("/host/rootless"), at("/srv")]).toEqual([
      "/",
      "/srv",
      "/host/rootless",
      "/srv"
    ])
  })

  test("takes a source that is empty", () => {
    expect(one("/a rw - tmpfs  rw").device).toBe("")
  })

  test("refuses a bad device number and a line cut short", () => {
    expect(problemOf(() => parseMountInfo("36 35 98 / /a rw - ext4 x rw\n", "/"))).toBe("malformed")
    expect(problemOf(() => one("/a rw - ext4"))).toBe("truncated")
    expect(problemOf(() => parseMountInfo("36 35 98:0 / /a rw - ext4 x r", "/"))).toBe("truncated")
  })
})

describe("hwmon", () => {
  test("takes file names apart", () => {
    expect(explode("temp1_crit_alarm")).toEqual({ type: "temp", sensor: "temp1", property: "crit_alarm" })
    expect(explode("pwm1")).toEqual({ type: "pwm", sensor: "pwm1", property: "" })
    expect(explode("update_interval")).toEqual({ type: "update_interval", sensor: "update_interval0", property: "" })
    expect(explode("uevent")).toBeUndefined()
  })

  test("cleans names as node_exporter does", () => {
    expect(clean("CoreTemp.0-x_")).toBe("coretemp_0_x")
  })
})
