/** One environment as real pods of the image just built, used through nginx by people whom an identity provider vouches for, through outages and a reboot; must apply nothing but what is shipped. */
import { afterAll, beforeAll, expect } from "bun:test"
import { readFileSync } from "node:fs"
import { exchangeGrantType, jwtTokenType } from "#shared/api/auth.ts"
import { JobPage } from "#shared/api/scheduler.ts"
import { listAt, textAt } from "#shared/kubernetes/fields.ts"
import { Schema } from "effect"
import { testComponents } from "#test/cluster/deployment/components.suite.ts"
import { connections, saidToPlain } from "#test/cluster/deployment/connections.ts"
import { type Deployed, deploy } from "#test/cluster/deployment/deployed.ts"
import {
  allReady,
  applyAgain,
  originOf,
  removeEnvironments,
  restarts,
  runStrangers,
  unready,
  workloadsOf
} from "#test/cluster/deployment/environment.ts"
import { differences, type Environment, shippedOverlay, site, testOverlay } from "#test/cluster/deployment/manifests.ts"
import { publicAddress, unknownHost } from "#test/cluster/deployment/edge.ts"
import { peopleOf, usersOf } from "#test/cluster/deployment/people.ts"
import { deploymentObstacle } from "#test/cluster/deployment/postgresImage.ts"
import { podsOf, reached } from "#test/cluster/deployment/reach.ts"
import { eventually } from "#test/shared/until.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { nodeName } from "#test/cluster/pki.ts"
import { logInAs } from "#test/scenarios/browserJar.ts"
import { type Person, play, quickPatience } from "#test/scenarios/story.ts"
import { skipUnless } from "#test/shared/skip.ts"

const cluster = await testCluster()
const reason = cluster.tier === "node" ? deploymentObstacle() : "only a node has real pods"
const { describe, test } = skipUnless(reason === undefined, reason ?? "")
const environment = "dev"
const others = ["nightly", "prod"] as const
const environments = ["dev", ...others] as const
const origin = originOf(environment)

const decodeJobs = Schema.decodeUnknownSync(JobPage)
const jobIds = async (person: Person) => decodeJobs(await person.get("/jobs?limit=200")).items.map(({ id }) => id)

describe("an environment on a real node", () => {
  let deployed: Deployed
  let overlay = ""
  let owner: Person

  beforeAll(async () => {
    deployed = await deploy(cluster, [environment])
    overlay = deployed.overlays.get(environment)!
  }, 300_000)
  afterAll(async () => {
    await deployed?.stop()
  })

  test("is what is shipped but for its images, addresses and the name of its identity provider", async () => {
    for (const each of environments) {
      const [shipped, tested] = await Promise.all([
        shippedOverlay(cluster, each),
        testOverlay(cluster, each, site(cluster))
      ])
      const changed = differences(shipped, tested)
      const other = changed.filter(
        (line) =>
          !/\/containers\/0\/image: |\/initContainers\/0\/image: /u.test(line) &&
          !/^\S+ ConfigMap\/gateway-settings-\S+ \/data\/gateway\.yaml: issuer: /u.test(line) &&
          !/^\S+ NetworkPolicy\/api-server \/spec\/egress\/1\/to\/0\/ipBlock\/cidr: /u.test(line)
      )
      expect(other).toEqual([])
      expect(changed.length).toBeGreaterThan(10)
    }
  })

  test("has every pod ready", async () => {
    expect(workloadsOf(overlay).length).toBeGreaterThan(9)
    await allReady(cluster, environment)
  })

  test("lets a person in through nginx by single sign-on, who reads the node's own metrics", async () => {
    const anonymous = await deployed.edge.fetch(`${origin}/monitor/host`)
    expect(anonymous.status).toBe(401)
    owner = await peopleOf(origin, deployed.way, environment, ["operator", "approver", "viewer"])
    expect(await owner.get("/auth/me")).toMatchObject({ environment })
    const memory = Number(/^MemTotal:\s+(\d+) kB/mu.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024
    expect(JSON.stringify(await owner.get("/monitor/host"))).toContain(String(memory))
    const job = await owner.post("/jobs", { kind: "retention", payload: {} })
    expect(job.status).toBe(201)
  })

  test("answers by the Ingress's name alone", async () => {
    expect((await deployed.edge.fetch(`https://${unknownHost}/`)).status).toBe(404)
  })

  test("security: speaks TLS with its databases on every connection of every service", async () => {
    const users = ["gateway-db gateway", "logging-db admin", "logging-db monitor", "logging-db scheduler"]
    const expected = [...users, "data-db data", "data-db hello"].map((user) => `${user} TLSv1.3`)
    // A pool closes what nobody uses, and each probe opens it again.
    await eventually("every service is connected", async () => {
      const seen = await connections(cluster, environment)
      expect(seen.filter((line) => !line.endsWith(" TLSv1.3"))).toEqual([])
      return expected.every((line) => seen.includes(line))
    })
  })

  test("security: lets nobody into a database without TLS", async () => {
    const answers = await saidToPlain(cluster, environment)
    expect(answers).toHaveLength(3)
    for (const answer of answers) expect(answer).toMatch(/no pg_hba\.conf entry for host .*, no encryption/u)
  })

  test("is not changed by a second apply", async () => {
    const { after, before } = await applyAgain(cluster, overlay)
    expect(after).toEqual(before)
    expect(before.size).toBeGreaterThan(60)
  })

  test("finds, proposes, undoes and verifies a release that crashes", async () => {
    // The same pods with the story's patience, as its rules would else take half an hour.
    const set = (name: string) =>
      cluster.kubectl([
        "-n",
        environment,
        "set",
        "env",
        `deployment/${name}`,
        ...Object.entries(quickPatience)
          .filter(([key]) => key.startsWith(name.toUpperCase()))
          .map(([key, value]) => `${key}=${value}`)
      ])
    await Promise.all([set("admin"), set("scheduler")])
    await allReady(cluster, environment)
    const told = await play({
      origin,
      way: deployed.way,
      namespace: environment,
      name: "checkout",
      goodImage: deployed.images.good,
      badImage: deployed.images.crash
    })
    expect(told).toMatchObject({ proposals: 1, undone: true, verified: true })
    expect(told.chain.evidence).toMatchObject({ exitCode: 3, container: "app" })
    expect(told.chain.evidence?.previousLog.join("\n")).toContain("fatal: cannot open configuration")
  }, 300_000)

  const state = async () => ({
    users: (await usersOf(owner)).map(({ id }) => id).sort(),
    actions: await owner.get("/admin/actions/verify"),
    jobs: new Set(await jobIds(owner))
  })

  const nodeIs = (status: "True" | "Unknown") =>
    eventually(`the node's readiness is ${status}`, async () => {
      const node = await cluster.read(`/api/v1/nodes/${nodeName}`)
      return listAt(node, "status", "conditions").some(
        (one) => textAt(one, "type") === "Ready" && textAt(one, "status") === status
      )
    })

  test("goes on as it was when the kubelet was away, with nothing started anew and nothing lost", async () => {
    const [before, starts] = [await state(), await restarts(cluster, environment)]
    await cluster.stopKubelet()
    try {
      await nodeIs("Unknown")
    } finally {
      await cluster.startKubelet()
    }
    await nodeIs("True")
    await allReady(cluster, environment)
    const after = await eventually("the gateway answers", state)
    expect(after.users).toEqual(before.users)
    expect([...before.jobs].filter((id) => !after.jobs.has(id))).toEqual([])
    expect(await restarts(cluster, environment)).toEqual(starts)
  })

  test("stands beside two others", async () => {
    // One after the other: twenty pods that start at once are in each other's way on two cores.
    for (const other of others) {
      await deployed.add(other)
      await allReady(cluster, other, 240)
    }
    for (const each of environments) {
      const answer = await deployed.edge.fetch(`${originOf(each)}/auth/me`)
      expect([each, answer.status]).toEqual([each, 401])
    }
  }, 500_000)

  test("security: real pods of three environments reach what the matrix allows, and nothing else", async () => {
    const monitoring = environments.map((name) => `${name}-monitoring`)
    // None in the monitors' namespaces: an admission policy lets nobody else in.
    await runStrangers(cluster, [...environments, "edge"], deployed.images.good)
    const pods = await podsOf(cluster, [...environments, ...monitoring, "edge"])
    const targets = [
      ...pods.targets,
      { name: "API server (Service)", address: "10.43.0.1", port: 443 },
      { name: "API server (node)", address: cluster.nodeAddress!, port: 6443 },
      { name: "world", address: publicAddress, port: 443 }
    ]
    const names = new Set([...pods.sources, ...targets].map(({ name }) => name))
    const ports = new Set(targets.map(({ name, port }) => `${name} ${port}/TCP`))
    const expected = readFileSync("kustomize/reachability.txt", "utf8")
      .split("\n")
      .filter((line) => {
        const [source = "", target = ""] = line.split(" -> ")
        return names.has(source) && !/^(?:API server|world)/u.test(source) && ports.has(target)
      })
    expect(expected.length).toBeGreaterThan(80)
    const seen = new Set(await reached(cluster, pods.sources, targets))
    const unseen = () => expected.filter((line) => !seen.has(line))
    // A pod that is busy, or is just being started anew, is slow to answer; what is refused stays refused.
    await eventually(
      "what the matrix allows is reached",
      async () => {
        const sources = pods.sources.filter(({ name }) => unseen().some((line) => line.startsWith(`${name} -> `)))
        for (const line of await reached(cluster, sources, targets)) seen.add(line)
        if (unseen().length > 0) throw new Error(unseen().join("; "))
        return true
      },
      60
    )
    expect([...seen].sort()).toEqual(expected.toSorted())
  }, 240_000)

  test("security: a token of one environment is refused by another", async () => {
    for (const each of environments) await allReady(cluster, each)
    const { token } = await logInAs(origin, "owner", deployed.way)
    const status = async (each: string) => {
      const headers = { authorization: `Bearer ${token}` }
      return (await deployed.edge.fetch(`https://gate.${each}.example.org/monitor/host`, { headers })).status
    }
    expect(await status(environment)).toBe(200)
    for (const other of others) expect([other, await status(other)]).toEqual([other, 401])
  })

  test("security: a workload of one environment gets no token in another", async () => {
    const exchange = async (at: Environment, namespace: string, audience: string) => {
      const { token } = await cluster.serviceAccount(namespace, "scheduler", { audiences: [audience] })
      const body = new URLSearchParams({
        grant_type: exchangeGrantType,
        subject_token_type: jwtTokenType,
        subject_token: token
      })
      return (await deployed.edge.fetch(`${originOf(at)}/auth/token`, { method: "POST", body })).status
    }
    for (const each of environments) await allReady(cluster, each)
    expect(await exchange("dev", "dev", "gateway.dev")).toBe(200)
    for (const other of others) {
      expect([other, await exchange(other, "dev", "gateway.dev")]).toEqual([other, 400])
      // Also with the other gateway's name on it: it is another namespace's.
      expect([other, await exchange(other, "dev", `gateway.${other}`)]).toEqual([other, 400])
    }
  })

  test("comes back by itself from a reboot of the node, with nothing lost", async () => {
    const before = await state()
    expect(before.users.length).toBeGreaterThan(3)
    expect(before.jobs.size).toBeGreaterThan(0)
    await cluster.rebootNode()
    await eventually("the outage is seen", async () => (await unready(cluster, environment)).length > 0)
    for (const each of environments) await allReady(cluster, each, 240)
    const after = await eventually("the gateway answers", state)
    expect(after.users).toEqual(before.users)
    expect(after.actions).toEqual(before.actions)
    expect([...before.jobs].filter((id) => !after.jobs.has(id))).toEqual([])
  }, 300_000)

  describe("with the optional components", () => {
    beforeAll(async () => {
      // Their quotas are full, and nobody needs them any more.
      await removeEnvironments(cluster, others)
    })
    testComponents(cluster, environment, () => deployed)
  })
})
