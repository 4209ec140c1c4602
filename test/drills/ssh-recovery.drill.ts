/** `bun run drill ssh-recovery`: a recovery key over a real sshd may do what is on the list and nothing else, with the API server there and away; the last line is one JSON object, exit 0 only if the promise held. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import type { Cluster } from "#test/cluster/cluster.ts"
import { freePort } from "#test/shared/freePort.ts"
import { eventually } from "#test/shared/until.ts"
import { startCluster } from "#test/cluster/launch.ts"
import { highestTier } from "#test/cluster/tier.ts"
import { type Ended, hostFolder, installer, put, putSet, run } from "#test/host/hostRoot.ts"
import { type Recoverable, recoverable } from "#test/host/recoverable.ts"

const sshd = "/usr/sbin/sshd"

/** Why it cannot be played here, if so. */
const obstacle = (): string | undefined => {
  if (process.platform !== "linux") return "the host profile is for Debian"
  if (process.getuid?.() !== 0) return "sshd lets root in only as root"
  if (!existsSync(sshd)) return "there is no sshd (Debian's openssh-server)"
  return Bun.which("ssh") === null ? "there is no ssh (Debian's openssh-client)" : undefined
}

interface Door {
  /** What ssh, scp or sftp ends with; the key is the recovery key unless told otherwise. */
  readonly through: (program: "ssh" | "scp" | "sftp", args: ReadonlyArray<string>, key?: string) => Promise<Ended>
  readonly ask: (...request: ReadonlyArray<string>) => Promise<Ended>
  /** An ssh that goes on until it is killed. */
  readonly stay: (args: ReadonlyArray<string>) => Bun.Subprocess
  readonly log: () => string
  readonly close: () => Promise<void>
}

/** sshd with the shipped drop-in and a key as the installer adds it; only paths are others. */
const openDoor = async (host: Recoverable, port: number): Promise<Door> => {
  // Not below /tmp: sshd takes keys only from folders that nobody else can write to.
  const folder = mkdtempSync("/run/gatehouse-drill-")
  const path = (name: string) => join(folder, name)
  const makeKey = (name: string) => run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path(name)])
  for (const name of ["server", "anna", "free"]) await makeKey(name)
  const installed = await installer(["install", "--root", host.path, "--recovery-key", `anna=${path("anna.pub")}`])
  if (installed.code !== 0) throw new Error(installed.stderr)
  const program = "/usr/local/sbin/gatehouse-recover"
  const keys = readFileSync(join(host.path, "etc/gatehouse/recovery_keys"), "utf8")
  const here = keys.replace(program, `${host.path}${program} --root ${host.path}`)
  if (here === keys) throw new Error("the installer added no recovery key")
  // Beside it one without a command, as a careless person adds it.
  put(folder, "recovery_keys", here + readFileSync(path("free.pub"), "utf8"), 0o600)
  const shipped = readFileSync(join(hostFolder, "sshd.conf"), "utf8")
  const configuration = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${path("server")}`,
    `PidFile ${path("pid")}`,
    shipped.replace("/etc/gatehouse/recovery_keys", path("recovery_keys")),
    // Debian's own, after the drop-ins.
    "Subsystem sftp internal-sftp",
    "AcceptEnv LANG LC_*",
    "PasswordAuthentication yes",
    "AllowTcpForwarding yes"
  ]
  put(folder, "sshd_config", `${configuration.join("\n")}\n`)
  const separation = "/run/sshd"
  const made = !existsSync(separation)
  if (made) await run(["mkdir", "-m", "755", separation])
  const log = path("log")
  writeFileSync(log, "")
  const server = Bun.spawn([sshd, "-D", "-e", "-f", path("sshd_config")], {
    stdio: ["ignore", "ignore", Bun.file(log)]
  })
  const options = (key: string) => [
    "-i",
    path(key),
    "-o",
    "IdentitiesOnly=yes",
    "-o",
    "IdentityAgent=none",
    "-o",
    "BatchMode=yes",
    "-F",
    "none",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "ConnectTimeout=10"
  ]
  const through: Door["through"] = (program, args, key = "anna") =>
    run(["timeout", "60", program, ...options(key), program === "ssh" ? "-p" : "-P", String(port), ...args])
  await eventually("sshd listens", async () => /listening on/u.test(readFileSync(log, "utf8")))
  return {
    through,
    stay: (args) =>
      Bun.spawn(["ssh", ...options("anna"), "-p", String(port), ...args], { stdio: ["ignore", "ignore", "ignore"] }),
    ask: (...request) => through("ssh", ["root@127.0.0.1", ...request]),
    log: () => readFileSync(log, "utf8"),
    close: async () => {
      server.kill()
      await server.exited
      rmSync(folder, { recursive: true, force: true })
      if (made) rmSync(separation, { recursive: true, force: true })
    }
  }
}

/** Whether something that was sent to a local port comes back; ssh refuses the channel, so nothing does. */
const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("hello\n"))
    socket.on("data", () => (resolve(true), socket.destroy()))
    socket.on("close", () => resolve(false)).on("error", () => resolve(false))
  })

const set = "2026-01-02T00:00:00Z"
const before = "2026-01-01T00:00:00Z"
const manifest = (word: string) =>
  [
    "apiVersion: v1",
    "kind: ConfigMap",
    "metadata: { name: drill, namespace: default }",
    `data: { word: ${word} }`
  ].join("\n")

/** What was promised and did not hold, in words. */
const broken: Array<string> = []
const holds = (what: string, condition: boolean, seen?: Ended) => {
  console.log(`${condition ? "holds" : "BROKEN"}: ${what}`)
  if (condition) return
  broken.push(what)
  if (seen !== undefined) console.log(`  ended with ${seen.code}\n  ${seen.stdout}\n  ${seen.stderr}`)
}

const verbsWork = async (door: Door, host: Recoverable, cluster: Cluster | undefined) => {
  const works = async (request: string, told: string) => {
    const seen = await door.ask(request)
    holds(`${request} works`, seen.code === 0 && seen.stdout.includes(told), seen)
  }
  const word = async () => cluster?.kubectl(["get", "configmap", "drill", "-o", "jsonpath={.data.word}"])
  await works("help", "apply-last-good")
  await works("status", "API server: answers")
  await works("logs prod/gateway", "a line of the log")
  await works("logs k3s", "a line of the journal")
  await works("restart k3s", "active")
  await works("apply-last-good", `applying set ${set}`)
  if (cluster !== undefined) holds("the API server has what was applied", (await word()) === "second")
  await works(`restore ${before}`, `applying set ${before}`)
  if (cluster !== undefined) holds("the API server has what was restored", (await word()) === "first")
  put(host.path, `opt/k8s-backups/${set}/prod.yaml`, "kind: Broken\n", 0o600)
  await works("apply-last-good", "taking the one before")
  putSet(host.path, set, { "prod.yaml": manifest("second") })
  if (cluster === undefined) return
  await cluster.kubectl(["create", "namespace", "prod"])
  await cluster.kubectl(["create", "deployment", "gateway", "-n", "prod", "--image=docker.io/gatehouse/workload:1"])
  await works("restart prod/gateway", "restarted")
}

const nothingElseWorks = async (door: Door, host: Recoverable, port: number) => {
  const mark = join(host.path, "injected")
  const fails = async (what: string, seen: Promise<Ended>) => {
    const ended = await seen
    holds(`${what} does not work`, ended.code !== 0 && !existsSync(mark), ended)
  }
  await fails("a free shell", door.ask())
  await fails("a shell on a terminal", door.through("ssh", ["-tt", "root@127.0.0.1"]))
  await fails("a command", door.ask("touch", mark))
  for (const joint of [";", "&&", "|", "&", "\n"]) {
    await fails(`status ${JSON.stringify(joint)} and a command`, door.ask(`status ${joint} touch ${mark}`))
  }
  await fails("a command in a service's name", door.ask(`logs prod/$(touch ${mark})`))
  await fails("a copy in by scp", door.through("scp", ["-O", join(hostFolder, "README.md"), `root@127.0.0.1:${mark}`]))
  await fails("a copy in by sftp", door.through("scp", [join(hostFolder, "README.md"), `root@127.0.0.1:${mark}`]))
  await fails("sftp", door.through("sftp", ["-b", "/dev/null", "root@127.0.0.1"]))
  await fails("a key without a command", door.through("ssh", ["root@127.0.0.1", "true"], "free"))
  await fails(
    "a password",
    door.through("ssh", ["-o", "PubkeyAuthentication=no", "-o", "BatchMode=no", "root@127.0.0.1", "true"])
  )
  await fails(
    "a forwarded port of the host's",
    door.through("ssh", ["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1", "root@127.0.0.1"])
  )
  // A local forwarding is refused only when it is used; here it would lead to sshd, which greets.
  const local = await freePort()
  const forwarding = door.stay(["-N", "-L", `${local}:127.0.0.1:${port}`, "root@127.0.0.1"])
  const listens = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(local, "127.0.0.1", () => (socket.destroy(), resolve(true)))
      socket.on("error", () => resolve(false))
    })
  await eventually("ssh listens", listens)
  holds("a forwarded port does not work", !(await answers(local!)))
  forwarding.kill()
  await forwarding.exited
}

const worksWithoutTheApiServer = async (door: Door, host: Recoverable, cluster: Cluster | undefined) => {
  if (cluster === undefined) host.apiServer(false)
  else await cluster.stopApiServer()
  try {
    const status = await door.ask("status")
    holds(
      "without the API server status says so and shows containers",
      status.code === 0 && status.stdout.includes("does not answer") && status.stdout.includes("CONTAINER IMAGE"),
      status
    )
    const logs = await door.ask("logs prod/gateway")
    holds("without it logs come from containerd", logs.stdout.includes("a line of the log by containerd"), logs)
    const restart = await door.ask("restart prod/gateway")
    holds(
      "without it a restart ends the container",
      restart.code === 0 && restart.stdout.includes("container-1"),
      restart
    )
    const apply = await door.ask("apply-last-good")
    const said = apply.stderr.includes(`set ${set} is whole`) && apply.stderr.includes("nothing was applied")
    holds("without it apply-last-good says that nothing was applied", apply.code === 69 && said, apply)
  } finally {
    if (cluster === undefined) host.apiServer(true)
    else await cluster.startApiServer()
  }
  const again = await door.ask("apply-last-good")
  holds("with it again apply-last-good applies", again.code === 0, again)
}

const main = async () => {
  const why = obstacle()
  if (why !== undefined) {
    console.log(`skipped: ${why}`)
    console.log(JSON.stringify({ skipped: why }))
    return true
  }
  const { reason, tier } = highestTier()
  const cluster = tier === undefined ? undefined : await startCluster({ tier: "controlplane" })
  if (cluster === undefined) console.log(`a stand-in answers for the API server: ${reason}`)
  const kubectl = cluster && `${cluster.program} kubectl --kubeconfig ${cluster.kubeconfig}`
  const host = recoverable(kubectl === undefined ? {} : { kubectl })
  chmodSync(host.path, 0o755)
  putSet(host.path, before, { "prod.yaml": manifest("first") })
  putSet(host.path, set, { "prod.yaml": manifest("second") })
  const port = await freePort()
  let door: Door | undefined
  try {
    door = await openDoor(host, port)
    await verbsWork(door, host, cluster)
    await nothingElseWorks(door, host, port)
    await worksWithoutTheApiServer(door, host, cluster)
    const record = host.record()
    const asked = record.filter((line) => line.endsWith(" called"))
    const ended = record.filter((line) => / (?:refused: |ended with )/u.test(line))
    holds("each call is recorded, with its caller and its end", asked.length > 20 && ended.length >= asked.length)
    holds(
      "all of them as anna's",
      record.every((line) => line.includes(" caller=anna from=127.0.0.1 "))
    )
    holds("sshd tells which key came in", /Accepted publickey for root .* ED25519 SHA256:/u.test(door.log()))
    const apiServer = cluster === undefined ? "stand-in" : "real"
    console.log(JSON.stringify({ apiServer, recorded: asked.length, broken }))
    return broken.length === 0
  } finally {
    await door?.close()
    host.remove()
    await cluster?.stop()
  }
}

process.exit((await main().catch((error: unknown) => (console.error(error), false))) ? 0 : 1)
