/** What is shipped for systemd and sshd is what they understand; says aloud where they are not there to ask. */
import { cpSync, existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "bun:test"
import { debianRoot, hostFolder, type HostRoot, installation, installer, put, run } from "#test/host/hostRoot.ts"
import { skipUnless } from "#test/shared/skip.ts"

const systemUnits = "/usr/lib/systemd/system"
const sshd = "/usr/sbin/sshd"
const units = skipUnless(
  Bun.which("systemd-analyze") !== null && existsSync(systemUnits),
  "there is no systemd-analyze"
)
const ssh = skipUnless(existsSync(sshd), "there is no sshd (Debian's openssh-server)")

units.describe("the units", () => {
  let root: HostRoot
  beforeAll(async () => {
    root = debianRoot()
    await installer(installation(root.path))
    cpSync(systemUnits, join(root.path, systemUnits), { recursive: true, verbatimSymlinks: true })
  })
  afterAll(() => root?.remove())

  const verify = () =>
    run(["systemd-analyze", "verify", "--man=no", `--root=${root.path}`, "k3s.service", "gatehouse-check.timer"])

  units.test("are clean in the eyes of systemd-analyze verify", async () => {
    expect(await verify()).toEqual({ code: 0, stdout: "", stderr: "" })
  })

  units.test("are looked at with their drop-ins", async () => {
    const path = "etc/systemd/system/k3s.service.d/gatehouse.conf"
    const text = readFileSync(join(root.path, path), "utf8")
    put(root.path, path, text.replace("TimeoutStopSec=", "TimeoutStopSec=some"))
    const { stderr } = await verify()
    put(root.path, path, text)
    expect(stderr).toContain("gatehouse.conf")
  })
})

ssh.describe("sshd with the shipped drop-in", () => {
  let root: HostRoot
  // Debian makes it when it starts sshd, which without it says nothing to root.
  const separation = "/run/sshd"
  let made = false
  beforeAll(async () => {
    root = debianRoot()
    made = process.getuid?.() === 0 && !existsSync(separation)
    if (made) mkdirSync(separation, { mode: 0o755 })
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(root.path, "srv/server")])
    const later = "PasswordAuthentication yes\nPermitRootLogin yes\nAllowTcpForwarding yes\n"
    const text = `HostKey ${root.path}/srv/server\nInclude ${hostFolder}/sshd.conf\n${later}`
    put(root.path, "etc/ssh/sshd_config", text)
  })
  afterAll(() => {
    root?.remove()
    if (made) rmdirSync(separation)
  })

  const effective = async (user: string) => {
    const who = `user=${user},host=localhost,addr=127.0.0.1`
    const { code, stderr, stdout } = await run([sshd, "-T", "-f", join(root.path, "etc/ssh/sshd_config"), "-C", who])
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    return stdout.split("\n")
  }

  ssh.test("security: takes keys alone and forwards nothing, whatever stands after it", async () => {
    for (const user of ["root", "bea"]) {
      const lines = await effective(user)
      const wanted = ["passwordauthentication no", "kbdinteractiveauthentication no", "authenticationmethods publickey"]
      expect(lines).toEqual(expect.arrayContaining([...wanted, "disableforwarding yes", "permituserenvironment no"]))
    }
  })

  ssh.test("security: lets root in only to recover, by keys that no home folder holds", async () => {
    const root = await effective("root")
    const wanted = ["permitrootlogin forced-commands-only", "authorizedkeysfile /etc/gatehouse/recovery_keys"]
    expect(root).toEqual(expect.arrayContaining([...wanted, "permittty no"]))
    const bea = await effective("bea")
    expect(bea).toEqual(
      expect.arrayContaining(["authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2", "permittty yes"])
    )
  })
})

const shellcheck = skipUnless(Bun.which("shellcheck") !== null, "there is no shellcheck")
shellcheck.test("the scripts are clean in the eyes of shellcheck", async () => {
  const scripts = ["install.sh", "gatehouse-recover", "gatehouse-keep"].map((name) => join(hostFolder, name))
  expect(await run(["shellcheck", "--external-sources", `--source-path=${hostFolder}`, ...scripts])).toEqual({
    code: 0,
    stdout: "",
    stderr: ""
  })
})

test("every file of the host folder opens with what it is for", () => {
  for (const name of [
    "install.sh",
    "check.sh",
    "gatehouse-recover",
    "gatehouse-keep",
    "config.yaml",
    "psa.yaml",
    "audit.yaml"
  ]) {
    const text = readFileSync(join(hostFolder, name), "utf8").replace(/^#( shellcheck|!).*\n/u, "")
    expect(text).toMatch(/^# \S.{20}/u)
  }
})
