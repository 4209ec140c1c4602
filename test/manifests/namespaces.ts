/** Which namespaces an environment has; must know no object in them. */
import { environments } from "./render.ts"

export const namespacesOf = (environment: string): ReadonlyArray<string> => [environment, `${environment}-monitoring`]

export const environmentNamespaces: ReadonlyArray<string> = environments.flatMap(namespacesOf)

export const isEnvironmentNamespace = (namespace: string): boolean => environmentNamespaces.includes(namespace)
