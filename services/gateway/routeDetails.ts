/** What the gateway's own routes say of themselves in its OpenAPI description; words and schemas only, must decide nothing. */
import { Schema } from "effect"
import {
  accessTokenType,
  exchangeGrantType,
  Grant,
  GrantPage,
  jwtTokenType,
  Me,
  Role,
  RoleList,
  SessionPage,
  sessionGrantType,
  TokenResponse,
  User,
  UserPage
} from "#shared/api/auth.ts"
import { detail } from "#shared/openApi.ts"

const login = "login"
const sessions = "sessions"
const tokens = "tokens"
const rights = "users and rights"

const text = Schema.optionalKey(Schema.String)
const Anything = Schema.Record(Schema.String, Schema.Unknown)
const html = (description: string) => ({ type: "text/html", description })

export const routeDetails = {
  style: detail({
    summary: "The style sheet of the gateway's pages",
    tag: login,
    open: true,
    answers: { 200: { type: "text/css", description: "CSS" } }
  }),
  login: detail({
    summary: "Log in, at a chosen provider or by choosing one",
    description: "`return_to` is a path here to go to afterwards; `login_hint` is passed on to the provider.",
    tag: login,
    open: true,
    answers: { 200: html("The providers to choose from"), 302: "To the provider" },
    problems: [404, 422, 503]
  }),
  callback: detail({
    summary: "Where a provider sends the browser back to; not for clients",
    tag: login,
    open: true,
    answers: { 302: "Logged in: to where the login began" },
    problems: [400, 401, 403, 404, 503]
  }),
  logoutPage: detail({
    summary: "Asks whether to log out",
    tag: login,
    open: true,
    answers: { 200: html("A button") }
  }),
  logout: detail({
    summary: "End this session",
    tag: login,
    answers: { 204: "Logged out", 303: "Logged out: a browser goes to the login" }
  }),
  me: detail({
    summary: "Who am I, and what may I do here",
    tag: sessions,
    answers: { 200: Me }
  }),
  sessions: detail({
    summary: "My browser sessions and token families",
    tag: sessions,
    answers: { 200: SessionPage },
    problems: [400, 422]
  }),
  endSession: detail({
    summary: "End one of my sessions, and every token of it",
    tag: sessions,
    answers: { 204: "Ended" },
    problems: [404, 422]
  }),
  token: detail({
    summary: "An access token, for a browser session, a refresh token or a workload's identity (RFC 6749, RFC 8693)",
    description: `\`grant_type\` is \`refresh_token\`, or \`${sessionGrantType}\` with a browser session's cookie, or \`${exchangeGrantType}\` with a workload's \`subject_token\`: a Kubernetes service account token with the audience \`gateway.<environment>\`, or an assertion signed with the workload's own key. \`scope\` confines the token to some \`<service>:<action>\`; \`offline_access\` in it asks for a refresh token. A refusal also has the fields of RFC 6749 §5.2.`,
    tag: tokens,
    open: true,
    form: Schema.Struct({
      grant_type: Schema.Literals(["refresh_token", sessionGrantType, exchangeGrantType]),
      refresh_token: text,
      subject_token: text,
      subject_token_type: Schema.optionalKey(Schema.Literal(jwtTokenType)),
      requested_token_type: Schema.optionalKey(Schema.Literal(accessTokenType)),
      audience: text,
      resource: text,
      scope: text,
      label: text
    }),
    answers: { 200: TokenResponse },
    problems: [400, 401, 403, 503]
  }),
  revoke: detail({
    summary: "End the token family of a token (RFC 7009)",
    tag: tokens,
    open: true,
    form: Schema.Struct({ token: Schema.String }),
    answers: { 200: "The token is of no use, whether or not it was before" },
    problems: [400, 503]
  }),
  users: detail({
    summary: "Users with their grants; needs auth:read",
    description: "`q` looks for a part of the name, the e-mail or the subject.",
    tag: rights,
    answers: { 200: UserPage },
    problems: [400, 422]
  }),
  changeUser: detail({
    summary: "Disable a user, or enable them again; needs auth:write",
    tag: rights,
    answers: { 200: User },
    problems: [400, 404, 409, 413, 415, 422]
  }),
  roles: detail({ summary: "Roles with their rights; needs auth:read", tag: rights, answers: { 200: RoleList } }),
  putRole: detail({
    summary: "Create or replace a role; needs auth:write",
    tag: rights,
    answers: { 200: Role },
    problems: [400, 409, 413, 415, 422]
  }),
  deleteRole: detail({
    summary: "Delete a role that is not built in; needs auth:write",
    tag: rights,
    answers: { 204: "Deleted" },
    problems: [404, 409, 422]
  }),
  grants: detail({
    summary: "Who holds which role where; needs auth:read",
    tag: rights,
    answers: { 200: GrantPage },
    problems: [400, 422]
  }),
  grant: detail({
    summary: "Give a user a role in an environment; needs auth:write",
    tag: rights,
    headers: { "Idempotency-Key": "1 to 200 printable characters; a repetition answers as the first" },
    answers: { 200: Grant, 201: Grant },
    problems: [400, 409, 413, 415, 422]
  }),
  revokeGrant: detail({
    summary: "Take a grant back; needs auth:write",
    tag: rights,
    answers: { 204: "Taken back" },
    problems: [404, 409]
  }),
  jwks: detail({
    summary: "The public keys of the tokens (RFC 7517)",
    tag: tokens,
    open: true,
    answers: { 200: Schema.Struct({ keys: Schema.Array(Anything) }), 304: "As the ETag says: unchanged" },
    problems: [503]
  }),
  metadata: detail({
    summary: "What the token endpoints can do (RFC 8414)",
    tag: tokens,
    open: true,
    answers: { 200: Anything }
  }),
  openapi: detail({
    summary: "This description: the gateway's and that of each service the caller may use",
    description: "`x-gatehouse-unavailable` names the routes whose service could not be asked, and why.",
    tag: "description",
    answers: { 200: Anything }
  })
}
