/** JSON as jsonb takes it; must parse nothing. */

/** What JSON can escape and jsonb cannot hold: NUL, and halves of surrogate pairs. */
const unholdable = /\\u(?:0000|d[89a-f][0-9a-f]{2})/giu

/** The value as JSON text, what jsonb cannot hold replaced by U+FFFD. */
export const jsonText = (value: unknown): string => JSON.stringify(value).replaceAll(unholdable, "\\ufffd")
