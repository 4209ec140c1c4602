/** What was seen before something was proposed: the failing container in words, its last lines, events, and what the bad revision changed. */
import type { Evidence } from "#shared/api/admin.ts"
import { classWords, exitInWords, reasonInWords } from "../words.ts"
import { Changes } from "./Changes.tsx"
import { EventList } from "./EventList.tsx"
import { LogLines } from "./LogLines.tsx"
import { Time } from "./Table.tsx"

const className = (name: string) =>
  Object.hasOwn(classWords, name) ? classWords[name as keyof typeof classWords] : name

const newestFirst = (one: Evidence["events"][number], other: Evidence["events"][number]) =>
  (other.at ?? "").localeCompare(one.at ?? "")

export const EvidenceView = ({ evidence }: { readonly evidence: Evidence }) => {
  const { changes, container, events, exitCode, lastGoodRevision, previousLog, reason, revision } = evidence
  const words = reasonInWords(reason)
  return (
    <div class="evidence">
      <section class="card" aria-label="What was seen">
        <h2>What was seen</h2>
        <dl class="facts-list">
          <div>
            <dt>Finding</dt>
            <dd>
              {className(evidence.class)}
              {words === undefined ? "" : `: ${container === null ? "a container" : `“${container}”`} ${words}`}
            </dd>
          </div>
          <div>
            <dt>Container</dt>
            <dd>
              <code>{container ?? "–"}</code>
            </dd>
          </div>
          <div>
            <dt>Reason</dt>
            <dd>
              <code>{reason}</code>
            </dd>
          </div>
          <div>
            <dt>Exit code</dt>
            <dd>
              {exitCode === null ? (
                "–"
              ) : (
                <>
                  <b>{exitCode}</b> <span class="muted">{exitInWords(exitCode)}</span>
                </>
              )}
            </dd>
          </div>
          <div>
            <dt>Restarts</dt>
            <dd>
              {evidence.restarts} in {evidence.podCount === 1 ? "1 pod" : `${evidence.podCount} pods`}
            </dd>
          </div>
          <div>
            <dt>First seen</dt>
            <dd>
              <Time at={evidence.firstSeenAt} />
            </dd>
          </div>
          <div>
            <dt>Revisions</dt>
            <dd>
              {revision === null ? "–" : `${revision} fails`}
              {lastGoodRevision === null ? "" : `, ${lastGoodRevision} was the last good one`}
            </dd>
          </div>
        </dl>
      </section>
      <section class="card" aria-label="Last lines before the crash">
        <h2>Last lines before the crash</h2>
        <LogLines lines={previousLog} empty="The previous container has written nothing." />
      </section>
      <section class="card" aria-label="Template changes">
        <h2>
          {lastGoodRevision === null
            ? "What the failing revision changed"
            : `What an undo to revision ${lastGoodRevision} changes`}
        </h2>
        <Changes changes={changes} empty="The templates do not differ." />
      </section>
      <section class="card" aria-label="Events">
        <h2>Events</h2>
        <EventList events={events.toSorted(newestFirst)} />
      </section>
    </div>
  )
}
