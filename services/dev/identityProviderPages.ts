/** The few pages of the development identity provider as HTML text; must insert nothing unescaped and need no script to work. */
import { createHash } from "node:crypto"
import { builtInRoles } from "#shared/domain/rights.ts"
import type { DemoUser } from "./demoUsers.ts"

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }
export const escapeHtml = (text: string) => text.replaceAll(/[&<>"']/g, (character) => entities[character]!)

const style = `
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5a6675; --paper: #f4f6f8; --card: #fff; --line: #d8dee5; --accent: #0b6b57; --note: #fff4d6; --note-ink: #5f4700 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaef; --soft: #9aa7b5; --paper: #12171d; --card: #1a2129; --line: #2d3743; --accent: #5ecfb1; --note: #33290f; --note-ink: #f0d58a }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: min(30rem, 100%); padding: 1.5rem 1rem }
h1 { font-size: 1.35rem; margin: 1.25rem 0 .25rem }
p { margin: 0 0 1rem; color: var(--soft); overflow-wrap: anywhere }
.note { margin: 0; padding: .6rem .9rem; border-radius: .5rem; background: var(--note); color: var(--note-ink); font-size: .875rem }
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem }
button { width: 100%; display: grid; grid-template-columns: 1fr auto; gap: 0 .75rem; padding: .75rem 1rem; text-align: left; font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; cursor: pointer }
button:hover, button:focus-visible { border-color: var(--accent); outline: 2px solid var(--accent); outline-offset: -1px }
button strong { font-weight: 600 }
button .role { color: var(--accent); font-size: .875rem; align-self: center }
button .may { grid-column: 1 / -1; color: var(--soft); font-size: .875rem }
`

/** Submits the only form of a page; the button in it does the same without scripts. */
const submitScript = "document.forms[0].submit()"

const sourceOf = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/**
 * Headers for every page. No `form-action`: browsers apply it to the redirects that follow a form too, and those lead back to
 * the client.
 */
export const pageHeaders = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "content-security-policy": `default-src 'none'; style-src ${sourceOf(style)}; script-src ${sourceOf(submitScript)}; base-uri 'none'; frame-ancestors 'none'`
}

/** `body` is HTML. */
const page = (title: string, body: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<p class="note" role="note">Development identity provider — anyone on this machine can log in as anyone</p>
<h1>${escapeHtml(title)}</h1>
${body}
</main>
</body>
</html>
`

const mayDo = (user: DemoUser) =>
  builtInRoles.find((role) => role.name === user.role)?.description ?? "Has no role yet: gets in and may do nothing"

/** Who can be chosen for the login that `client` asked for; each button posts its user's id as `account` to this page's address. */
export const loginPage = (client: string, users: ReadonlyArray<DemoUser>) =>
  page(
    "Who do you want to be?",
    `<p>Choose a demo user to log in to ${escapeHtml(client)}.</p>
<form method="post">
<ul>
${users
  .map(
    (user) => `<li><button name="account" value="${escapeHtml(user.id)}">
<strong>${escapeHtml(user.name)}</strong> <span class="role">${escapeHtml(user.role ?? "no role")}</span>
<span class="may">${escapeHtml(mayDo(user))}</span>
</button></li>`
  )
  .join("\n")}
</ul>
</form>`
  )

/** `form` is the library's HTML form; `atOnce` submits it without waiting for the button. */
export const logoutPage = (form: string, atOnce: boolean) =>
  page(
    "Log out",
    `${form}
<button form="op.logoutForm" name="logout" value="yes"><strong>Log out of the development identity provider</strong></button>
${atOnce ? `<script>${submitScript}</script>` : ""}`
  )

/** Any page that only tells something. */
export const messagePage = (title: string, detail: string) => page(title, `<p>${escapeHtml(detail)}</p>`)
