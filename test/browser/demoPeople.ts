/** The people, roles and sessions of a small team, for the browser tests; pure data, made anew for each test. */
import type { Me, Role, Session, UserWithGrants } from "#shared/api/auth.ts"
import { builtInRoles, rightsOf } from "#shared/domain/rights.ts"

const id = (number: number) => `0190e0a0-0000-7000-8000-${String(number).padStart(12, "0")}`
const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString()
const ahead = (hours: number) => ago(-hours)

const user = (
  number: number,
  name: string,
  grants: ReadonlyArray<{
    readonly role: string
    readonly environment: string
    readonly hours?: number
    readonly reason?: string
  }>,
  lastLogin: number | null,
  disabled = false
): UserWithGrants => {
  const subject = name.toLowerCase().replaceAll(" ", ".")
  return {
    id: id(number) as UserWithGrants["id"],
    provider: number % 3 === 0 ? "gitlab" : "google",
    issuer: "https://idp.example.net",
    subject,
    name,
    email: number === 6 ? null : `${subject}@example.net`,
    disabled,
    createdAt: ago(5000),
    lastLoginAt: lastLogin === null ? null : ago(lastLogin),
    grants: grants.map(({ environment, hours, reason, role }, index) => ({
      id: id(number * 100 + index) as UserWithGrants["grants"][number]["id"],
      userId: id(number) as UserWithGrants["id"],
      role,
      environment,
      expiresAt: hours === undefined ? null : ahead(hours),
      reason: reason ?? null
    }))
  }
}

export const makeUsers = (): Array<UserWithGrants> => [
  user(1, "Olga Owner", [{ role: "owner", environment: "*" }], 0.1),
  user(
    2,
    "Jonas Weber",
    [
      { role: "developer", environment: "*" },
      { role: "operator", environment: "prod", hours: 3.5, reason: "Release 4.2" }
    ],
    2
  ),
  user(
    3,
    "Amira Haddad",
    [
      { role: "operator", environment: "prod" },
      { role: "approver", environment: "prod" }
    ],
    20
  ),
  user(
    4,
    "Lukas Steiner",
    [
      { role: "developer", environment: "nightly" },
      { role: "viewer", environment: "prod" }
    ],
    30
  ),
  user(5, "Mei Tanaka", [{ role: "approver", environment: "*" }], 76),
  user(6, "deploy-bot", [{ role: "deployer", environment: "nightly" }], 1),
  user(7, "Victor Ruiz", [{ role: "viewer", environment: "*" }], 600, true),
  user(8, "Nora Lind", [], null)
]

export const makeRoles = (): Array<Role> => [
  ...builtInRoles,
  {
    name: "deployer",
    description: "CI jobs that apply to nightly",
    builtIn: false,
    rights: [
      { environment: "nightly", service: "admin", action: "plan", effect: "allow" },
      { environment: "nightly", service: "admin", action: "apply", effect: "allow" },
      { environment: "prod", service: "*", action: "*", effect: "deny" }
    ]
  }
]

const agents = {
  firefox: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
  safari:
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1",
  chrome: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"
}

const session = (
  number: number,
  fields: Partial<Session> & { readonly seen: number; readonly started: number }
): Session => ({
  id: id(9000 + number) as Session["id"],
  kind: fields.kind ?? "browser",
  label: fields.label ?? "",
  current: fields.current ?? false,
  createdAt: ago(fields.started),
  lastSeenAt: ago(fields.seen),
  authTime: ago(fields.started),
  expiresAt: fields.expiresAt ?? ahead(160),
  userAgent: fields.userAgent ?? null,
  ip: fields.ip ?? null
})

export const makeSessions = (): Array<Session> => [
  session(1, {
    current: true,
    seen: 0,
    started: 1.2,
    userAgent: agents.firefox,
    ip: "203.0.113.24",
    expiresAt: ahead(10.8)
  }),
  session(2, { seen: 5, started: 26, userAgent: agents.safari, ip: "2001:db8:4:17::2a", expiresAt: ahead(6) }),
  session(3, { seen: 70, started: 96, userAgent: agents.chrome, ip: "198.51.100.7", expiresAt: ahead(72) }),
  session(4, {
    kind: "token",
    label: "Backup check on nas",
    seen: 0.3,
    started: 700,
    ip: "203.0.113.80",
    expiresAt: ahead(700)
  })
]

export const makeMe = (person: UserWithGrants, environment: string, roles: ReadonlyArray<Role>): Me => {
  const { grants, ...rest } = person
  const book = new Map(roles.map((role) => [role.name as string, role]))
  return {
    user: rest,
    environment,
    roles: [...new Set(grants.map(({ role }) => role))],
    rights: rightsOf(grants, book, Date.now()).filter(
      (right) => right.environment === "*" || right.environment === environment
    ),
    session: { id: id(9001) as Session["id"], kind: "browser", authTime: ago(1.2), expiresAt: ahead(10.8) }
  }
}
