/** Approves or rejects a proposal with a reason; sends the digest that was on the page when the dialog opened. */
import { useState } from "preact/hooks"
import type { Proposal } from "#shared/api/admin.ts"
import { adminApi } from "../../adminApi.ts"
import { ActDialog, useIntent } from "../../components/Act.tsx"
import { Changes } from "../../components/Changes.tsx"
import { Message } from "../../components/Messages.tsx"
import { actOf } from "./ProposalWords.tsx"

interface DecideProps {
  readonly decision: "approve" | "reject"
  readonly proposal: Proposal
  readonly typed: string
  readonly onClose: () => void
  readonly onDecided: () => Promise<void>
}

export const Decide = ({ decision, onClose, onDecided, proposal, typed }: DecideProps) => {
  const intent = useIntent()
  // What the person has read is what they decide on, whatever the stream brings meanwhile.
  const [shown] = useState(proposal)
  const overtaken = proposal.digest !== shown.digest || proposal.state !== "pending"
  const { digest, evidence, id, target } = shown
  if (decision === "reject") {
    return (
      <ActDialog
        title="Reject this proposal?"
        verb="Reject"
        danger
        typed={typed}
        onClose={onClose}
        onAct={async (reason) => {
          await adminApi.reject(id, reason, intent({ id, reason }))
          await onDecided()
        }}
      >
        <p>
          <b>{actOf(shown)}</b> is not done. The same is not proposed again for a while.
        </p>
      </ActDialog>
    )
  }
  return (
    <ActDialog
      title={shown.action === "undo" ? "Approve this undo?" : "Approve this restart?"}
      verb="Approve"
      wide
      typed={typed}
      ready={!overtaken}
      onClose={onClose}
      onAct={async (reason) => {
        await adminApi.approve(id, digest, reason, intent({ id, digest, reason }))
        await onDecided()
      }}
    >
      {overtaken ? (
        <Message icon="warning" title="This has changed while you read it">
          <p>Close this and look at it again.</p>
        </Message>
      ) : null}
      <p>
        <b>{actOf(shown)}</b> in <b>{target.namespace}</b> is done at once, and the approval is recorded with your name.
        It is refused if the workload has changed since.
      </p>
      {shown.action === "undo" ? (
        <div class="preview">
          <h3>What changes</h3>
          <Changes changes={evidence.changes} />
          <p class="hint">Replicas, ConfigMaps and Secrets stay as they are.</p>
        </div>
      ) : null}
    </ActDialog>
  )
}
