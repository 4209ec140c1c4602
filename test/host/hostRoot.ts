/** A root folder as a host has it after an installation and a first start of k3s, and sets of backups in it; must hold no finding of the check. */
import { createHash } from "node:crypto"
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { makeAuthority } from "#test/shared/certificates.ts"

/** Where the host's files lie in the project. */
export const hostFolder = resolve(import.meta.dir, "../../kustomize/host")

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program of the host folder; `stdin` is what it reads. */
export const run = async (
  argv: ReadonlyArray<string>,
  options: { readonly env?: Readonly<Record<string, string>>; readonly stdin?: string } = {}
): Promise<Ended> => {
  const child = Bun.spawn([...argv], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...options.env },
    stdio: [Buffer.from(options.stdin ?? ""), "pipe", "pipe"]
  })
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, stdout, stderr }
}

export const installer = (args: ReadonlyArray<string>, stdin?: string): Promise<Ended> =>
  run([join(hostFolder, "install.sh"), ...args], stdin === undefined ? {} : { stdin })

/** Writes a file below `root`, with the folders above it. */
export const put = (root: string, path: string, text: string, mode = 0o644): void => {
  const full = join(root, path)
  mkdirSync(dirname(full), { recursive: true })
  writeFileSync(full, text)
  chmodSync(full, mode)
}

/** A public key that nobody has the other half of. */
export const publicKey = `ssh-ed25519 ${Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from("ssh-ed25519"),
  Buffer.from([0, 0, 0, 32]),
  Buffer.alloc(32, 7)
]).toString("base64")} somebody@example`

const day = 86_400_000
const authority = makeAuthority("test")

/** A certificate that ends in so many days. */
export const certificate = (days: number): string =>
  authority.issue({ name: "test", notAfter: new Date(Date.now() + days * day) }).cert

/** Writes a whole backup set, and makes it the current one. */
export const putSet = (root: string, name: string, manifests: Readonly<Record<string, string>>): void => {
  const files = { ...manifests, revision: "0123abcd\n", "images.txt": "gatehouse.local/gatehouse:1\n" }
  for (const [file, text] of Object.entries(files)) put(root, `opt/k8s-backups/${name}/${file}`, text, 0o600)
  const sums = Object.entries(files).map(
    ([file, text]) => `${createHash("sha256").update(text).digest("hex")}  ${file}\n`
  )
  put(root, `opt/k8s-backups/${name}/SHA256SUMS`, sums.join(""), 0o600)
  chmodSync(join(root, "opt/k8s-backups"), 0o700)
  rmSync(join(root, "opt/k8s-backups/current"), { force: true })
  symlinkSync(name, join(root, "opt/k8s-backups/current"))
}

/** A Debian before anything was installed: sshd, and a person who may become root. */
const putDebian = (root: string) => {
  put(root, "etc/ssh/sshd_config", "# Debian's\n\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n")
  put(root, "etc/group", "root:x:0:\nsudo:x:27:bea\n")
  put(root, "etc/passwd", "root:x:0:0::/root:/bin/bash\nbea:x:1000:1000::/home/bea:/bin/bash\n")
  put(root, "home/bea/.ssh/authorized_keys", `${publicKey}\n`, 0o600)
  put(
    root,
    "usr/lib/systemd/logind.conf.d/unattended-upgrades-logind-maxdelay.conf",
    "[Login]\nInhibitDelayMaxSec=30\n"
  )
  for (const folder of ["run", "var/log"]) mkdirSync(join(root, folder), { recursive: true })
}

const kernel: Readonly<Record<string, string>> = {
  "vm/panic_on_oom": "0",
  "vm/overcommit_memory": "1",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "net/ipv4/tcp_syncookies": "1"
}

/** What k3s writes at its first start. */
const putStarted = (root: string) => {
  const server = "var/lib/rancher/k3s/server"
  const encryption = {
    kind: "EncryptionConfiguration",
    apiVersion: "apiserver.config.k8s.io/v1",
    resources: [
      {
        resources: ["secrets"],
        providers: [{ secretbox: { keys: [{ name: "secretboxkey", secret: "AAAA" }] } }, { identity: {} }]
      }
    ]
  }
  put(root, `${server}/cred/encryption-config.json`, JSON.stringify(encryption), 0o600)
  for (const name of ["admin", "scheduler", "controller"]) put(root, `${server}/cred/${name}.kubeconfig`, "x", 0o600)
  put(root, "etc/rancher/k3s/k3s.yaml", "x", 0o600)
  put(root, `${server}/token`, "K10abc::server:def\n", 0o600)
  put(root, `${server}/db/etcd/config`, "x", 0o600)
  chmodSync(join(root, `${server}/db/etcd`), 0o700)
  put(root, `${server}/tls/server-ca.crt`, certificate(3650))
  put(root, `${server}/tls/serving-kube-apiserver.crt`, certificate(364))
  put(root, `${server}/tls/serving-kube-apiserver.key`, "x", 0o600)
  put(root, `${server}/tls/etcd/server-client.crt`, certificate(364))
  put(root, "var/lib/rancher/k3s/agent/kubelet.kubeconfig", "x", 0o600)
  put(root, "var/lib/rancher/k3s/agent/kubeproxy.kubeconfig", "x", 0o600)
  for (const [path, value] of Object.entries(kernel)) put(root, `proc/sys/${path}`, `${value}\n`)
}

export interface HostRoot {
  readonly path: string
  readonly remove: () => void
}

const fresh = (): HostRoot => {
  const path = mkdtempSync(join(tmpdir(), "gatehouse-host-"))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** A Debian on which nothing is installed yet, with `k3s` and `key.pub` to install from in /srv. */
export const debianRoot = (): HostRoot => {
  const root = fresh()
  putDebian(root.path)
  put(root.path, "srv/k3s", "#!/bin/sh\n", 0o755)
  put(root.path, "srv/key.pub", `${publicKey}\n`)
  put(root.path, "srv/host.yaml", "tls-san:\n  - k3s.example.org\nnode-ip: 192.0.2.7\n")
  return root
}

/** The arguments of an installation on a root as debianRoot makes it. */
export const installation = (root: string): ReadonlyArray<string> => [
  "install",
  "--root",
  root,
  "--k3s",
  join(root, "srv/k3s"),
  "--host-file",
  join(root, "srv/host.yaml"),
  "--recovery-key",
  `anna=${join(root, "srv/key.pub")}`
]

/** A host on which the check finds nothing. */
export const goodRoot = async (): Promise<HostRoot> => {
  const root = debianRoot()
  const installed = await installer(installation(root.path))
  if (installed.code !== 0) throw new Error(installed.stderr)
  putStarted(root.path)
  putSet(root.path, "2026-01-01T00:00:00Z", { "prod.yaml": "kind: ConfigMap\n" })
  for (const [what, copy] of [
    ["token", "K10abc::server:def"],
    ["backup-key", "AGE-SECRET-KEY-1X"]
  ] as const) {
    const recorded = await installer(["record", what, "--where", "the safe", "--root", root.path], copy)
    if (recorded.code !== 0) throw new Error(recorded.stderr)
  }
  return root
}

/** The same files once more, to spoil one of them. */
export const copyOf = (root: HostRoot): HostRoot => {
  const copy = fresh()
  for (const name of readdirSync(root.path)) {
    cpSync(join(root.path, name), join(copy.path, name), { recursive: true, verbatimSymlinks: true })
  }
  return copy
}
