/** Which environment this page acts on, in words and colour; production must be unmistakable with either alone. */
const names: Readonly<Record<string, string>> = { prod: "Production", nightly: "Nightly", dev: "Development" }

const kindOf = (environment: string) => (Object.hasOwn(names, environment) ? environment : "other")

export const EnvironmentBadge = ({ environment }: { readonly environment: string }) => (
  <span class={`environment environment-${kindOf(environment)}`} title="The environment this page acts on">
    <b>{environment}</b>
    {Object.hasOwn(names, environment) ? <span>{names[environment]}</span> : null}
  </span>
)

/** Only production has one: an edge that is in sight wherever the page is scrolled to. */
export const EnvironmentEdge = ({ environment }: { readonly environment: string }) =>
  environment === "prod" ? <div class="environment-edge" aria-hidden="true" /> : null
