/** gatehouse-recover does what is on its list, records it, and does nothing else whatever is asked; without sshd, as sshd would call it. */
import { appendFileSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, expect } from "bun:test"
import { hostFolder, put, putSet, run } from "#test/host/hostRoot.ts"
import { type Recoverable, recoverable } from "#test/host/recoverable.ts"
import { skipUnless } from "#test/shared/skip.ts"

const { describe, test } = skipUnless(process.platform === "linux", "the host profile is for Debian")

const sets = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"] as const
const [oldest, middle, newest] = sets
const readiness = "k3s kubectl get --raw /readyz --request-timeout=10s"
let host: Recoverable

const writeSets = () => {
  rmSync(join(host.path, "opt/k8s-backups"), { recursive: true, force: true })
  for (const set of sets) putSet(host.path, set, { "prod.yaml": `kind: ConfigMap # ${set}\n` })
}
const inSet = (set: string, file: string) => join(host.path, "opt/k8s-backups", set, file)
const applied = (set: string) =>
  `k3s kubectl --request-timeout=10s apply --server-side --force-conflicts -R -f ${host.path}/opt/k8s-backups/${set}`

beforeAll(() => {
  host = recoverable()
})
beforeEach(() => {
  host.apiServer(true)
  writeSets()
  host.calls()
})
afterAll(() => host?.remove())

describe("the list", () => {
  test("is told by help", async () => {
    const { code, stdout } = await host.ask("help")
    expect(code).toBe(0)
    for (const verb of ["status", "logs", "restart", "apply-last-good", "restore", "help"]) {
      expect(stdout).toContain(`\n  ${verb}`)
    }
    expect(host.calls()).toEqual([])
  })

  test("status shows k3s, the API server, the pods and the sets", async () => {
    appendFileSync(inSet(newest, "prod.yaml"), "x")
    const { code, stdout } = await host.ask("status")
    expect(code).toBe(0)
    expect(stdout).toContain("k3s: active\n")
    expect(stdout).toContain("API server: answers\n")
    expect(stdout).toContain(`${newest} DAMAGED: the content changed of prod.yaml`)
    expect(stdout).toContain(`${middle} whole\n`)
    expect(host.calls()).toContain("k3s kubectl --request-timeout=10s get pods -n prod-monitoring -o wide")
  })

  test("logs asks the API server for a service's log, and the journal for that of k3s", async () => {
    expect(await host.ask("logs prod/gateway")).toEqual({ code: 0, stdout: "a line of the log\n", stderr: "" })
    expect(await host.ask("logs nightly/monitor")).toMatchObject({ code: 0 })
    expect(await host.ask("logs k3s")).toMatchObject({ code: 0, stdout: "a line of the journal\n" })
    const logs = (namespace: string, workload: string) =>
      `k3s kubectl --request-timeout=10s logs -n ${namespace} ${workload} --all-pods --prefix --tail=200`
    expect(host.calls()).toEqual([
      readiness,
      logs("prod", "deployment/gateway"),
      readiness,
      logs("nightly-monitoring", "deployment/monitor"),
      "journalctl -u k3s -n 200 --no-pager"
    ])
  })

  test("restart rolls a service, a database, or starts k3s anew", async () => {
    for (const target of ["dev/admin", "prod/logging-db", "k3s"]) {
      expect(await host.ask(`restart ${target}`)).toMatchObject({ code: 0 })
    }
    const rolled = (namespace: string, workload: string) =>
      `k3s kubectl --request-timeout=10s rollout restart -n ${namespace} ${workload}`
    expect(host.calls()).toEqual([
      readiness,
      rolled("dev", "deployment/admin"),
      readiness,
      rolled("prod", "statefulset/logging-db"),
      "systemctl restart k3s",
      "systemctl is-active k3s"
    ])
  })

  test("apply-last-good applies the newest set", async () => {
    const { code, stdout } = await host.ask("apply-last-good")
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `applying set ${newest} (revision 0123abcd)\nconfigmap/x serverside-applied\n`
    })
    expect(host.calls()).toEqual([readiness, applied(newest)])
  })

  test("restore applies the set that is named", async () => {
    expect(await host.ask(`restore ${oldest}`)).toMatchObject({ code: 0 })
    expect(host.calls()).toEqual([readiness, applied(oldest)])
  })

  test("serves root on the console too", async () => {
    const program = join(hostFolder, "gatehouse-recover")
    const { code, stdout } = await run([program, "--root", host.path, "--local", "restore", middle])
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining(`applying set ${middle}`) })
  })
})

describe("a damaged set", () => {
  /** [what befell it, how, in which words it is told]. */
  const damages: ReadonlyArray<readonly [string, (set: string) => void, string]> = [
    ["has a changed file", (set) => appendFileSync(inSet(set, "prod.yaml"), "x"), "the content changed of prod.yaml"],
    ["has a truncated file", (set) => writeFileSync(inSet(set, "prod.yaml"), ""), "the content changed of prod.yaml"],
    ["lost a file", (set) => rmSync(inSet(set, "images.txt")), "its files are not those"],
    ["has one file more", (set) => writeFileSync(inSet(set, "more.yaml"), "x"), "its files are not those"],
    ["lost its sums", (set) => rmSync(inSet(set, "SHA256SUMS")), "SHA256SUMS is missing"],
    ["has empty sums", (set) => writeFileSync(inSet(set, "SHA256SUMS"), ""), "SHA256SUMS is missing"],
    [
      "has sums that lead out of it",
      (set) => appendFileSync(inSet(set, "SHA256SUMS"), `${"0".repeat(64)}  ../../etc/passwd\n`),
      "SHA256SUMS has a line"
    ],
    [
      "has a link in it",
      (set) => symlinkSync("/etc/passwd", inSet(set, "link.yaml")),
      "./link.yaml is no ordinary file"
    ]
  ]

  test("is passed over, saying so, however it is damaged", async () => {
    for (const [what, damage, words] of damages) {
      writeSets()
      damage(newest)
      const { code, stdout } = await host.ask("apply-last-good")
      expect({ what, code, stdout }).toEqual({
        what,
        code: 0,
        stdout: expect.stringMatching(
          new RegExp(`^set ${newest} is damaged \\(${words}.*\\): taking the one before\napplying set ${middle} `, "u")
        )
      })
      expect(host.calls()).toEqual([readiness, applied(middle)])
    }
  })

  test("is refused when it is named, and the whole one before it is told", async () => {
    for (const set of [newest, middle]) appendFileSync(inSet(set, "prod.yaml"), "x")
    const { code, stderr } = await host.ask(`restore ${newest}`)
    expect(code).toBe(65)
    expect(stderr).toContain("nothing was applied")
    expect(stderr).toContain(`the one before it that is whole: ${oldest}\n`)
    expect(host.calls()).toEqual([])
  })

  test("leaves nothing to apply where there is no other", async () => {
    for (const set of sets) appendFileSync(inSet(set, "prod.yaml"), "x")
    expect(await host.ask("apply-last-good")).toMatchObject({
      code: 65,
      stderr: expect.stringContaining("no whole backup set")
    })
    expect(host.calls()).toEqual([])
  })

  test("security: that would empty a Secret is not applied", async () => {
    putSet(host.path, newest, { "prod.yaml": "apiVersion: v1\nkind: Secret\nmetadata: { name: gateway-secrets }\n" })
    const { stdout } = await host.ask("apply-last-good")
    expect(stdout).toContain(`set ${newest} is damaged (./prod.yaml holds a Secret, which would be emptied)`)
    expect(host.calls()).toEqual([readiness, applied(middle)])
    putSet(host.path, newest, { "prod.yaml": "kind: ServiceAccount\nsecrets: []\nx:\n  secretRef: { kind: Secret }\n" })
    await host.ask("apply-last-good")
    expect(host.calls()).toEqual([readiness, applied(newest)])
  })

  test("that was never finished is no set", async () => {
    mkdirSync(join(host.path, "opt/k8s-backups/.2026-01-04T00:00:00Z.tmp"))
    mkdirSync(join(host.path, "opt/k8s-backups/prod"))
    expect(await host.ask("restore prod")).toMatchObject({ code: 65 })
    const { stdout } = await host.ask("status")
    expect(stdout.slice(stdout.indexOf("newest first:\n"))).toBe(
      `newest first:\n${[newest, middle, oldest].map((set) => `${set} whole\n`).join("")}`
    )
  })
})

describe("without the API server", () => {
  beforeEach(() => host.apiServer(false))

  test("status says so and shows what containerd knows", async () => {
    const { code, stdout } = await host.ask("status")
    expect(code).toBe(0)
    expect(stdout).toContain("API server: does not answer within 10 s; what containerd knows:\nCONTAINER IMAGE STATE\n")
    expect(stdout).toContain(`${newest} whole\n`)
  })

  test("logs come from containerd", async () => {
    const { code, stdout } = await host.ask("logs prod/gateway")
    expect(code).toBe(0)
    expect(stdout).toContain("a line of the log by containerd\n")
    expect(host.calls()).toEqual([
      readiness,
      "k3s crictl pods -q --namespace ^prod$ --name ^gateway-[a-z0-9]+-[a-z0-9]{5}$",
      "k3s crictl ps -a -q --pod pod-1",
      "k3s crictl logs --tail 200 container-1"
    ])
  })

  test("and without containerd too, logs are those that lie on the disk, of that service alone", async () => {
    const bare = recoverable()
    put(bare.path, "usr/local/bin/k3s", "#!/bin/sh\nexit 1\n", 0o755)
    const log = (pod: string, text: string) =>
      put(bare.path, `var/log/pods/prod_${pod}_0a1b-2c/main/0.log`, `${text}\n`)
    log("gateway-7d9f-abcde", "of the gateway")
    log("gateway-db-0", "of its database")
    const { code, stdout } = await bare.ask("logs prod/gateway")
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout:
        "neither from the API server nor from containerd: /var/log/pods/prod_gateway-7d9f-abcde_0a1b-2c/main/0.log\nof the gateway\n"
    })
    expect(await bare.ask("logs prod/gateway-db")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("of its database")
    })
    expect(await bare.ask("logs dev/gateway")).toMatchObject({ code: 69 })
    expect(await bare.ask("restart prod/gateway")).toMatchObject({
      code: 69,
      stderr: expect.stringContaining("restart k3s")
    })
    bare.remove()
  })

  test("restart ends the containers, which the kubelet starts again", async () => {
    expect(await host.ask("restart prod/gateway-db")).toMatchObject({ code: 0 })
    expect(host.calls()).toEqual([
      readiness,
      "k3s crictl pods -q --namespace ^prod$ --name ^gateway-db-[0-9]+$",
      "k3s crictl ps -q --pod pod-1",
      "k3s crictl stop --timeout 120 container-1"
    ])
    expect(await host.ask("restart k3s")).toMatchObject({ code: 0 })
  })

  test("nothing is applied, which is said, with what to do", async () => {
    const { code, stderr } = await host.ask("apply-last-good")
    expect(code).toBe(69)
    expect(stderr).toContain(`set ${newest} is whole, but the API server does not answer`)
    expect(stderr).toContain("nothing was applied; try: restart k3s")
    expect(host.calls()).toEqual([readiness])
  })
})

describe("security", () => {
  const marked = () => existsSync(join(host.path, "injected"))

  test("security: whatever else is asked runs nothing", async () => {
    const touch = `touch ${host.path}/injected`
    const requests = [
      "sh",
      "bash -i",
      "/bin/sh -c id",
      "scp -t /tmp",
      "internal-sftp",
      "/usr/lib/openssh/sftp-server",
      `status; ${touch}`,
      `status && ${touch}`,
      `status | ${touch}`,
      `status\n${touch}`,
      `status & ${touch}`,
      `logs $(${touch})`,
      `logs \`${touch}\``,
      `logs prod/gateway;${touch}`,
      `logs prod/$(${touch})`,
      `restore ../../etc`,
      "restore current",
      `restore ${newest}/..`,
      `restore ${newest} ${middle}`,

      "logs prod/gateway/../admin",
      "logs prod/",
      "logs /gateway",
      "logs gateway",
      "logs stage/gateway",
      "logs prod/*",
      "restart prod/gateway-db-0",
      "restart kube-system/coredns",
      "restart sshd",
      "restart",
      "restart k3s now",
      "status ",
      " status",
      "status  ",
      "STATUS",
      "statu?",
      "status -v",
      "--local status",
      "-h",
      "--help",
      "sets",
      "ｓtatus",
      `status ${"x".repeat(200)}`,
      "restore -f",
      "logs --all"
    ]
    for (const request of requests) {
      const { code, stdout } = await host.ask(request)
      expect({ request, code: [64, 65].includes(code), stdout }).toEqual({ request, code: true, stdout: "" })
    }
    expect(host.calls()).toEqual([])
    expect(marked()).toBe(false)
  })

  test("security: who asks for a shell is told the list", async () => {
    const { code, stderr, stdout } = await host.ask(undefined)
    expect({ code, stderr }).toEqual({ code: 64, stderr: "gatehouse-recover: there is no shell here\n" })
    expect(stdout).toContain("apply-last-good")
    expect(host.calls()).toEqual([])
  })

  test("security: no variable that a client may send changes what runs", async () => {
    put(host.path, "evil/k3s", `#!/bin/sh\ntouch ${host.path}/injected\n`, 0o755)
    put(host.path, "evil/env", `touch ${host.path}/injected\n`)
    const evil = join(host.path, "evil")
    const env = { PATH: `${evil}:/usr/bin:/bin`, ENV: `${evil}/env`, BASH_ENV: `${evil}/env`, IFS: "/", LC_ALL: "x" }
    expect(await host.ask("logs prod/gateway", env)).toMatchObject({ code: 0, stdout: "a line of the log\n" })
    expect(marked()).toBe(false)
  })

  test("security: each call is recorded with who, from where, what and how it ended, in one line each", async () => {
    const before = host.record().length
    await host.ask("logs k3s")
    await host.ask('rm -rf /\n2026-01-01T00:00:00Z caller=root from=local request="status" ended with 0')
    const lines = host
      .record()
      .slice(before)
      .map((line) => line.replace(/^\S+ /u, ""))
    const refused =
      'caller=anna from=192.0.2.1 request="rm -rf /?2026-01-01T00:00:00Z caller=root from=local request=?status? ended with 0"'
    expect(lines).toEqual([
      'caller=anna from=192.0.2.1 request="logs k3s" called',
      'caller=anna from=192.0.2.1 request="logs k3s" ended with 0',
      `${refused} called`,
      `${refused} refused: that is no request of the list, see help`
    ])
  })

  test("security: nothing is done that cannot be recorded, and the journal is enough", async () => {
    const deaf = recoverable({ logger: "exit 1" })
    putSet(deaf.path, newest, { "prod.yaml": "kind: ConfigMap\n" })
    const log = join(deaf.path, "var/log/gatehouse-recover.log")
    // A folder of that name: root could write to a file that only its mode protects.
    mkdirSync(log)
    expect(await deaf.ask("apply-last-good")).toMatchObject({
      code: 74,
      stderr: expect.stringContaining("nothing is done")
    })
    expect(deaf.calls()).toEqual([])
    deaf.remove()
    const journal = recoverable()
    mkdirSync(join(journal.path, "var/log/gatehouse-recover.log"))
    expect(await journal.ask("help")).toMatchObject({ code: 0 })
    journal.remove()
  })

  test("security: two recoveries do not run at once", async () => {
    const slow = recoverable()
    putSet(slow.path, newest, { "prod.yaml": "kind: ConfigMap\n" })
    // The first apply waits until the second call has ended.
    const fifo = join(slow.path, "go")
    Bun.spawnSync(["mkfifo", fifo])
    put(
      slow.path,
      "usr/local/bin/k3s",
      `#!/bin/sh\ncase "$*" in *apply*) echo in >${fifo}.in; cat ${fifo} ;; esac\n`,
      0o755
    )
    Bun.spawnSync(["mkfifo", `${fifo}.in`])
    const first = slow.ask("apply-last-good")
    await Bun.file(`${fifo}.in`).text()
    const second = await slow.ask("apply-last-good")
    writeFileSync(fifo, "done\n")
    expect(second).toMatchObject({ code: 75, stderr: expect.stringContaining("another recovery is running") })
    expect(await first).toMatchObject({ code: 0 })
    slow.remove()
  })
})
