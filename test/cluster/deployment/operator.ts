/** An operator at work: a copy of the tree to edit, and the commands that its documents tell, run word for word against the cluster; must know no component. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import type { Cluster } from "#test/cluster/cluster.ts"
import { blocksOf, documentAt, project } from "#test/shared/documents.ts"
import { type Environment, issuer, shippedSite } from "./manifests.ts"

export interface Operator {
  /** Where the commands are run: the tree's root. */
  readonly folder: string
  readonly write: (path: string, text: string) => void
  /** Replaces text of a file; fails where it is not there. */
  readonly edit: (
    path: string,
    from: string | RegExp,
    to: string | ((...found: ReadonlyArray<string>) => string)
  ) => void
  /** Runs commands written for `prod` in this operator's environment; gives what they print, rejects with their complaint. */
  readonly run: (script: string, variables?: Readonly<Record<string, string>>) => Promise<string>
  /** Text written for `prod`, as it is for this operator's environment. */
  readonly here: (text: string) => string
  /** The environment with the images of the tests' node, as the tree has it now. */
  readonly render: () => Promise<string>
  /** Files below kustomize/ that are not as shipped any more, or were not there. */
  readonly edited: () => ReadonlyArray<string>
  readonly remove: () => void
}

/** The commands of the install that tell the tree where the API server is. */
const siteCommands = (): string => {
  const [install = ""] = blocksOf(documentAt("kustomize/README.md"))
  const step = /^# 1\. [\s\S]*?(?=^# 2\. )/mu.exec(install)?.[0]
  if (step === undefined) throw new Error("kustomize/README.md has no first step of an install")
  return step
}

/** Copies the tree and fills in what is the site's. */
export const makeOperator = async (cluster: Cluster, environment: Environment): Promise<Operator> => {
  const root = mkdtempSync(join(cluster.folder, "operator-"))
  // By the name that the documents give it.
  const folder = join(root, "gatehouse")
  for (const part of ["kustomize", "test/cluster/overlays"]) {
    cpSync(join(project, part), join(folder, part), { recursive: true })
  }
  const programs = join(root, "bin")
  mkdirSync(programs)
  const program = (name: string, command: string) => {
    writeFileSync(join(programs, name), `#!/bin/sh\nexec ${command} "$@"\n`)
    chmodSync(join(programs, name), 0o755)
  }
  program("kubectl", `${cluster.program} kubectl --kubeconfig ${cluster.kubeconfig}`)
  program("gatehouse", `${process.execPath} ${join(project, "services/cli.ts")}`)

  const here = (text: string) => text.replaceAll(/\bprod\b/gu, environment)
  const read = (path: string) => readFileSync(join(folder, path), "utf8")
  const write = (path: string, text: string) => {
    mkdirSync(join(folder, path, ".."), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const edit: Operator["edit"] = (path, from, to) => {
    const text = read(path)
    const edited = text.replace(from, typeof to === "string" ? () => to : to)
    if (edited === text) throw new Error(`${path} has no ${String(from)}`)
    write(path, edited)
  }
  const run: Operator["run"] = async (script, variables = {}) => {
    const child = Bun.spawn(["sh", "-euc", here(script)], {
      cwd: folder,
      env: { ...variables, PATH: `${programs}:${process.env["PATH"]}`, HOME: root },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
    if ((await child.exited) !== 0) throw new Error(`${script.trim().slice(0, 200)}: ${stderr.trim().slice(-1000)}`)
    return stdout
  }
  await run(siteCommands())
  edit(`kustomize/overlays/${environment}/environment/gateway.yaml`, shippedSite.issuer, issuer)
  return {
    folder,
    write,
    edit,
    run,
    here,
    render: () => run(`kubectl kustomize test/cluster/overlays/${environment}`),
    edited: () =>
      readdirSync(join(folder, "kustomize"), { recursive: true, encoding: "utf8" })
        .filter((path) => statSync(join(folder, "kustomize", path)).isFile())
        .filter((path) => {
          const shipped = join(project, "kustomize", path)
          return !existsSync(shipped) || readFileSync(shipped, "utf8") !== read(join("kustomize", path))
        })
        .sort(),
    remove: () => rmSync(root, { recursive: true, force: true })
  }
}
