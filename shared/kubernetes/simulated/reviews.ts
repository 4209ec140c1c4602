/** Virtual resources that are only posted: token and access reviews, service account tokens; everybody may do everything here. */
import { randomUUID } from "node:crypto"
import { kinds } from "./kinds.ts"
import { badRequest, notFound } from "./refusal.ts"
import type { Store } from "./store.ts"
import { stampOf, type Timeline } from "./timeline.ts"
import { type Fields, intAt, isFields, listAt, textAt, uidOf, type Value } from "./values.ts"

/** Tokens of this simulation say whose they are; they prove nothing outside of it. */
const tokenPrefix = "simulated."

interface Claims {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly audiences: ReadonlyArray<string>
  readonly expires: number
}

const encode = (claims: Claims) =>
  `${tokenPrefix}${Buffer.from(JSON.stringify({ ...claims, id: randomUUID() })).toString("base64url")}`

const decode = (token: string): Fields | undefined => {
  if (!token.startsWith(tokenPrefix)) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(token.slice(tokenPrefix.length), "base64url").toString("utf8"))
    return isFields(value) ? value : undefined
  } catch {
    return undefined
  }
}

const clusterAudience = "https://kubernetes.default.svc.cluster.local"

const tokenReview = (body: Fields, store: Store, timeline: Timeline): Fields => {
  const claims = decode(textAt(body, "spec", "token"))
  const asked = listAt(body, "spec", "audiences")
  const wanted = asked.length === 0 ? [clusterAudience] : asked
  const audiences = listAt(claims, "audiences").filter((one) => wanted.includes(one))
  const account = store.get(kinds.ServiceAccount, textAt(claims, "namespace"), textAt(claims, "name"))
  const genuine =
    account !== undefined && uidOf(account) === textAt(claims, "uid") && intAt(claims, "expires") > timeline.now()
  const status: Fields =
    genuine && audiences.length > 0
      ? {
          authenticated: true,
          user: {
            username: `system:serviceaccount:${textAt(claims, "namespace")}:${textAt(claims, "name")}`,
            uid: textAt(claims, "uid"),
            groups: [
              "system:serviceaccounts",
              `system:serviceaccounts:${textAt(claims, "namespace")}`,
              "system:authenticated"
            ]
          },
          audiences
        }
      : { user: {}, error: "invalid bearer token" }
  return { ...body, status }
}

const tokenRequest = (namespace: string, name: string, body: Fields, store: Store, timeline: Timeline): Fields => {
  const account = store.get(kinds.ServiceAccount, namespace, name)
  if (account === undefined) throw notFound(kinds.ServiceAccount, name)
  const seconds = intAt(body, "spec", "expirationSeconds") || 3600
  if (seconds < 600) throw badRequest("may not specify a duration less than 10 minutes")
  const asked = listAt(body, "spec", "audiences").filter((one): one is string => typeof one === "string")
  const audiences = asked.length === 0 ? [clusterAudience] : asked
  const expires = timeline.now() + seconds * 1000
  return {
    ...body,
    spec: { audiences, expirationSeconds: seconds },
    status: {
      token: encode({ namespace, name, uid: uidOf(account), audiences, expires }),
      expirationTimestamp: stampOf(expires)
    }
  }
}

/** The answer to a POST of `path`, or undefined where it is none of these. */
export const review = (
  path: string,
  read: () => Promise<Value>,
  store: Store,
  timeline: Timeline
): Promise<Fields> | undefined => {
  const body = async (): Promise<Fields> => {
    const value = await read()
    if (!isFields(value)) throw badRequest("the body is no object")
    return value
  }
  if (path === "/apis/authentication.k8s.io/v1/tokenreviews") {
    return body().then((found) => tokenReview(found, store, timeline))
  }
  if (/^\/apis\/authorization\.k8s\.io\/v1\/(?:self|local)?subjectaccessreviews$/u.test(path)) {
    return body().then((found) => ({ ...found, status: { allowed: true } }))
  }
  const token = /^\/api\/v1\/namespaces\/([^/]+)\/serviceaccounts\/([^/]+)\/token$/u.exec(path)
  if (token === null) return undefined
  return body().then((found) =>
    tokenRequest(decodeURIComponent(token[1]!), decodeURIComponent(token[2]!), found, store, timeline)
  )
}
