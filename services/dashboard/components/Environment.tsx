/** Which environment this page acts on, in words and colour; production must be unmistakable with either alone. */
const kinds = new Set(["prod", "nightly", "dev"])

export const EnvironmentBadge = ({ environment }: { readonly environment: string }) => (
  <span class={`environment environment-${kinds.has(environment) ? environment : "other"}`}>
    <b>{environment}</b>
    <span>{environment === "prod" ? "production" : "environment"}</span>
  </span>
)

/** Only production has one: an edge that is in sight wherever the page is scrolled to. */
export const EnvironmentEdge = ({ environment }: { readonly environment: string }) =>
  environment === "prod" ? <div class="environment-edge" aria-hidden="true" /> : null
