/** Who holds which certificate in a test cluster; must hold no key itself. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { writeKubeconfig } from "#test/cluster/kubeconfig.ts"
import type { Certificate, Supervisor } from "#test/cluster/supervisor.ts"

export const nodeName = "node-1"
/** The first address of the Services' range: the API server's, as pods see it. */
const serviceAddress = "10.43.0.1"

export const pkiFolder = (folder: string): string => join(folder, "pki")

const certificates = (address: string): ReadonlyArray<Certificate> => [
  {
    name: "apiserver",
    commonName: "kube-apiserver",
    server: true,
    dnsNames: [
      "localhost",
      ...["", ".default", ".default.svc", ".default.svc.cluster.local"].map((end) => `kubernetes${end}`)
    ],
    addresses: ["127.0.0.1", serviceAddress, address]
  },
  { name: "admin", commonName: "admin", organization: ["system:masters"], client: true },
  { name: "controller-manager", commonName: "system:kube-controller-manager", client: true },
  { name: "scheduler", commonName: "system:kube-scheduler", client: true },
  { name: "apiserver-kubelet", commonName: "kube-apiserver-kubelet", organization: ["system:masters"], client: true },
  {
    name: "node",
    commonName: `system:node:${nodeName}`,
    organization: ["system:nodes"],
    server: true,
    client: true,
    dnsNames: [nodeName],
    addresses: [address]
  },
  { name: "proxy", commonName: "system:kube-proxy", client: true },
  { name: "policies", commonName: "gatehouse-test-policies", organization: ["system:masters"], client: true }
]

export const certificateOf = (folder: string, name: string) => ({
  certificate: readFileSync(join(pkiFolder(folder), `${name}.crt`), "utf8"),
  key: readFileSync(join(pkiFolder(folder), `${name}.key`), "utf8")
})

export const authorityOf = (folder: string): string => readFileSync(join(pkiFolder(folder), "ca.crt"), "utf8")

export const kubeconfigPath = (folder: string, name: string): string => join(folder, `${name}.kubeconfig`)

/** Issues what the components need, and a kubeconfig for each that is a client. */
export const issueAll = async (
  supervisor: Supervisor,
  folder: string,
  at: { readonly address: string; readonly server: string }
): Promise<void> => {
  const all = certificates(at.address)
  await supervisor.issue({ folder: pkiFolder(folder), certificates: all, tokenKey: "service-accounts" })
  const ca = authorityOf(folder)
  for (const { client, name } of all) {
    if (client !== true) continue
    writeKubeconfig(kubeconfigPath(folder, name), { server: at.server, ca }, certificateOf(folder, name))
  }
}
