/** The gateway's API as the browser calls it: same origin, typed by the shared contract, failures told for people; must keep no token. */
import type {
  GrantInput,
  Grant,
  Me,
  Role,
  RoleInput,
  Session,
  TokenResponse,
  UserPatch,
  UserWithGrants
} from "#shared/api/auth.ts"
import type { History, HistoryAggregate, HistoryMetric } from "#shared/api/monitor.ts"
import type { Page } from "#shared/api/paging.ts"
import type { Problem } from "#shared/api/problem.ts"

const sessionGrantType: typeof import("#shared/api/auth.ts").sessionGrantType = "urn:gatehouse:grant-type:session"

/** A call that did not succeed; `message` is for people. `status` 0: there was no answer at all. */
export class ApiError extends Error {
  readonly status: number
  readonly problem: Problem | undefined
  constructor(status: number, message: string, problem?: Problem) {
    super(message)
    this.status = status
    this.problem = problem
  }
}

const sentence = (text: string) => {
  const trimmed = text.trim().replace(/\.$/u, "")
  return trimmed === "" ? "" : `${trimmed[0]!.toUpperCase()}${trimmed.slice(1)}.`
}

const explain = (status: number, problem: Problem | undefined, retryAfter: string | null): string => {
  const detail = sentence(problem?.detail ?? "")
  const quote = problem?.instance === undefined ? "" : ` Request ${problem.instance}.`
  const faults = problem?.errors?.map(({ detail: text, pointer }) => `${pointer.slice(1) || "input"}: ${text}`)
  switch (true) {
    case status === 403:
      return `You are not allowed to do this. ${detail}`.trim()
    case status === 404:
      return detail || "This no longer exists."
    case status === 429:
      return `Too many requests. Try again in ${retryAfter ?? "a few"} seconds.`
    case faults !== undefined && faults.length > 0:
      return sentence(faults.join("; "))
    case status >= 500:
      return `The platform could not answer (${status} ${problem?.title ?? "error"}). ${detail}${quote}`.trim()
    default:
      return detail || sentence(problem?.title ?? `Unexpected answer ${status}`)
  }
}

/** Leaves the app for the login page and comes back to where the person was. */
export const goToLogin = (): void => {
  const here = location.pathname + location.search
  location.assign(`/auth/login?return_to=${encodeURIComponent(here)}`)
}

interface Call {
  readonly method?: string
  readonly json?: unknown
  readonly form?: URLSearchParams
  /** Leave a 401 to the caller instead of going to the login page. */
  readonly keepPage?: boolean
  /** The same key again is the same wish: a repeated call is carried out once. */
  readonly idempotencyKey?: string
}

/** The answer of one request if it is a good one; anything else is thrown as an ApiError with words for people. */
export const send = async (path: string, init: RequestInit & { readonly keepPage: boolean }): Promise<Response> => {
  const { keepPage, ...request } = init
  const headers = { accept: "application/json", "x-requested-with": "fetch", ...request.headers }
  let response: Response
  try {
    response = await fetch(path, { ...request, headers, credentials: "same-origin" })
  } catch (cause) {
    if (request.signal?.aborted === true) throw cause
    throw new ApiError(0, "The gateway cannot be reached. Check your connection.")
  }
  if (response.ok) return response
  const problem = isJson(response) ? ((await response.json().catch(() => undefined)) as Problem | undefined) : undefined
  if (response.status === 401 && !keepPage) goToLogin()
  throw new ApiError(response.status, explain(response.status, problem, response.headers.get("retry-after")), problem)
}

const isJson = (response: Response) => /\bjson\b/u.test(response.headers.get("content-type") ?? "")

export const call = async <A>(
  path: string,
  { form, idempotencyKey, json, keepPage = false, method = "GET" }: Call = {}
): Promise<A> => {
  const headers: Record<string, string> = {}
  if (json !== undefined) headers["content-type"] = "application/json"
  if (idempotencyKey !== undefined) headers["idempotency-key"] = idempotencyKey
  const body = form ?? (json === undefined ? null : JSON.stringify(json))
  const response = await send(path, { method, headers, body, keepPage })
  return (isJson(response) ? await response.json() : undefined) as A
}

export const query = (values: Readonly<Record<string, string | number | undefined>>): string => {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(values))
    if (value !== undefined && value !== "") search.set(key, String(value))
  return search.size === 0 ? "" : `?${search}`
}

/** A name as one segment of a path. */
export const id = encodeURIComponent

export interface TokenRequest {
  readonly scopes: ReadonlyArray<string>
  readonly label: string
  readonly refresh: boolean
}

export interface HistoryRequest {
  readonly metric: HistoryMetric
  readonly from: string
  readonly step?: number
  readonly agg?: typeof HistoryAggregate.Type
}

export const api = {
  me: () => call<Me>("/auth/me"),
  /** A session that has ended is told by the stream beside it. */
  history: (request: HistoryRequest) => call<History>(`/monitor/history${query({ ...request })}`, { keepPage: true }),
  sessions: (cursor?: string) => call<Page<Session>>(`/auth/sessions${query({ limit: 100, cursor })}`),
  endSession: (session: string) => call<void>(`/auth/sessions/${id(session)}`, { method: "DELETE" }),
  createToken: ({ label, refresh, scopes }: TokenRequest) => {
    const scope = [...scopes, ...(refresh ? ["offline_access"] : [])].join(" ")
    const form = new URLSearchParams({ grant_type: sessionGrantType, scope })
    if (label !== "") form.set("label", label)
    return call<TokenResponse>("/auth/token", { method: "POST", form })
  },
  logout: async () => {
    await call<void>("/auth/logout", { method: "POST" })
    location.assign("/auth/login")
  },
  users: (q: string, cursor?: string) => call<Page<UserWithGrants>>(`/auth/users${query({ limit: 50, cursor, q })}`),
  setDisabled: (user: string, disabled: boolean) =>
    call<void>(`/auth/users/${id(user)}`, { method: "PATCH", json: { disabled } satisfies UserPatch }),
  roles: () => call<{ readonly items: ReadonlyArray<Role> }>("/auth/roles"),
  putRole: (name: string, role: RoleInput) => call<void>(`/auth/roles/${id(name)}`, { method: "PUT", json: role }),
  deleteRole: (name: string) => call<void>(`/auth/roles/${id(name)}`, { method: "DELETE" }),
  addGrant: (grant: GrantInput) => call<Grant>("/auth/grants", { method: "POST", json: grant }),
  removeGrant: (grant: string) => call<void>(`/auth/grants/${id(grant)}`, { method: "DELETE" })
}
