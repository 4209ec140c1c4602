/** The route of backups: what there is and what was proven; must start nothing, which is a job's to do. */
import { Effect } from "effect"
import { Elysia } from "elysia"
import { BackupList } from "#shared/api/scheduler.ts"
import { Unavailable } from "#shared/domain/errors.ts"
import type { Run } from "#shared/http.ts"
import { detail } from "#shared/openApi.ts"
import { BackupReport } from "./BackupReport.ts"

const list = BackupReport.use((report) => report.list).pipe(
  Effect.map((found) => Response.json(found, { headers: { "cache-control": "no-store" } })),
  Effect.catchTag("BackupFailed", () =>
    Effect.fail(new Unavailable({ dependency: "backup folder", retryAfterSeconds: 60 }))
  )
)

export const backupRoutes = (run: Run<BackupReport>) =>
  new Elysia().get("/jobs/backups", ({ request }) => run(request, list), {
    detail: detail({
      summary: "Backups of the databases, newest first, and how old the newest is that a drill has restored",
      description: "Made by jobs of the kind `database.backup`, proven by those of the kind `database.drill`.",
      tag: "scheduler",
      answers: { 200: BackupList },
      problems: [503]
    })
  })
