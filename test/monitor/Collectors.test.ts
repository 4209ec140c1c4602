/** All collectors on a copied tree: node_exporter's own output is the measure, and a bad file costs only its own collector. */
import { afterAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, type Layer } from "effect"
import { type CollectorName, Collectors } from "#monitor/Collectors.ts"
import { expose } from "#monitor/exposition.ts"
import { type Exposed, parseExposition } from "#test/monitor/exposed.ts"
import { collectorsOf, fixture, makeTree, type Tree, removeFolders } from "#test/monitor/tree.ts"

afterAll(removeFolders)

const look = (layer: Layer.Layer<Collectors>) =>
  Effect.gen(function* () {
    const collectors = yield* Collectors
    const reading = yield* collectors.read
    const { duplicates, text } = expose(collectors.families(reading, new Set(collectors.names)))
    return { reading, duplicates, exposed: parseExposition(text), names: collectors.names }
  }).pipe(Effect.provide(layer), Effect.runPromise)

const lookAt = async (tree: Tree) => look(await collectorsOf({ MONITOR_ROOTFS: tree.root }))

/** What node_exporter 1.12.1 says of the same tree (its /proc/net led to process 1's, and netlink switched off). */
const oracle = parseExposition(readFileSync(join(fixture, "node_exporter.prom"), "utf8"))

const without = (exposed: Exposed, pattern: RegExp) =>
  Object.fromEntries([...exposed.values].filter(([series]) => !pattern.test(series)))

describe("collectors on a copied tree", () => {
  test("give node_exporter's names, types, help, labels and values", async () => {
    const { duplicates, exposed } = await lookAt(makeTree())
    const own = /^node_(?:filesystem|time|uname|scrape|network_receive_nohandler)/u
    expect(without(exposed, own)).toEqual(Object.fromEntries(oracle.values))
    for (const [name, type] of oracle.types) expect([name, exposed.types.get(name)]).toEqual([name, type])
    for (const [name, help] of oracle.helps) expect([name, exposed.helps.get(name)]).toEqual([name, help])
    expect(duplicates).toEqual([])
  })

  test("give filesystems by statfs below the root prefix, each mount once, pods' and network ones left out", async () => {
    const { exposed } = await lookAt(makeTree())
    const value = (name: string, labels: string) => exposed.values.get(`node_filesystem_${name}{${labels}}`)
    const root = 'device="/dev/nvme0n1p2",device_error="",fstype="ext4",mountpoint="/"'
    expect(value("size_bytes", root)).toBe(4_096_000)
    expect(value("free_bytes", root)).toBe(400 * 4096)
    expect(value("avail_bytes", root)).toBe(350 * 4096)
    expect([value("files", root), value("files_free", root)]).toEqual([100, 60])
    expect([value("readonly", root), value("device_error", root)]).toEqual([0, 0])
    expect(value("mount_info", 'device="/dev/nvme0n1p2",major="259",minor="2",mountpoint="/"')).toBe(1)
    const disk = 'device="/dev/nvme0n1p3",device_error="",fstype="xfs",mountpoint="/srv/data disk"'
    expect(value("readonly", disk)).toBe(1)
    const mounts = [...exposed.values.keys()].filter((series) => series.startsWith("node_filesystem_size_bytes"))
    expect(mounts.length).toBe(4)
  })

  test("show only error and read-only state of a filesystem that cannot be asked", async () => {
    const layer = await collectorsOf({ MONITOR_ROOTFS: makeTree().root }, { error: "permission denied" })
    const { exposed } = await look(layer)
    const labels = 'device="/dev/nvme0n1p2",device_error="permission denied",fstype="ext4",mountpoint="/"'
    expect(exposed.values.get(`node_filesystem_device_error{${labels}}`)).toBe(1)
    expect(exposed.values.get(`node_filesystem_readonly{${labels}}`)).toBe(0)
    expect([...exposed.types.keys()].filter((name) => name.startsWith("node_filesystem")).sort()).toEqual([
      "node_filesystem_device_error",
      "node_filesystem_readonly"
    ])
  })

  test("give packets nobody took from /sys", async () => {
    const { exposed } = await lookAt(makeTree())
    expect(exposed.values.get('node_network_receive_nohandler_total{device="eth0"}')).toBe(7)
  })
})

describe("a file that is bad", () => {
  /** Which collectors each file feeds. */
  const feeds: ReadonlyArray<readonly [path: string, collectors: ReadonlyArray<CollectorName>]> = [
    ["proc/stat", ["cpu", "stat"]],
    ["proc/loadavg", ["loadavg"]],
    ["proc/meminfo", ["meminfo"]],
    ["proc/diskstats", ["diskstats"]],
    ["proc/vmstat", ["vmstat"]],
    ["proc/pressure/cpu", ["pressure"]],
    ["proc/sys/fs/file-nr", ["filefd"]],
    ["proc/1/net/dev", ["netdev"]],
    ["proc/1/net/netstat", ["netstat"]],
    ["proc/1/net/sockstat", ["sockstat"]],
    ["proc/1/mountinfo", ["filesystem"]]
  ]
  /** Fails on the untouched tree too: the fixture's own network namespace is not process 1's. */
  const usual = ["conntrack"]
  const failing = async (tree: Tree): Promise<Array<string>> => {
    const { exposed, names } = await lookAt(tree)
    return names.filter((name) => exposed.values.get(`node_scrape_collector_success{collector="${name}"}`) === 0)
  }

  test("none is, on the fixture as it stands", async () => {
    expect(await failing(makeTree())).toEqual([...usual])
  })

  test.each(feeds)("%s cut short fails only what it feeds", async (path, collectors) => {
    const tree = makeTree()
    const text = tree.text(path)
    tree.write(path, text.slice(0, Math.floor(text.length / 3)))
    expect((await failing(tree)).sort()).toEqual([...usual, ...collectors].sort())
  })

  test.each(feeds.filter(([path]) => path !== "proc/pressure/cpu" && path !== "proc/1/net/sockstat"))(
    "%s missing fails only what it feeds, with a reason",
    async (path, collectors) => {
      const tree = makeTree()
      tree.remove(path)
      const { reading } = await lookAt(tree)
      expect((await failing(tree)).sort()).toEqual([...usual, ...collectors].sort())
      for (const name of collectors) {
        const outcome = reading.outcomes[name]
        expect(outcome.ok ? "" : outcome.reason).toContain(path.replace("proc/", ""))
      }
    }
  )

  test("the rest of the metrics stay exactly as they were", async () => {
    const [whole, spoiled] = [makeTree(), makeTree()]
    spoiled.write("proc/meminfo", "MemTotal")
    const changing = /^node_(?:memory|time|scrape)/u
    const [before, after] = [await lookAt(whole), await lookAt(spoiled)]
    expect(without(after.exposed, changing)).toEqual(without(before.exposed, changing))
    expect([...after.exposed.values.keys()].some((series) => series.startsWith("node_memory"))).toBe(false)
  })

  test("a kernel without PSI has none, and one without irq pressure has the others", async () => {
    const [none, older] = [makeTree(), makeTree()]
    none.remove("proc/pressure")
    older.remove("proc/pressure/irq")
    expect((await failing(none)).sort()).toEqual([...usual, "pressure"].sort())
    expect(await failing(older)).toEqual([...usual])
  })

  test("an interface that vanishes and a sensor that cannot be read are left out alone", async () => {
    const tree = makeTree()
    tree.remove("sys/class/net/eth0/ifindex")
    tree.remove("sys/class/hwmon/hwmon0/temp1_input")
    tree.write("sys/class/thermal/thermal_zone0/temp", "")
    const { exposed } = await lookAt(tree)
    expect(await failing(tree)).toEqual([...usual])
    expect(exposed.values.has('node_network_up{device="eth0"}')).toBe(false)
    expect(exposed.values.has('node_network_up{device="lo"}')).toBe(true)
    expect(exposed.values.has('node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp2"}')).toBe(true)
    expect(exposed.values.has('node_thermal_zone_temp{type="acpitz",zone="1"}')).toBe(true)
  })
})

describe.if(process.platform === "linux")("the live host", () => {
  test("gives values between two independent readings of the same files", async () => {
    const layer = await collectorsOf({})
    const number = (file: string, pattern: RegExp) => Number(pattern.exec(readFileSync(file, "utf8"))![1])
    const sources: ReadonlyArray<readonly [series: string, file: string, pattern: RegExp, factor: number]> = [
      ["node_context_switches_total", "/proc/stat", /^ctxt (\d+)$/mu, 1],
      ["node_forks_total", "/proc/stat", /^processes (\d+)$/mu, 1],
      ['node_cpu_seconds_total{cpu="0",mode="user"}', "/proc/stat", /^cpu0 (\d+)/mu, 0.01],
      ['node_cpu_seconds_total{cpu="0",mode="idle"}', "/proc/stat", /^cpu0 \d+ \d+ \d+ (\d+)/mu, 0.01],
      ['node_network_receive_bytes_total{device="lo"}', "/proc/1/net/dev", /^\s*lo:\s*(\d+)/mu, 1],
      ["node_vmstat_pgfault", "/proc/vmstat", /^pgfault (\d+)$/mu, 1],
      ["node_memory_MemTotal_bytes", "/proc/meminfo", /^MemTotal:\s+(\d+) kB$/mu, 1024],
      ["node_boot_time_seconds", "/proc/stat", /^btime (\d+)$/mu, 1]
    ]
    const independent = () => sources.map(([, file, pattern, factor]) => number(file, pattern) * factor)
    const before = independent()
    const { exposed } = await look(layer)
    const after = independent()
    for (const [index, [series]] of sources.entries()) {
      const value = exposed.values.get(series)!
      expect([series, value >= before[index]! - 1e-6, value <= after[index]! + 1e-6]).toEqual([series, true, true])
    }
  })
})
