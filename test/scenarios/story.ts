/** The story the platform exists for, played through the public door: a release that crashes, the incident, its proposal, a second person's approval, the undo, the verification; must use nothing of the inside. */
import { type Action, type Proposal, ProposalPage, type Workload, WorkloadList } from "#shared/api/admin.ts"
import { IncidentChain, IncidentPage, type Incident } from "#shared/api/scheduler.ts"
import { Schema } from "effect"
import { eventually } from "#test/shared/until.ts"
import { logInAs, type Way } from "./browserJar.ts"

const decodeIncidents = Schema.decodeUnknownSync(IncidentPage)
const decodeChain = Schema.decodeUnknownSync(IncidentChain)
const decodeProposals = Schema.decodeUnknownSync(ProposalPage)
const decodeWorkloads = Schema.decodeUnknownSync(WorkloadList)

/** What a person may ask, with a token that is renewed as it runs out. */
export interface Person {
  readonly get: (path: string) => Promise<unknown>
  /** The status and body, whatever they are. */
  readonly post: (path: string, body: unknown) => Promise<{ readonly status: number; readonly body: unknown }>
}

/** Seconds after which a step that should have happened is given up. */
const patience = 120
/** Milliseconds between two looks. */
const glance = 250

export const logIn = async (origin: string, user: string, way: Way = {}): Promise<Person> => {
  const reach = way.fetch ?? fetch
  let { token } = await logInAs(origin, user, way)
  let since = performance.now()
  const authorization = async () => {
    // An access token lives ten minutes.
    if (performance.now() - since > 300_000) {
      token = (await logInAs(origin, user, way)).token
      since = performance.now()
    }
    return `Bearer ${token}`
  }
  return {
    get: async (path) => {
      const response = await reach(`${origin}${path}`, { headers: { authorization: await authorization() } })
      if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`)
      return response.json()
    },
    post: async (path, body) => {
      const response = await reach(`${origin}${path}`, {
        method: "POST",
        headers: {
          authorization: await authorization(),
          "content-type": "application/json",
          "idempotency-key": crypto.randomUUID()
        },
        body: JSON.stringify(body)
      })
      return { status: response.status, body: await response.json() }
    }
  }
}

/** Looks until `probe` gives something; a peer that is just being restarted is only not there yet. */
const awaited = <A>(what: string, probe: () => Promise<A | undefined>): Promise<A> =>
  eventually(what, probe, patience, glance)

export const incidentsOf = async (person: Person, name: string): Promise<ReadonlyArray<Incident>> =>
  decodeIncidents(await person.get("/jobs/incidents?limit=200")).items.filter((incident) => incident.name === name)

export const chainOf = async (person: Person, id: string): Promise<IncidentChain> =>
  decodeChain(await person.get(`/jobs/incidents/${id}`))

export const proposalsFor = async (person: Person, name: string): Promise<ReadonlyArray<Proposal>> =>
  decodeProposals(await person.get("/admin/proposals?limit=200")).items.filter(({ target }) => target.name === name)

export const workload = async (person: Person, namespace: string, name: string): Promise<Workload | undefined> =>
  decodeWorkloads(await person.get(`/admin/ns/${namespace}/workloads`)).items.find((one) => one.name === name)

/** A Deployment as a team would write it. */
export const deployment = (name: string, namespace: string, image: string, replicas = 2): string => `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  replicas: ${replicas}
  selector:
    matchLabels: { app: ${name} }
  template:
    metadata:
      labels: { app: ${name} }
    spec:
      automountServiceAccountToken: false
      securityContext: { runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, seccompProfile: { type: RuntimeDefault } }
      containers:
        - name: app
          image: ${image}
          imagePullPolicy: IfNotPresent
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
          resources: { requests: { cpu: 10m, memory: 16Mi }, limits: { memory: 64Mi } }
`

/** Applies a manifest by plan, as the page does; fails with admin's own words. */
export const applyByPlan = async (person: Person, namespace: string, manifest: string, reason: string) => {
  const plan = await person.post(`/admin/ns/${namespace}/plan`, { manifest })
  if (plan.status >= 300) throw new Error(`plan: ${plan.status} ${JSON.stringify(plan.body)}`)
  const { planId } = plan.body as { readonly planId: string }
  const applied = await person.post(`/admin/ns/${namespace}/apply`, { planId, reason })
  if (applied.status >= 300) throw new Error(`apply: ${applied.status} ${JSON.stringify(applied.body)}`)
  return applied.body as Action
}

/** The workload is complete and every replica available. */
export const settled = (person: Person, namespace: string, name: string, image: string) =>
  awaited(`${name} runs ${image}`, async () => {
    const seen = await workload(person, namespace, name)
    return seen !== undefined && seen.phase === "complete" && seen.images.every((one) => one.endsWith(image))
      ? seen
      : undefined
  })

/** The watchman's and admin's patience for a story of under a minute; the rules are the same. */
export const quickPatience = {
  ADMIN_KNOWN_GOOD: "3 seconds",
  SCHEDULER_HEALTH_INTERVAL: "1 seconds",
  SCHEDULER_HEALTH_CRASH_HOLD: "8 seconds",
  SCHEDULER_HEALTH_KNOWN_GOOD: "3 seconds",
  SCHEDULER_HEALTH_VERIFY: "4 seconds",
  /** A killed worker's jobs stand still for so long. */
  SCHEDULER_LEASE: "3 seconds"
}

/** Points of the story at which something may be killed. */
export const points = ["released", "detected", "proposed", "approved", "undone"] as const
export type Point = (typeof points)[number]

export interface StoryOptions {
  readonly origin: string
  /** Which way its people come in; by the development provider at `origin` unless told. */
  readonly way?: Way
  readonly namespace: string
  readonly name: string
  readonly goodImage: string
  readonly badImage: string
  /** Called at each point; the story goes on when it has resolved. */
  readonly at?: (point: Point) => Promise<void>
  readonly say?: (line: string) => void
  /** Decides on the proposal; by API in the name of the demo's approver unless told. */
  readonly approve?: (proposal: Proposal) => Promise<void>
}

export interface Told {
  /** From the apply of the bad release to the incident. */
  readonly detectedSeconds: number
  readonly proposals: number
  readonly undone: boolean
  readonly verified: boolean
  readonly chain: IncidentChain
}

/** Plays it to the end; throws at the first thing that does not happen. */
export const play = async (options: StoryOptions): Promise<Told> => {
  const { at = async () => {}, badImage, goodImage, name, namespace, origin, say = () => {}, way } = options
  const operator = await logIn(origin, "operator", way)
  const approver = await logIn(origin, "approver", way)
  const approveByApi = async ({ digest, id }: Proposal) => {
    const answer = await approver.post(`/admin/proposals/${id}/approve`, { digest, reason: "the evidence is clear" })
    if (answer.status >= 300) throw new Error(`approve: ${answer.status} ${JSON.stringify(answer.body)}`)
  }
  const approve = options.approve ?? approveByApi
  say(`operator applies ${goodImage}`)
  await applyByPlan(operator, namespace, deployment(name, namespace, goodImage), "first release")
  await settled(operator, namespace, name, goodImage)
  // What is gone back to must have proved itself; how long that takes is a setting.
  await awaited("the first release is known to be good", async () => {
    const history = (await operator.get(`/admin/ns/${namespace}/deployment/${name}/history`)) as {
      readonly items: ReadonlyArray<{ readonly health: string }>
    }
    return history.items.at(-1)?.health === "good" ? true : undefined
  })

  say(`operator applies ${badImage}, which crashes`)
  await applyByPlan(operator, namespace, deployment(name, namespace, badImage), "second release")
  const released = performance.now()
  await at("released")
  const incident = await awaited("an incident", async () => (await incidentsOf(operator, name))[0])
  const detectedSeconds = Math.round((performance.now() - released) / 100) / 10
  say(`incident after ${detectedSeconds} s: ${incident.title}`)
  await at("detected")
  const proposal = await awaited("a proposal", async () =>
    (await proposalsFor(approver, name)).find(({ state }) => state === "pending")
  )
  say(`proposal: ${proposal.summary}`)
  await at("proposed")
  await approve(proposal)
  say("approver approves")
  await at("approved")
  await settled(operator, namespace, name, goodImage)
  say(`${name} runs ${goodImage} again`)
  await at("undone")
  const chain = await awaited("the verification", async () => {
    const seen = await chainOf(operator, incident.id)
    if (seen.verification !== null) return seen
    const { incident: found, action, timeline } = seen
    const told = timeline.map(({ at: when, detail, event }) => `${when} ${event} ${detail}`).join("; ")
    throw new Error(`${found.remedy}, ${found.advice}; action ${action?.state} ${action?.message}; ${told}`)
  })
  say(`verification: ${chain.verification?.result}: ${chain.verification?.message}`)
  return {
    detectedSeconds,
    proposals: (await proposalsFor(approver, name)).length,
    undone: chain.action?.state === "succeeded" && chain.action.action === "undo",
    verified: chain.verification?.result === "verified",
    chain
  }
}
