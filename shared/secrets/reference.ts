/** The one way to name a secret, `secret://path#key`; pure, must not know where secrets are kept. */

/** `key` of the secret at `path`, as it is now or, where the store keeps versions, as it was in `version`. */
export interface SecretReference {
  readonly path: string
  readonly key: string
  readonly version: number | undefined
}

/** No segment starts with a dot: neither the way up nor the folders that the kubelet swaps can be named. */
const segment = "[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}"
const shape = new RegExp(
  `^secret://(${segment}(?:/${segment}){0,15})(?:\\?version=([1-9][0-9]{0,8}))?#(${segment})$`,
  "u"
)

/** What a reference looks like, for messages. */
export const referenceShape = "secret://path#key, or secret://path?version=2#key"

/** Undefined if it is none. */
export const parseReference = (text: string): SecretReference | undefined => {
  const [, path, version, key] = shape.exec(text) ?? []
  if (path === undefined || key === undefined) return undefined
  return { path, key, version: version === undefined ? undefined : Number(version) }
}

/** A reference as it is written; it may be logged. */
export const referenceText = ({ key, path, version }: SecretReference): string =>
  `secret://${path}${version === undefined ? "" : `?version=${version}`}#${key}`
