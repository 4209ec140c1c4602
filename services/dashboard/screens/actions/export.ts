/** Actions as a file to take along; a cell that a spreadsheet would run as a formula is made text. */
import type { Action } from "#shared/api/admin.ts"

const columns: ReadonlyArray<readonly [string, (action: Action) => string | number | null | undefined]> = [
  ["id", ({ id }) => id],
  ["created_at", ({ createdAt }) => createdAt],
  ["finished_at", ({ finishedAt }) => finishedAt],
  ["action", ({ action }) => action],
  ["namespace", ({ namespace }) => namespace],
  ["kind", ({ kind }) => kind],
  ["name", ({ name }) => name],
  ["state", ({ state }) => state],
  ["message", ({ message }) => message],
  ["actor", ({ actor }) => actor.name],
  ["actor_id", ({ actor }) => actor.id],
  ["approver", ({ approver }) => approver?.name],
  ["reason", ({ reason }) => reason],
  ["proposal_id", ({ proposalId }) => proposalId],
  ["backup", ({ backup }) => backup],
  ["upstream_status", ({ upstreamStatus }) => upstreamStatus],
  ["rollout", ({ rollout }) => rollout?.phase],
  ["request_id", ({ requestId }) => requestId]
]

/** RFC 4180. Spreadsheets take a leading =, +, -, @, tab or return for a formula, also in quotes (OWASP, CSV injection). */
const cell = (value: string | number | null | undefined): string => {
  const text = String(value ?? "")
  const safe = /^[=+\-@\t\r]/u.test(text) ? `'${text}` : text
  return /[",\r\n]/u.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

export const csvOf = (actions: ReadonlyArray<Action>): string =>
  [columns.map(([name]) => name), ...actions.map((action) => columns.map(([, value]) => cell(value(action))))]
    .map((row) => `${row.join(",")}\r\n`)
    .join("")
