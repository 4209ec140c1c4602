/** A root folder in which gatehouse-recover finds its programs: each writes down how it was called and answers as a host's would; runs nothing of the machine's. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { debianRoot, type Ended, hostFolder, put, run } from "#test/host/hostRoot.ts"

export interface Recoverable {
  readonly path: string
  /** Calls over SSH with that request; undefined asks for a shell. */
  readonly ask: (request: string | undefined, env?: Readonly<Record<string, string>>) => Promise<Ended>
  /** How programs were called since the last look, one line each. */
  readonly calls: () => ReadonlyArray<string>
  /** The lines of the record since the start. */
  readonly record: () => ReadonlyArray<string>
  readonly apiServer: (answers: boolean) => void
  readonly remove: () => void
}

/** Answers as `k3s` does: kubectl while the API server is there, crictl in any case. */
const k3s = (root: string, kubectl?: string) => `#!/bin/sh
echo "k3s $*" >>${root}/calls
case "$1 $2" in
  ${kubectl === undefined ? "" : `kubectl*) shift; exec ${kubectl} "$@" ;;`}
  'crictl pods') echo pod-1 ;;
  'crictl ps') case "$*" in *' -q '*) echo container-1 ;; *) echo 'CONTAINER IMAGE STATE' ;; esac ;;
  'crictl logs') echo 'a line of the log by containerd' ;;
  'crictl stop') echo "$5" ;;
  kubectl*)
    [ ! -e ${root}/api-server-away ] || { echo 'connection refused' >&2; exit 1; }
    case "$*" in
      *' logs '*) echo 'a line of the log' ;;
      *' apply '*) echo 'configmap/x serverside-applied' ;;
    esac ;;
esac
`
const noted = (root: string, name: string, answer: string) => `#!/bin/sh
echo "${name} $*" >>${root}/calls
${answer}
`

/** Makes one. `kubectl` is a command that is run instead of the fake one, `logger` what the fake one does besides. */
export const recoverable = (instead: { readonly kubectl?: string; readonly logger?: string } = {}): Recoverable => {
  const { path, remove } = debianRoot()
  const place = (name: string, text: string) => put(path, `usr/local/bin/${name}`, text, 0o755)
  place("k3s", k3s(path, instead.kubectl))
  place("systemctl", noted(path, "systemctl", "echo active"))
  place("journalctl", noted(path, "journalctl", "echo a line of the journal"))
  place("logger", noted(path, "logger", instead.logger ?? ""))
  mkdirSync(join(path, "opt/k8s-backups"), { recursive: true, mode: 0o700 })
  const away = join(path, "api-server-away")
  const lines = (name: string) =>
    existsSync(join(path, name)) ? readFileSync(join(path, name), "utf8").trimEnd().split("\n") : []
  return {
    path,
    ask: (request, env = {}) =>
      run([join(hostFolder, "gatehouse-recover"), "--root", path, "anna"], {
        env: {
          SSH_CONNECTION: "192.0.2.1 40000 192.0.2.7 22",
          ...(request === undefined ? {} : { SSH_ORIGINAL_COMMAND: request }),
          ...env
        }
      }),
    calls: () => {
      const found = lines("calls").filter((line) => !line.startsWith("logger "))
      rmSync(join(path, "calls"), { force: true })
      return found
    },
    record: () => lines("var/log/gatehouse-recover.log"),
    apiServer: (answers) => (answers ? rmSync(away, { force: true }) : writeFileSync(away, "")),
    remove
  }
}
