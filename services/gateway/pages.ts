/** The few HTML pages the gateway shows itself: login, error, logout; no script, one style sheet, every value escaped. */
import type { Problem } from "#shared/api/problem.ts"

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}
const escape = (text: string) => text.replaceAll(/[&<>"']/gu, (char) => entities[char]!)

export const styleSheetPath = "/auth/style.css"

/** One look for all pages, dark and light. */
export const styleSheet = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6878; --ground: #f4f6f8; --card: #fff; --line: #d9dfe6; --accent: #0b6bcb; --on-accent: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf1; --soft: #9aa7b6; --ground: #10151b; --card: #181f28; --line: #2b3541; --accent: #5aa9f5; --on-accent: #08131f } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 26rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 2rem }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; letter-spacing: -.01em }
p { margin: .5rem 0; color: var(--soft); overflow-wrap: anywhere }
.brand { display: flex; gap: .5rem; align-items: center; font-weight: 600; color: var(--soft); margin-bottom: 1.25rem }
.environment { margin-left: auto; border: 1px solid currentColor; border-radius: 99px; padding: 0 .6rem; font-size: .8rem }
.choices { display: grid; gap: .6rem; margin-top: 1.25rem }
.button { display: block; width: 100%; text-align: center; padding: .7rem 1rem; border-radius: 9px; border: 0; background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; text-decoration: none; cursor: pointer }
.button[aria-disabled=true] { background: var(--line); color: var(--soft); cursor: default }
.button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
code { font-size: .85em }
a { color: var(--accent) }
`

const layout = (title: string, environment: string | undefined, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)} · Gatehouse</title>
<link rel="stylesheet" href="${styleSheetPath}">
</head>
<body>
<main>
<div class="brand">Gatehouse${environment === undefined ? "" : `<span class="environment">${escape(environment)}</span>`}</div>
${body}
</main>
</body>
</html>
`

export interface LoginChoice {
  readonly id: string
  readonly label: string
  readonly available: boolean
}

/** The login page: one button for each provider; one that is away says so and cannot be chosen. */
export const loginPage = (environment: string, choices: ReadonlyArray<LoginChoice>, returnTo: string): string => {
  const buttons = choices.map(({ available, id, label }) =>
    available
      ? `<a class="button" href="/auth/login?provider=${encodeURIComponent(id)}&amp;return_to=${encodeURIComponent(returnTo)}">Continue with ${escape(label)}</a>`
      : `<span class="button" aria-disabled="true">${escape(label)} is not reachable; reload in a moment</span>`
  )
  const body =
    buttons.length === 0
      ? `<p>No identity provider is configured.</p>`
      : `<div class="choices">\n${buttons.join("\n")}\n</div>`
  return layout("Log in", environment, `<h1>Log in</h1>\n<p>to the ${escape(environment)} environment</p>\n${body}`)
}

/** Asks before it logs out, because a link alone must not. */
export const logoutPage = (environment: string): string =>
  layout(
    "Log out",
    environment,
    `<h1>Log out?</h1>\n<form method="post" action="/auth/logout"><div class="choices"><button class="button">Log out</button></div></form>`
  )

/** An error for people: what it is, what they can do, and the id to quote. */
export const errorPage = (problem: Problem, requestId: string): string => {
  const again = problem.status === 400 || problem.status === 401 || problem.status === 503
  const next = again
    ? `<div class="choices"><a class="button" href="/auth/login">Log in again</a></div>`
    : `<div class="choices"><a class="button" href="/">Go to the start page</a></div>`
  return layout(
    problem.title,
    undefined,
    `<h1>${escape(problem.title)}</h1>\n<p>${escape(problem.detail ?? "")}</p>\n${next}\n<p>Request <code>${escape(requestId)}</code></p>`
  )
}
