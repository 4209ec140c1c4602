/** The installer puts a host right and its check finds each thing that is not; on root folders, never on the machine. */
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync
} from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect } from "bun:test"
import { parse, parseAllDocuments } from "yaml"
import {
  certificate,
  copyOf,
  debianRoot,
  goodRoot,
  hostFolder,
  type HostRoot,
  installation,
  installer,
  put,
  run
} from "#test/host/hostRoot.ts"
import { skipUnless } from "#test/shared/skip.ts"

const { describe, test } = skipUnless(process.platform === "linux", "the host profile is for Debian")

let good: HostRoot
beforeAll(async () => {
  good = await goodRoot()
})
afterAll(() => good?.remove())

const check = (root: string, ...more: ReadonlyArray<string>) => installer(["check", "--root", root, ...more])

/** [what is wrong, ids that are found, how it is made]. */
type Defect = readonly [title: string, ids: ReadonlyArray<string>, spoil: (root: string) => void]

const replace = (root: string, path: string, from: string, to: string) => {
  const text = readFileSync(join(root, path), "utf8")
  if (!text.includes(from)) throw new Error(`${path} has no ${from}`)
  put(root, path, text.replace(from, to), statSync(join(root, path)).mode & 0o7777)
}
const config = "etc/rancher/k3s/config.yaml"
const server = "var/lib/rancher/k3s/server"
const set = "opt/k8s-backups/2026-01-01T00:00:00Z"

/** By area: no defect of one can hide or make a finding of another. */
const defects: Readonly<Record<string, ReadonlyArray<Defect>>> = {
  files: [
    ["a shipped file is missing", ["FILE"], (root) => rmSync(join(root, `${server}/audit.yaml`))],
    ["a shipped file was changed", ["FILE"], (root) => replace(root, `${server}/psa.yaml`, "restricted", "baseline")]
  ],
  config: [
    ["a shipped file is open to others", ["FILE"], (root) => chmodSync(join(root, config), 0o644)],
    [
      "etcd is not used",
      ["ETCD", "FILE"],
      (root) => replace(root, config, "cluster-init: true", "cluster-init: false")
    ],
    [
      "Secrets are not to be encrypted",
      ["CIS-1.2.27", "FILE"],
      (root) => replace(root, config, "secrets-encryption: true", "secrets-encryption: false")
    ],
    ["another cipher is set", ["CIS-1.2.28", "FILE"], (root) => replace(root, config, "secretbox", "aescbc")],
    [
      "the kernel is not held to",
      ["FILE", "KERNEL"],
      (root) => replace(root, config, "defaults: true", "defaults: no")
    ],
    ["events are not limited", ["CIS-1.2.9", "FILE"], (root) => replace(root, config, ",EventRateLimit", "")],
    ["there is no pod security", ["CIS-5.2", "FILE"], (root) => replace(root, config, "admission-control", "x")],
    ["nothing is audited", ["CIS-3.2.1", "FILE"], (root) => replace(root, config, "audit-policy-file", "x")],
    ["tokens live on", ["CIS-1.2.30", "FILE"], (root) => replace(root, config, "expiration=false", "expiration=true")],
    ["ended pods stay", ["CIS-1.3.1", "FILE"], (root) => replace(root, config, "threshold=100", "threshold=12500")],
    ["a pod may fork for ever", ["CIS-4.2.13", "FILE"], (root) => replace(root, config, "pod-max-pids", "x")]
  ],
  dropIns: [
    [
      "a drop-in of k3s undoes a setting",
      ["DROPIN"],
      (root) => put(root, `${config}.d/99-more.yaml`, "secrets-encryption: false\n", 0o600)
    ],
    [
      "a drop-in of k3s adds an argument",
      ["DROPIN"],
      (root) => put(root, `${config}.d/99-more.yaml`, 'kube-apiserver-arg+:\n  - "anonymous-auth=true"\n', 0o600)
    ]
  ],
  unit: [
    [
      "a flag of the unit wins over the settings",
      ["DROPIN"],
      (root) =>
        replace(root, "etc/systemd/system/k3s.service", "k3s server", "k3s \\\n  server \\\n  --disable-network-policy")
    ],
    [
      "a restart of k3s ends the containers",
      ["R12"],
      (root) => replace(root, "etc/systemd/system/k3s.service", "KillMode=process", "KillMode=mixed")
    ]
  ],
  encryption: [
    [
      "identity comes before secretbox: Secrets are plain",
      ["CIS-1.2.28"],
      (root) => replace(root, `${server}/cred/encryption-config.json`, '"providers":[', '"providers":[{"identity":{}},')
    ],
    [
      "the cluster was begun without encryption",
      ["CIS-1.2.27"],
      (root) => rmSync(join(root, `${server}/cred/encryption-config.json`))
    ]
  ],
  modes: [
    ["etcd's folder is open", ["CIS-1.1.11"], (root) => chmodSync(join(root, `${server}/db/etcd`), 0o755)],
    ["a kubeconfig is open", ["CIS-1.1.13"], (root) => chmodSync(join(root, "etc/rancher/k3s/k3s.yaml"), 0o644)],
    [
      "a key can be read by others",
      ["CIS-1.1.21"],
      (root) => chmodSync(join(root, `${server}/tls/serving-kube-apiserver.key`), 0o644)
    ],
    [
      "the kubelet's kubeconfig is open",
      ["CIS-4.1.5"],
      (root) => chmodSync(join(root, "var/lib/rancher/k3s/agent/kubelet.kubeconfig"), 0o640)
    ]
  ],
  certificates: [
    [
      "a certificate can be written by others",
      ["CIS-1.1.20"],
      (root) => chmodSync(join(root, `${server}/tls/server-ca.crt`), 0o666)
    ],
    [
      "a certificate ends within 120 days",
      ["R11"],
      (root) => put(root, `${server}/tls/serving-kube-apiserver.crt`, certificate(100))
    ],
    ["a certificate has ended", ["R11"], (root) => put(root, `${server}/tls/etcd/server-client.crt`, certificate(-1))],
    ["an authority ends within a year", ["R11"], (root) => put(root, `${server}/tls/server-ca.crt`, certificate(300))]
  ],
  copies: [
    ["the token is open", ["TOKEN"], (root) => chmodSync(join(root, `${server}/token`), 0o644)],
    ["no copy is on record", ["R14", "R14"], (root) => rmSync(join(root, "etc/gatehouse/off-host-copies"))],
    ["the token is another than the copy", ["R14"], (root) => put(root, `${server}/token`, "K10new\n", 0o600)],
    [
      "nobody has read the copy for long",
      ["R14"],
      (root) => {
        const path = "etc/gatehouse/off-host-copies"
        const text = readFileSync(join(root, path), "utf8")
        put(root, path, text.replace(/^(backup-key \S+) \S+/mu, "$1 2024-01-01"), 0o600)
      }
    ]
  ],
  kernel: [["the kernel is set otherwise", ["KERNEL"], (root) => put(root, "proc/sys/vm/overcommit_memory", "0\n")]],
  starts: [
    [
      "k3s does not start with the host",
      ["R12"],
      (root) => rmSync(join(root, "etc/systemd/system/multi-user.target.wants/k3s.service"))
    ],
    [
      "the check does not run by itself",
      ["R12"],
      (root) => rmSync(join(root, "etc/systemd/system/timers.target.wants/gatehouse-check.timer"))
    ],
    ["k3s is missing", ["R12"], (root) => rmSync(join(root, "usr/local/bin/k3s"))]
  ],
  shutdown: [
    [
      "a later drop-in cuts the shutdown short",
      ["R12"],
      (root) => put(root, "etc/systemd/logind.conf.d/zzz.conf", "[Login]\nInhibitDelayMaxSec=5\n")
    ]
  ],
  sshd: [
    [
      "sshd reads another file first",
      ["SSH"],
      (root) => put(root, "etc/ssh/sshd_config.d/00-cloud.conf", "PasswordAuthentication yes\n")
    ],
    [
      "sshd has a setting before its drop-ins",
      ["SSH"],
      (root) => put(root, "etc/ssh/sshd_config", "PasswordAuthentication yes\nInclude /etc/ssh/sshd_config.d/*.conf\n")
    ]
  ],
  recovery: [
    ["nobody may recover", ["R13"], (root) => put(root, "etc/gatehouse/recovery_keys", "", 0o600)],
    [
      "a recovery key has a shell",
      ["R13"],
      (root) => appendFileSync(join(root, "etc/gatehouse/recovery_keys"), "ssh-ed25519 AAAA mallory\n")
    ],
    [
      "a recovery key may do more than its command",
      ["R13"],
      (root) => replace(root, "etc/gatehouse/recovery_keys", 'anna" ', 'anna",port-forwarding ')
    ]
  ],
  backups: [
    ["the backups are open", ["R2"], (root) => chmodSync(join(root, "opt/k8s-backups"), 0o755)],
    [
      "the newest backup is old",
      ["R2"],
      (root) => {
        const then = new Date(Date.now() - 40 * 86_400_000)
        utimesSync(join(root, `${set}/SHA256SUMS`), then, then)
      }
    ],
    ["there is no backup", ["R2"], (root) => rmSync(join(root, set), { recursive: true })],
    ["the newest backup is damaged", ["R2"], (root) => appendFileSync(join(root, `${set}/prod.yaml`), "#")],
    [
      "current leads to an older backup",
      ["R2"],
      (root) => {
        cpSync(join(root, set), join(root, "opt/k8s-backups/2025-12-31T00:00:00Z"), { recursive: true })
        rmSync(join(root, "opt/k8s-backups/current"))
        symlinkSync("2025-12-31T00:00:00Z", join(root, "opt/k8s-backups/current"))
      }
    ]
  ]
}

/** A host with at most one defect of each area: the nth of all. A check costs some sixty processes. */
const hosts = Array.from({ length: Math.max(...Object.values(defects).map((some) => some.length)) }, (_, at) =>
  Object.values(defects).flatMap((some) => some.slice(at, at + 1))
)

const found = async (some: ReadonlyArray<Defect>) => {
  const root = copyOf(good)
  try {
    for (const [, , spoil] of some) spoil(root.path)
    const { code, stdout } = await check(root.path)
    const ids = stdout
      .trimEnd()
      .split("\n")
      .map((line) => /^([A-Z0-9.-]+): [^:].*: .+$/u.exec(line)?.[1] ?? `no finding: ${line}`)
    return { code, ids: ids.toSorted() }
  } finally {
    root.remove()
  }
}

describe("check", () => {
  test("finds nothing on a host that was just installed and started", async () => {
    expect(await check(good.path)).toEqual({ code: 0, stdout: "", stderr: "nothing found\n" })
  })

  for (const some of hosts) {
    const [first] = some
    test(`finds that ${first?.[0]}, and ${some.length - 1} defects of other areas`, async () => {
      const wanted = some.flatMap(([, ids]) => ids).toSorted()
      expect({ defects: some.map(([title]) => title), ...(await found(some)) }).toEqual({
        defects: some.map(([title]) => title),
        code: 1,
        ids: wanted
      })
    })
  }

  test("shows what differs when asked", async () => {
    const root = copyOf(good)
    replace(root.path, `${server}/psa.yaml`, "enforce: restricted", "enforce: privileged")
    const { stdout } = await check(root.path, "--diff")
    root.remove()
    expect(stdout).toMatch(/^FILE: .*\n(?: {2}.*\n)*? {2}-\s+enforce: privileged\n {2}\+\s+enforce: restricted\n/u)
  })

  test("reads the kernel's values as the kernel gives them: once, from the start", async () => {
    const root = copyOf(good)
    // The machine's own, of more than one digit, behind the path that the check looks at.
    const path = "kernel/pid_max"
    const value = readFileSync(`/proc/sys/${path}`, "utf8").trim()
    expect(value.length).toBeGreaterThan(1)
    const host = join(root.path, "host")
    cpSync(hostFolder, host, { recursive: true })
    appendFileSync(join(host, "90-gatehouse.conf"), `kernel.pid_max = ${value}\nkernel.threads-max = 1\n`)
    rmSync(join(root.path, "proc"), { recursive: true })
    symlinkSync("/proc", join(root.path, "proc"))
    const { stdout } = await run([join(host, "install.sh"), "check", "--root", root.path])
    root.remove()
    expect(stdout).not.toContain("kernel.pid_max")
    expect(stdout).toContain("KERNEL: kernel.threads-max is not 1")
  })

  test("changes nothing", async () => {
    const root = copyOf(good)
    const before = await snapshot(root.path)
    await check(root.path)
    expect(await snapshot(root.path)).toBe(before)
    root.remove()
  })
})

const snapshot = async (root: string) => {
  const { stdout } = Bun.spawnSync(["find", root, "-printf", "%P %y %m %T@ %s %l\n"])
  return stdout.toString().split("\n").toSorted().join("\n")
}

describe("install", () => {
  test("changes nothing when all is in place", async () => {
    const root = copyOf(good)
    const before = await snapshot(root.path)
    expect(await installer(installation(root.path))).toEqual({
      code: 0,
      stdout: "everything was in place\n",
      stderr: ""
    })
    expect(await snapshot(root.path)).toBe(before)
    root.remove()
  })

  test("mends what was changed, and says that k3s has to be started anew", async () => {
    const root = copyOf(good)
    replace(root.path, config, "secretbox", "aescbc")
    const { code, stdout } = await installer(installation(root.path))
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `wrote /${config}\nk3s has to be started anew for this: systemctl restart k3s\n`
    })
    expect(await check(root.path)).toMatchObject({ code: 0 })
    root.remove()
  })

  test("keeps the host's own unit of k3s", async () => {
    const root = debianRoot()
    put(root.path, "etc/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s server\n")
    await installer(installation(root.path))
    expect(readFileSync(join(root.path, "etc/systemd/system/k3s.service"), "utf8")).not.toContain("Description")
    root.remove()
  })

  test("a key that is given again under the same name replaces the one before", async () => {
    const root = copyOf(good)
    const other = readFileSync(join(root.path, "srv/key.pub"), "utf8").replace("BwcH", "CAgI")
    put(root.path, "srv/key.pub", other)
    await installer(installation(root.path))
    const lines = readFileSync(join(root.path, "etc/gatehouse/recovery_keys"), "utf8").trimEnd().split("\n")
    expect(lines).toEqual([
      `restrict,command="/usr/local/sbin/gatehouse-recover anna" ${other.split(" ").slice(0, 2).join(" ")} anna`
    ])
    root.remove()
  })

  const refusals: ReadonlyArray<readonly [string, (root: string) => void, string]> = [
    [
      "security: does not lock everybody out",
      (root) => rmSync(join(root, "home"), { recursive: true }),
      "nobody of the group sudo has a key"
    ],
    [
      "security: takes no setting but names and addresses from the host's file",
      (root) => put(root, "srv/host.yaml", "tls-san: a\nsecrets-encryption: false\n"),
      "only names and addresses, not: secrets-encryption"
    ],
    [
      "security: takes no options from a file of a recovery key",
      (root) => put(root, "srv/key.pub", `command="sh" ${readFileSync(join(root, "srv/key.pub"), "utf8")}`),
      "is no public key"
    ],
    [
      "does not pretend to encrypt a cluster that was begun without",
      (root) => mkdirSync(join(root, `${server}/db`), { recursive: true }),
      "cannot be switched on later"
    ],
    ["names a file that is not there", (root) => rmSync(join(root, "srv/k3s")), "there is no"]
  ]
  for (const [title, spoil, complaint] of refusals) {
    test(title, async () => {
      const root = debianRoot()
      spoil(root.path)
      const { code, stderr } = await installer(installation(root.path))
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(complaint) })
      root.remove()
    })
  }

  test("refuses an option that it does not know, and tells how it is used", async () => {
    expect(await installer(["install", "--force"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("usage:")
    })
    expect(await installer(["check", "--k3s", "x"])).toMatchObject({ code: 2 })
    expect(await installer([])).toMatchObject({ code: 2 })
  })
})

describe("record", () => {
  const record = (what: string, copy: string, where = "the safe") =>
    installer(["record", what, "--where", where, "--root", good.path], copy)

  test("takes only the token itself for its copy", async () => {
    expect(await record("token", "K10other")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("not the token")
    })
    expect(await record("backup-key", "K10abc")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no secret key")
    })
    expect(await record("token", "")).toMatchObject({ code: 2, stderr: expect.stringContaining("empty") })
  })

  test("security: holds nothing of a copy but its sum", () => {
    const text = readFileSync(join(good.path, "etc/gatehouse/off-host-copies"), "utf8")
    expect(text).toMatch(
      /^token [0-9a-f]{64} \d{4}-\d\d-\d\d the safe\nbackup-key [0-9a-f]{64} \d{4}-\d\d-\d\d the safe\n$/u
    )
    expect(statSync(join(good.path, "etc/gatehouse/off-host-copies")).mode & 0o777).toBe(0o600)
  })
})

interface ShutdownGrace {
  readonly shutdownGracePeriodByPodPriority: ReadonlyArray<{
    readonly priority: number
    readonly shutdownGracePeriodSeconds: number
  }>
}

describe("what is shipped", () => {
  const text = (name: string) => readFileSync(join(hostFolder, name), "utf8")

  test("lets a database end before the host does", () => {
    const { shutdownGracePeriodByPodPriority: groups } = parse(text("kubelet.yaml")) as ShutdownGrace
    const seconds = groups.map((group) => group.shutdownGracePeriodSeconds)
    // 120 s is what a database's pod is given; one of dev or nightly is in the first group, one of prod in the second.
    expect(Math.min(...seconds.slice(0, 2))).toBeGreaterThanOrEqual(120)
    const whole = seconds.reduce((sum, one) => sum + one, 0)
    const least = (name: string, key: string) => Number(new RegExp(`^${key}=(\\d+)$`, "mu").exec(text(name))?.[1])
    expect(least("logind.conf", "InhibitDelayMaxSec")).toBeGreaterThanOrEqual(whole)
    expect(least("k3s.service.d-gatehouse.conf", "TimeoutStopSec")).toBeGreaterThanOrEqual(whole)
  })

  const overlays = existsSync(join(hostFolder, "../cluster/priorityclasses.yaml"))
  const withManifests = skipUnless(overlays, "the environments' manifests are not here")
  withManifests.test("knows the databases of prod and how long one may take", () => {
    const { shutdownGracePeriodByPodPriority: groups } = parse(text("kubelet.yaml")) as ShutdownGrace
    const classes = parseAllDocuments(text("../cluster/priorityclasses.yaml")).map(
      (one) => one.toJS() as { readonly metadata: { readonly name: string }; readonly value: number }
    )
    const data = classes.find(({ metadata }) => metadata.name === "platform-data")
    expect(groups[1]?.priority).toBe(data?.value)
    // Nobody else of the environments is that late.
    expect(classes.filter(({ value }) => value >= (data?.value ?? 0))).toEqual([data!])
    const [, seconds] = /terminationGracePeriodSeconds: (\d+)/u.exec(
      text("../components/database-shape/statefulset.yaml")
    )!
    for (const group of groups.slice(0, 2)) {
      expect(group.shutdownGracePeriodSeconds).toBeGreaterThanOrEqual(Number(seconds))
    }
  })
})
