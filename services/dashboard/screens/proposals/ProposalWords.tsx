/** A proposal in words: what would be done, to what, and how long there is to decide; must offer no button. */
import type { Proposal } from "#shared/api/admin.ts"
import { Badge } from "../../components/Badge.tsx"
import { fullTime } from "../../format.ts"
import { proposalWords } from "../../words.ts"

type Act = Pick<Proposal, "action" | "target" | "toRevision">

/** "Undo Deployment web to revision 4" */
export const actOf = ({ action, target, toRevision }: Act): string =>
  action === "restart"
    ? `Restart ${target.kind} ${target.name}`
    : `Undo ${target.kind} ${target.name}${toRevision === null ? "" : ` to revision ${toRevision}`}`

export const ProposalBadge = ({ proposal }: { readonly proposal: Proposal }) => {
  const [tone, word] = proposalWords[proposal.state]
  return (
    <Badge tone={tone} title={proposal.message === "" ? undefined : proposal.message}>
      {word}
    </Badge>
  )
}

const pad = (value: number) => String(value).padStart(2, "0")

/** "2 h 05 min", "4 min 09 s" left; the end itself on hover. */
export const Countdown = ({ at, now }: { readonly at: string; readonly now: number }) => {
  const left = Math.floor((Date.parse(at) - now) / 1000)
  const text =
    left <= 0
      ? "expired"
      : left >= 3600
        ? `${Math.floor(left / 3600)}\u202fh ${pad(Math.floor(left / 60) % 60)}\u202fmin left`
        : `${Math.floor(left / 60)}\u202fmin ${pad(left % 60)}\u202fs left`
  return (
    <time class={left < 900 ? "countdown countdown-soon" : "countdown"} dateTime={at} title={`Expires ${fullTime(at)}`}>
      {text}
    </time>
  )
}
