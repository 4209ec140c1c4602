/** Asks for scopes, makes an access token and shows it once; must forget it when the dialog closes. */
import { useId, useState } from "preact/hooks"
import type { Me, TokenResponse } from "#shared/api/auth.ts"
import { api } from "../../api.ts"
import { Dialog, ErrorLine, useAction } from "../../components/Dialog.tsx"
import { CopyField } from "../../components/CopyField.tsx"
import { everything, scopesOf } from "../../rights.ts"

interface NewTokenProps {
  readonly me: Me
  readonly onClose: () => void
  readonly onCreated: () => void
}

export const NewToken = ({ me, onClose, onCreated }: NewTokenProps) => {
  const [token, setToken] = useState<TokenResponse>()
  return token === undefined ? (
    <Form
      me={me}
      onClose={onClose}
      onToken={(made) => {
        setToken(made)
        onCreated()
      }}
    />
  ) : (
    <Shown token={token} onClose={onClose} />
  )
}

interface FormProps {
  readonly me: Me
  readonly onClose: () => void
  readonly onToken: (token: TokenResponse) => void
}

const Form = ({ me, onClose, onToken }: FormProps) => {
  const offered = scopesOf(me)
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(offered.slice(0, 1)))
  const [label, setLabel] = useState("")
  const [refresh, setRefresh] = useState(false)
  const { busy, error, run } = useAction()
  const labelId = useId()

  const toggle = (scope: string, on: boolean) => {
    const next = new Set(chosen)
    if (on) next.add(scope)
    else next.delete(scope)
    setChosen(next)
  }
  const submit = (event: Event) => {
    event.preventDefault()
    void run(async () =>
      onToken(
        await api.createToken({
          scopes: chosen.has(everything) ? [everything] : [...chosen],
          label: label.trim(),
          refresh
        })
      )
    )
  }

  return (
    <Dialog title="New access token" onClose={onClose}>
      <form onSubmit={submit}>
        <div class="dialog-body">
          <fieldset class="field">
            <legend>What it may do</legend>
            {offered.length === 0 ? <p>You hold no right that a token could carry.</p> : null}
            <div class="checks">
              {offered.map((scope) => (
                <label key={scope} class="check">
                  <input
                    type="checkbox"
                    checked={chosen.has(scope) || chosen.has(everything)}
                    disabled={chosen.has(everything)}
                    onChange={(event) => toggle(scope, event.currentTarget.checked)}
                  />
                  <code>{scope}</code>
                </label>
              ))}
              {offered.length === 0 ? null : (
                <label class="check check-all">
                  <input
                    type="checkbox"
                    checked={chosen.has(everything)}
                    onChange={(event) => toggle(everything, event.currentTarget.checked)}
                  />
                  <span>Everything I may do</span>
                </label>
              )}
            </div>
          </fieldset>
          <div class="field">
            <label for={labelId}>
              Label <small>optional, to recognise it in the list</small>
            </label>
            <input
              id={labelId}
              value={label}
              maxLength={100}
              placeholder="Laptop script"
              autocomplete="off"
              onInput={(event) => setLabel(event.currentTarget.value)}
            />
          </div>
          <fieldset class="field">
            <legend>How long</legend>
            <label class="check">
              <input type="radio" name="life" checked={!refresh} onChange={() => setRefresh(false)} />
              <span>
                10 minutes <small>An access token alone. It ends by itself and is not listed.</small>
              </span>
            </label>
            <label class="check">
              <input type="radio" name="life" checked={refresh} onChange={() => setRefresh(true)} />
              <span>
                Until ended <small>With a refresh token that gets new ones. It is listed, and you can end it.</small>
              </span>
            </label>
          </fieldset>
        </div>
        <ErrorLine error={error} />
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button button-primary" disabled={busy || chosen.size === 0}>
            Create token
          </button>
        </footer>
      </form>
    </Dialog>
  )
}

const Shown = ({ onClose, token }: { readonly token: TokenResponse; readonly onClose: () => void }) => {
  const path = /(?:monitor:read|\*:\*)/u.test(token.scope) ? "/monitor/host" : "/auth/me"
  const refreshToken = token.refresh_token
  return (
    <Dialog title="Your access token" onClose={onClose}>
      <div class="dialog-body">
        <p class="hint">
          It is shown only now and kept nowhere in this browser. It lasts {Math.round(token.expires_in / 60)} minutes
          and may do {token.scope === everything ? "everything you may" : <code>{token.scope}</code>} in{" "}
          <b>{token.env}</b>.
        </p>
        <CopyField label="Access token" value={token.access_token} />
        <CopyField
          label="Try it"
          value={`curl -H "Authorization: Bearer ${token.access_token}" ${location.origin}${path}`}
        />
        {refreshToken === undefined ? null : (
          <>
            <CopyField label="Refresh token" value={refreshToken} />
            <CopyField
              label="Get the next one"
              value={`curl -d grant_type=refresh_token -d refresh_token=${refreshToken} ${location.origin}/auth/token`}
            />
            <p class="hint">Each refresh gives a new refresh token and ends the one before.</p>
          </>
        )}
      </div>
      <footer class="dialog-foot">
        <button type="button" class="button button-primary" onClick={onClose}>
          Done
        </button>
      </footer>
    </Dialog>
  )
}
