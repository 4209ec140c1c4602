/** How the databases of an environment are spoken to, as they say themselves; must ask with nothing that is not in their pods. */
import type { Cluster } from "#test/cluster/cluster.ts"
import type { Environment } from "./manifests.ts"

const databases = { "gateway-db": "gateway", "logging-db": "logging", "data-db": "data" } as const

const inPod = (cluster: Cluster, environment: Environment, pod: string, command: ReadonlyArray<string>) =>
  cluster.tryKubectl(["-n", environment, "exec", `${pod}-0`, "--", ...command])

/** The connections from other pods that stand now: `<database> <role> <TLS version>`, each once; `plain` where there is none. */
export const connections = async (cluster: Cluster, environment: Environment): Promise<ReadonlyArray<string>> => {
  const sql =
    "SELECT DISTINCT usename || ' ' || coalesce(version, 'plain') FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE client_addr IS NOT NULL"
  const answers = await Promise.all(
    Object.entries(databases).map(async ([pod, database]) => {
      const command = ["psql", "--username=postgres", `--dbname=${database}`, "-Atqc", sql]
      const { code, stderr, stdout } = await inPod(cluster, environment, pod, command)
      if (code !== 0) throw new Error(`${pod}: ${stderr}`)
      return stdout.split("\n").flatMap((line) => (line === "" ? [] : [`${pod} ${line}`]))
    })
  )
  return answers.flat().sort()
}

/** What each database says to who comes by TCP without TLS; from its own pod, as no other has a client, and no name service. */
export const saidToPlain = (cluster: Cluster, environment: Environment): Promise<ReadonlyArray<string>> =>
  Promise.all(
    Object.entries(databases).map(async ([pod, database]) => {
      const address = `host=127.0.0.1 user=${database} dbname=${database} sslmode=disable`
      const { code, stderr } = await inPod(cluster, environment, pod, ["psql", address, "-c", "SELECT 1"])
      return code === 0 ? `${pod}: let in` : `${pod}: ${stderr.trim()}`
    })
  )
