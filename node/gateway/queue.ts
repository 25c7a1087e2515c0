/** A first-in, first-out queue without shifting: what is taken is cut off now and then. */
const CUT = 1024

export class Queue<T> {
  #items: T[] = []
  #first = 0

  get length(): number {
    return this.#items.length - this.#first
  }

  push(item: T): void {
    this.#items.push(item)
  }

  peek(): T | undefined {
    return this.#items[this.#first]
  }

  take(): T | undefined {
    const item = this.#items[this.#first]
    if (item === undefined) return undefined
    this.#first++
    if (this.#first === this.#items.length) {
      this.#items = []
      this.#first = 0
    } else if (this.#first >= CUT) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    return item
  }

  some(test: (item: T) => boolean): boolean {
    return this.#items.slice(this.#first).some(test)
  }

  /** Puts the items before everything that is queued, in their order. */
  putFirst(items: readonly T[]): void {
    this.#items = [...items, ...this.#items.slice(this.#first)]
    this.#first = 0
  }

  /** Removes and returns what the test chooses; the rest keeps its order. */
  extract(test: (item: T) => boolean): T[] {
    const taken: T[] = []
    const kept: T[] = []
    for (let i = this.#first; i < this.#items.length; i++) {
      const item = this.#items[i] as T
      if (test(item)) taken.push(item)
      else kept.push(item)
    }
    if (taken.length > 0) {
      this.#items = kept
      this.#first = 0
    }
    return taken
  }
}
