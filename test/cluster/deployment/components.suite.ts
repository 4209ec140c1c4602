/** The optional components as real pods, added to an environment as their documents tell: a secret store, backups, a service of one's own. A part of deployment.cluster.test.ts, as that has such an environment. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { BackupList, Job, JobDetail } from "#shared/api/scheduler.ts"
import { Schema } from "effect"
import type { Cluster } from "#test/cluster/cluster.ts"
import { addComponents, type Components } from "#test/cluster/deployment/components.ts"
import type { Deployed } from "#test/cluster/deployment/deployed.ts"
import { allReady, originOf, restarts, runStrangers, volumeFolder } from "#test/cluster/deployment/environment.ts"
import { differences, type Environment } from "#test/cluster/deployment/manifests.ts"
import { peopleOf } from "#test/cluster/deployment/people.ts"
import { podsOf, reached } from "#test/cluster/deployment/reach.ts"
import { eventually, Hopeless } from "#test/shared/until.ts"
import { endpointsOf, matrixOf, policiesOf } from "#test/manifests/reachability.ts"
import { objectsOf } from "#test/manifests/render.ts"
import { logIn, type Person } from "#test/scenarios/story.ts"

const decodeBackups = Schema.decodeUnknownSync(BackupList)
const decodeJob = Schema.decodeUnknownSync(Job)
const decodeDetail = Schema.decodeUnknownSync(JobDetail)

/** The tests of what is added to `environment`, which stands in what `standing` gives when they begin. */
export const testComponents = (cluster: Cluster, environment: Environment, standing: () => Deployed): void => {
  const origin = originOf(environment)

  const superuser = (database: "gateway" | "logging" | "data", sql: string) =>
    cluster.kubectl(
      [
        "-n",
        environment,
        "exec",
        "-i",
        `${database}-db-0`,
        "--",
        "psql",
        "--username=postgres",
        `--dbname=${database}`,
        "-Atq"
      ],
      { stdin: sql }
    )

  /** The one pod of a workload that is not on its way out. */
  const podOf = async (name: string) => {
    const { items } = await cluster.read<{
      readonly items: ReadonlyArray<{
        readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string }
        readonly status: { readonly podIP?: string }
      }>
    }>(`/api/v1/namespaces/${environment}/pods?labelSelector=app.kubernetes.io/name=${name}`)
    const [pod, ...more] = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    if (pod === undefined || more.length > 0) throw new Error(`${items.length} pods of ${name}`)
    return pod
  }

  let deployed: Deployed
  let components: Components
  let owner: Person
  let viewer: Person

  beforeAll(async () => {
    deployed = standing()
    components = await addComponents(cluster, deployed, environment)
    await allReady(cluster, environment)
    owner = await peopleOf(origin, deployed.way, environment, ["viewer"])
    viewer = await logIn(origin, "viewer", deployed.way)
  }, 400_000)
  afterAll(async () => {
    await components?.remove()
  }, 120_000)

  const status = async (path: string, person?: Person) => {
    if (person === undefined) return (await deployed.edge.fetch(`${origin}${path}`)).status
    return await person.get(path).then(
      () => 200,
      (error: Error) => Number(/: (\d{3}) /u.exec(error.message)?.[1])
    )
  }

  test("are what is shipped but for their images", async () => {
    const shipped = await components.operator.run("kubectl kustomize kustomize/overlays/prod")
    const changed = differences(shipped, components.overlay())
    expect(changed.filter((line) => !/\/(?:containers|initContainers)\/\d\/image: /u.test(line))).toEqual([])
    expect(changed.length).toBeGreaterThan(10)
  })

  test("are added by changes to what is the operator's alone", () => {
    const own = `overlays/${environment}/environment`
    expect(components.operator.edited()).toEqual([
      `cluster/${environment}/namespace.yaml`,
      `cluster/${environment}/resourcequota.yaml`,
      "components/backup/deployment.yaml",
      "components/site/kustomization.yaml",
      `${own}/gateway.yaml`,
      `${own}/kustomization.yaml`
    ])
  })

  test("a service of one's own is behind the gateway for who has the right, and for nobody else", async () => {
    expect(await status("/orders")).toBe(401)
    expect(await status("/orders", viewer)).toBe(403)
    expect(await owner.get("/orders")).toMatchObject({ environment })
    expect((await owner.post("/orders/greetings", { text: "from a pod" })).status).toBe(201)
    expect(await superuser("data", "SELECT text FROM orders.greetings")).toBe("from a pod\n")
  })

  test("security: reach and are reached by whom the policies name, and by nobody else", async () => {
    await runStrangers(cluster, [environment], deployed.images.good)
    const pods = await podsOf(cluster, [environment])
    const targets = pods.targets.filter(({ name }) => /\/(?:secret-store|orders|data-db|gateway-db)$/u.test(name))
    const objects = objectsOf(components.overlay())
    const places = new Set(targets.map(({ name, port }) => `${name} ${port}/TCP`))
    const expected = matrixOf(endpointsOf(objects), policiesOf(objects)).allowed.filter((line) => {
      const [source = "", target = ""] = line.split(" -> ")
      return source.startsWith(`${environment}/`) && places.has(target)
    })
    expect(expected).toContain("dev/hello -> dev/secret-store 8200/TCP")
    expect(expected.filter((line) => line.startsWith("dev/(any other pod)"))).toEqual([])
    const seen = await eventually("what the matrix allows is reached", async () => {
      const lines = await reached(cluster, pods.sources, targets)
      const missing = expected.filter((line) => !lines.includes(line))
      if (missing.length > 0) throw new Error(missing.join("; "))
      return lines
    })
    expect(seen).toEqual(expected)
    await cluster.kubectl(["-n", environment, "delete", "pod", "stranger", "--wait=false"])
  })

  const greet = async (text: string) => (await owner.post("/hello/greetings", { text })).status
  const newPassword = "a-new-password-of-hello"
  /** As it was made at the install. */
  const firstUrl = async () => {
    const secret = ["get", "secret", "hello-secrets", "-o", "jsonpath={.data.database-url}"]
    return Buffer.from(await cluster.kubectl(["-n", environment, ...secret]), "base64").toString()
  }
  let newUrl = ""

  test("the secret store gives a service its secret, and a new one without a restart", async () => {
    const starts = await restarts(cluster, environment)
    expect(await greet("by the first password")).toBe(201)
    await superuser("data", `ALTER ROLE hello PASSWORD '${newPassword}'`)
    newUrl = (await firstUrl()).replace(/(?<=:)[^:@]+(?=@)/u, newPassword)
    const root = await components.newRootToken()
    await components.bao(`printf %s '${newUrl}' | bao kv put -mount=secret hello database-url=-`, root)
    await components.bao("bao token revoke -self", root)
    // What is connected stays so, by the old password: only a new connection shows which one is in use.
    await superuser("data", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hello'")
    await eventually("the new password is in use", async () => (await greet("by the second")) === 201, 60)
    // Of the same pods.
    expect(await restarts(cluster, environment)).toEqual(starts)
  })

  const logInAt = async (account: string, role: string) => {
    const { token } = await cluster.serviceAccount(environment, account, { audiences: [`secrets.${environment}`] })
    return components.bao(`printf %s '${token}' | bao write -field=token auth/kubernetes/login role=${role} jwt=-`)
  }
  const kept = (token: string, version: number) =>
    components.bao(`bao kv get -mount=secret -version=${version} -field=database-url hello`, token)

  test("security: the secret store gives a service's secret to that service alone", async () => {
    const refused = async (work: Promise<string>) => {
      expect(await work.catch((error: Error) => error.message)).toMatch(
        /permission denied|not authorized|returned 403/u
      )
    }
    await refused(logInAt("admin", "hello"))
    const hello = await logInAt("hello", "hello")
    await refused(components.bao("bao kv get -mount=secret gateway", hello))
    await refused(components.bao("bao kv put -mount=secret hello database-url=another", hello))
    await refused(components.bao("bao kv get -mount=secret hello", "s.000000000000000000000000"))
  })

  test("the secret store that was killed opens itself again, with nothing lost; its services serve on", async () => {
    const { uid } = (await podOf("secret-store")).metadata
    await cluster.kubectl(["-n", environment, "delete", "pod", "secret-store-0", "--grace-period=0", "--force"])
    expect(await greet("while the store is away")).toBe(201)
    await eventually("another pod is there", async () => (await podOf("secret-store")).metadata.uid !== uid)
    await allReady(cluster, environment)
    expect(await components.bao("bao status")).toMatch(/^Sealed +false$/mu)
    const hello = await logInAt("hello", "hello")
    expect(await kept(hello, 2)).toBe(newUrl)
    expect(await kept(hello, 1)).toBe(await firstUrl())
  })

  const begin = async (kind: string, payload: object = {}) => {
    const { body, status } = await owner.post("/jobs", { kind, payload })
    expect([status, body]).toEqual([201, expect.anything()])
    return decodeJob(body).id
  }
  const succeeded = (id: string) =>
    eventually(
      `the job ${id} succeeds`,
      async () => {
        const { job } = decodeDetail(await owner.get(`/jobs/${id}`))
        if (job.state === "failed" || job.state === "cancelled") {
          throw new Hopeless(JSON.stringify(await owner.get(`/jobs/${id}/logs`)))
        }
        return job.state === "succeeded"
      },
      120
    )
  const backups = async () => decodeBackups(await owner.get("/jobs/backups"))

  test("backups of all databases are made in a pod, and proved there by a restore", async () => {
    await succeeded(await begin("database.backup"))
    await succeeded(await begin("database.drill"))
    const { items } = await backups()
    expect(items.map(({ database, drill, state }) => [database, state, drill?.faults]).sort()).toEqual([
      ["data", "verified", []],
      ["gateway", "verified", []],
      ["logging", "verified", []]
    ])
    expect(items.every(({ rows }) => rows > 0)).toBe(true)
    const address = await cluster.reach(`${(await podOf("scheduler")).status.podIP}:9090`)
    const metrics = await (await fetch(`http://${address}/metrics`)).text()
    const ages = [...metrics.matchAll(/^backup_last_restorable_age_seconds\{.*database="(\w+)".*\} (\S+)$/gmu)]
    expect(ages.map(([, database]) => database).sort()).toEqual(["data", "gateway", "logging"])
    for (const [, , age] of ages) expect(Number.isFinite(Number(age))).toBe(true)
  }, 240_000)

  test("a backup that is killed in the middle is no set, and is made by the process that comes after", async () => {
    const folder = join(volumeFolder(cluster, environment, "database-backups"), "databases", "data")
    const halves = () => readdirSync(folder).filter((name) => name.endsWith(".partial"))
    const before = (await backups()).items.length
    // Holds the dump where it is: it waits for this table.
    const holding = superuser("data", "BEGIN; LOCK TABLE orders.greetings; SELECT pg_sleep(300)").catch(() => "ended")
    const held = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)' AND pid <> pg_backend_pid()"
    await eventually("the table is held", async () => (await superuser("data", `SELECT count(*) ${held}`)) === "1\n")
    const id = await begin("database.backup", { databases: ["data"] })
    await eventually("a set is half made", async () => halves().length === 1)
    const killed = await cluster.runOnNode(["pkill", "-KILL", "-f", "^/program/gatehouse scheduler"])
    expect(killed).toMatchObject({ code: 0 })
    await superuser("data", `SELECT pg_terminate_backend(pid) ${held}`)
    await holding
    expect(halves()).toHaveLength(1)
    const { items: listed } = await eventually("the scheduler is back", backups)
    expect(listed).toHaveLength(before)
    await succeeded(id)
    expect(halves()).toEqual([])
    const { items } = await backups()
    expect(items).toHaveLength(before + 1)
    expect(items[0]).toMatchObject({ database: "data", jobId: id, state: "made" })
  }, 240_000)
}
