/** A map with a bound, for caches fed by strangers; must not be used where an entry may not be lost. */

/** A map that forgets its oldest entry past `capacity`. */
export class BoundedMap<V> {
  readonly #entries = new Map<string, V>()
  readonly #capacity: number
  constructor(capacity: number) {
    this.#capacity = capacity
  }
  get(key: string): V | undefined {
    return this.#entries.get(key)
  }
  set(key: string, value: V): void {
    if (this.#entries.size >= this.#capacity && !this.#entries.has(key)) {
      const oldest = this.#entries.keys().next()
      if (oldest.done !== true) this.#entries.delete(oldest.value)
    }
    this.#entries.set(key, value)
  }
  delete(key: string): void {
    this.#entries.delete(key)
  }
  clear(): void {
    this.#entries.clear()
  }
  get size(): number {
    return this.#entries.size
  }
  entries(): IterableIterator<[string, V]> {
    return this.#entries.entries()
  }
}
