/** A browser without a screen: fetch with a cookie jar and redirects followed by hand, so that a test sees each step; must know no page. */

export interface Jar {
  /** One request with the jar's cookies; answers are stored, redirects are not followed. */
  readonly visit: (url: string, init?: RequestInit) => Promise<Response>
  /** Follows redirects (at most ten) from `url`; gives the last answer and where it came from. */
  readonly follow: (url: string) => Promise<{ readonly response: Response; readonly url: string }>
  readonly cookie: (name: string) => string | undefined
}

/** How a test reaches servers: by their names, or, where these are known to nobody else, by a way of its own. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>

/** Cookies by host and port, as a browser would not mix them between two servers that share a machine's name. */
export const makeJar = (reach: Fetch = fetch): Jar => {
  const cookies = new Map<string, Map<string, string>>()
  const of = (url: string) => {
    const { host } = new URL(url)
    const known = cookies.get(host) ?? new Map<string, string>()
    cookies.set(host, known)
    return known
  }
  const visit = async (url: string, init: RequestInit = {}) => {
    const mine = of(url)
    const headers = new Headers(init.headers)
    if (mine.size > 0) headers.set("cookie", [...mine].map(([name, value]) => `${name}=${value}`).join("; "))
    const response = await reach(url, { ...init, headers, redirect: "manual" })
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(";").map((part) => part.trim())
      const equals = pair.indexOf("=")
      const gone = attributes.some(
        (attribute) => /^max-age=0$/iu.test(attribute) || /^expires=Thu, 01 Jan 1970/iu.test(attribute)
      )
      if (gone) mine.delete(pair.slice(0, equals))
      else mine.set(pair.slice(0, equals), pair.slice(equals + 1))
    }
    return response
  }
  return {
    visit,
    follow: async (start) => {
      let url = start
      for (let hop = 0; hop < 10; hop++) {
        const response = await visit(url, { headers: { accept: "text/html" } })
        const location = response.headers.get("location")
        if (location === null) return { response, url }
        await response.body?.cancel()
        url = new URL(location, url).href
      }
      throw new Error(`more than ten redirects from ${start}`)
    },
    cookie: (name) => [...cookies.values()].map((jar) => jar.get(name)).find((value) => value !== undefined)
  }
}

/** Which way a person comes in. */
export interface Way {
  /** The provider's id in the gateway's settings; the development provider unless told. */
  readonly provider?: string
  readonly fetch?: Fetch
}

/** Logs a demo user in through the development provider and gives an access token for them. */
export const logInAs = async (
  origin: string,
  user: string,
  way: Way = {}
): Promise<{ readonly jar: Jar; readonly token: string }> => {
  const jar = makeJar(way.fetch)
  const query = `provider=${way.provider ?? "dev"}&login_hint=${user}&return_to=/auth/me`
  const { response, url } = await jar.follow(`${origin}/auth/login?${query}`)
  await response.body?.cancel()
  const answer = await jar.visit(`${origin}/auth/token`, {
    method: "POST",
    headers: { origin },
    body: new URLSearchParams({ grant_type: "urn:gatehouse:grant-type:session" })
  })
  if (!answer.ok) {
    const end = `${response.status} at ${url.split("?")[0]}`
    throw new Error(`no token for ${user}: ${answer.status} ${await answer.text()}; the login ended with ${end}`)
  }
  const { access_token: token } = (await answer.json()) as { readonly access_token: string }
  return { jar, token }
}

/** GET with a bearer token. */
export const get = (url: string, token: string): Promise<Response> =>
  fetch(url, { headers: { authorization: `Bearer ${token}` } })
