/** A running test cluster as a suite sees it, from whichever process; must start none by itself but where a suite runs alone. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type AuditEvent, readAudit } from "#test/cluster/audit.ts"
import { importCommand } from "#test/cluster/containerd.ts"
import { administrator, apiServerReady, auditPath, logPath, type Request } from "#test/cluster/controlPlane.ts"
import { writeKubeconfig } from "#test/cluster/kubeconfig.ts"
import { rebootNode } from "#test/cluster/nodeReboot.ts"
import { authorityOf, certificateOf, kubeconfigPath, pkiFolder } from "#test/cluster/pki.ts"
import { type Output, type Supervisor, supervisorOf } from "#test/cluster/supervisor.ts"
import type { Tier } from "#test/cluster/tier.ts"

/** Names the folder of the run's cluster; set by test/cluster/run.ts. */
export const clusterFolder = "GATEHOUSE_TEST_CLUSTER"

/** Names the folder for what the lanes of a run have in common; set by test/cluster/laneRun.ts. */
export const runFolder = "GATEHOUSE_TEST_RUN"

/** What another process needs to use a cluster; lies in its folder as cluster.json. */
export interface Coordinates {
  readonly tier: Tier
  /** Why the tier is no higher; empty for the highest. */
  readonly reason: string
  /** The program of all components and of kubectl. */
  readonly program: string
  /** Such as https://127.0.0.1:34567. */
  readonly server: string
  /** An address of this machine that pods can reach; undefined on the control-plane tier. */
  readonly hostAddress?: string
  /** The node's address; undefined on the control-plane tier. */
  readonly nodeAddress?: string
}

export interface Access {
  readonly kubeconfig: string
}

export interface Cluster extends Coordinates {
  readonly folder: string
  /** Path of the administrator's kubeconfig (group system:masters). */
  readonly kubeconfig: string
  /** PEM texts: the authority of the API server's certificate, and the administrator's own pair. */
  readonly ca: string
  readonly certificate: string
  readonly key: string
  /** One request as administrator, by path. */
  readonly request: Request
  /** The object or list at a path. For who looks again and again: a kubectl for each look would be most of the load. */
  readonly read: <A>(path: string) => Promise<A>
  /** Runs kubectl as administrator, or with another `kubeconfig`; gives its output, rejects with its complaint. */
  readonly kubectl: (args: ReadonlyArray<string>, options?: KubectlOptions) => Promise<string>
  /** The same without rejecting. */
  readonly tryKubectl: (args: ReadonlyArray<string>, options?: KubectlOptions) => Promise<Output>
  /**
   * Makes a namespace that takes pods of any kind, for suites that ask about something else: without a label the host's
   * psa.yaml holds a namespace to the restricted standard.
   */
  readonly openNamespace: (name: string) => Promise<void>
  /** What the API server was asked so far that its policy records (kustomize/host/audit.yaml), oldest first. */
  readonly auditLog: () => ReadonlyArray<AuditEvent>
  /** A kubeconfig with a client certificate of that user name and groups; who may do nothing until RBAC says so. */
  readonly user: (name: string, groups?: ReadonlyArray<string>) => Promise<Access>
  /** A kubeconfig with a fresh token of a ServiceAccount; for the API server, or for the audiences given. */
  readonly serviceAccount: (
    namespace: string,
    name: string,
    options?: { readonly audiences?: ReadonlyArray<string>; readonly expirationSeconds?: number }
  ) => Promise<Access & { readonly token: string }>
  /** The log of a component, such as kube-apiserver or kubelet. */
  readonly log: (component: string) => string
  /** Connections stand and nothing answers, until resumed. */
  readonly pauseApiServer: () => Promise<void>
  readonly resumeApiServer: () => Promise<void>
  /** Connections are refused until it is started again. */
  readonly stopApiServer: () => Promise<void>
  /** Returns when it is ready. */
  readonly startApiServer: () => Promise<void>
  /** Node tier only: the node goes NotReady some 20 s later; its containers run on. */
  readonly stopKubelet: () => Promise<void>
  readonly startKubelet: () => Promise<void>
  /** Node tier only: cuts the node's power and starts it again; the control plane runs on. */
  readonly rebootNode: () => Promise<void>
  /** Node tier only: takes a tar (docker-archive or OCI layout) into the node's images. */
  readonly importImage: (tar: string) => Promise<void>
  /** Node tier only: an address of this machine's that leads to an address inside, such as a Service's `10.43.0.9:80`. */
  readonly reach: (address: string) => Promise<string>
  /** Node tier only: runs a command in the node's process, mount and network namespaces. */
  readonly runOnNode: (argv: ReadonlyArray<string>, stdin?: string) => Promise<Output>
}

export interface KubectlOptions {
  readonly stdin?: string
  readonly kubeconfig?: string
}

/** It ends before its garbage matters. */
const uncollected = { GOGC: "off", GOMEMLIMIT: "256MiB" }

const kubectlOf =
  (program: string, kubeconfig: string) => async (args: ReadonlyArray<string>, options?: KubectlOptions) => {
    const child = Bun.spawn([program, "kubectl", "--kubeconfig", options?.kubeconfig ?? kubeconfig, ...args], {
      env: { ...process.env, ...uncollected },
      stdio: [options?.stdin === undefined ? "ignore" : Buffer.from(options.stdin), "pipe", "pipe"]
    })
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
    return { code: await child.exited, stdout, stderr }
  }

/** Whether text parses as the coordinates that launch.ts wrote. */
const readCoordinates = (folder: string): Coordinates =>
  JSON.parse(readFileSync(join(folder, "cluster.json"), "utf8")) as Coordinates

/** The cluster of `folder`, which another process, or this one, has started. */
export const attachCluster = (folder: string): Cluster => {
  const coordinates = readCoordinates(folder)
  const { nodeAddress, program, server, tier } = coordinates
  const supervisor: Supervisor = supervisorOf(folder)
  const kubeconfig = kubeconfigPath(folder, "admin")
  const ca = authorityOf(folder)
  const request = administrator(folder, server)
  const tryKubectl = kubectlOf(program, kubeconfig)
  let accesses = 0
  const freshPath = () => join(folder, `access-${process.pid}-${accesses++}.kubeconfig`)

  const onNode = (what: string): string => {
    if (nodeAddress === undefined) throw new Error(`${what} needs the node tier, and this is the ${tier} tier`)
    return nodeAddress
  }
  return {
    ...coordinates,
    ...certificateOf(folder, "admin"),
    folder,
    kubeconfig,
    ca,
    request,
    read: async <A>(path: string) => {
      const answer = await request(path)
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
      return (await answer.json()) as A
    },
    tryKubectl,
    kubectl: async (args, options) => {
      const { code, stderr, stdout } = await tryKubectl(args, options)
      if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr.trim()}`)
      return stdout
    },
    openNamespace: async (name) => {
      const labels = {
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/warn": "privileged"
      }
      const stdin = JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } })
      const { code, stderr } = await tryKubectl(["create", "-f", "-"], { stdin })
      if (code !== 0) throw new Error(`no namespace ${name}: ${stderr.trim()}`)
    },
    auditLog: () => readAudit(auditPath(folder)),
    user: async (commonName, organization = []) => {
      const path = freshPath()
      const name = path.slice(folder.length + 1).replace(".kubeconfig", "")
      const certificates = [{ name, commonName, organization, client: true }]
      await supervisor.issue({ folder: pkiFolder(folder), certificates })
      writeKubeconfig(path, { server, ca }, certificateOf(folder, name))
      return { kubeconfig: path }
    },
    serviceAccount: async (namespace, name, options) => {
      const answer = await request(`/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenRequest",
          spec: { audiences: options?.audiences ?? [], expirationSeconds: options?.expirationSeconds ?? 3600 }
        })
      })
      if (!answer.ok) throw new Error(`no token of ${namespace}/${name}: ${await answer.text()}`)
      const { status } = (await answer.json()) as { readonly status: { readonly token: string } }
      const path = freshPath()
      writeKubeconfig(path, { server, ca, namespace }, { token: status.token })
      return { kubeconfig: path, token: status.token }
    },
    log: (component) => readFileSync(logPath(folder, component), "utf8"),
    pauseApiServer: async () => {
      await supervisor.signal("kube-apiserver", process.platform === "linux" ? 19 : 17)
    },
    resumeApiServer: async () => {
      await supervisor.signal("kube-apiserver", process.platform === "linux" ? 18 : 19)
    },
    stopApiServer: async () => {
      await supervisor.stop("kube-apiserver", 1)
    },
    startApiServer: async () => {
      await supervisor.start({ name: "kube-apiserver" })
      await apiServerReady(supervisor, folder, request)
    },
    stopKubelet: async () => {
      onNode("stopping the kubelet")
      await supervisor.stop("kubelet", 5)
    },
    startKubelet: async () => {
      onNode("starting the kubelet")
      await supervisor.start({ name: "kubelet" })
    },
    rebootNode: () => rebootNode(supervisor, folder, onNode("rebooting the node")),
    importImage: async (tar) => {
      onNode("importing an image")
      const { code, stderr } = await supervisor.run(importCommand(folder, tar))
      if (code !== 0) throw new Error(`${tar} was not imported: ${stderr.trim()}`)
    },
    reach: (address) => supervisor.relay(`${onNode("reaching into the cluster")}:0`, address),
    runOnNode: (argv, stdin) => {
      onNode("a command on the node")
      return supervisor.run(argv, stdin)
    }
  }
}
