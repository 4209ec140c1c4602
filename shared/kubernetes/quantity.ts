/** Kubernetes quantities (`500m`, `0.5`, `1Gi`) by their value; pure. */

const decimal: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, "": 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 }
const binary: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 }

const form = /^([+-]?)(\d*)(?:\.(\d*))?(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?$/u

/** Billionths of the unit, the finest a quantity can be (finer is rounded up); undefined where `text` is no quantity. */
export const quantityOf = (text: string): bigint | undefined => {
  const [, sign, whole, fraction = "", suffix = "", exponent] = form.exec(text) ?? []
  if (whole === undefined || whole + fraction === "") return undefined
  const ten = 9 + (exponent === undefined ? (decimal[suffix] ?? 0) : Number(exponent)) - fraction.length
  const two = binary[suffix] ?? 0
  const digits = BigInt(whole + fraction) << BigInt(two)
  const divisor = ten < 0 ? 10n ** BigInt(-ten) : 1n
  const scaled = digits * (ten > 0 ? 10n ** BigInt(ten) : 1n)
  const value = scaled / divisor + (scaled % divisor === 0n ? 0n : 1n)
  return sign === "-" ? -value : value
}

/** Whether both are the same amount; text that is no quantity is compared as text. */
export const sameQuantity = (a: string, b: string): boolean => {
  const [left, right] = [quantityOf(a), quantityOf(b)]
  return left === undefined || right === undefined ? a === b : left === right
}
