/** The bytes of one file of a memory disk. */
export const PAGE_BYTES = 4096

/** The bytes of one file, by pages; a page that is absent is a hole. */
export class Content {
  readonly pages = new Map<number, Uint8Array>()
  size = 0
  /** Pages that no clone shares; the others are copied before they change. */
  readonly #own = new Set<number>()

  clone(): Content {
    const copy = new Content()
    for (const [number, page] of this.pages) copy.pages.set(number, page)
    copy.size = this.size
    this.#own.clear()
    return copy
  }

  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.size - position))
    forPages(position, length, (number, at, done, some) => {
      const page = this.pages.get(number)
      if (page === undefined) target.fill(0, done, done + some)
      else target.set(page.subarray(at, at + some), done)
    })
    return length
  }

  write(bytes: Uint8Array, position: number): void {
    forPages(position, bytes.length, (number, at, done, some) => {
      this.#page(number).set(bytes.subarray(done, done + some), at)
    })
    this.size = Math.max(this.size, position + bytes.length)
  }

  punch(position: number, length: number): void {
    const end = Math.min(position + length, this.size)
    forPages(position, Math.max(0, end - position), (number, at, _done, some) => {
      if (some === PAGE_BYTES) this.#drop(number)
      else if (this.pages.has(number)) this.#page(number).fill(0, at, at + some)
    })
  }

  truncate(length: number): void {
    if (length < this.size) {
      this.punch(length, this.size - length)
      for (const number of this.pages.keys()) {
        if (number * PAGE_BYTES >= length) this.#drop(number)
      }
    }
    this.size = length
  }

  #drop(number: number): void {
    this.pages.delete(number)
    this.#own.delete(number)
  }

  /** To be changed. */
  #page(number: number): Uint8Array {
    const known = this.pages.get(number)
    if (known !== undefined && this.#own.has(number)) return known
    const page = known?.slice() ?? new Uint8Array(PAGE_BYTES)
    this.pages.set(number, page)
    this.#own.add(number)
    return page
  }
}

function forPages(
  position: number,
  length: number,
  visit: (page: number, at: number, done: number, some: number) => void
): void {
  let done = 0
  while (done < length) {
    const at = (position + done) % PAGE_BYTES
    const some = Math.min(PAGE_BYTES - at, length - done)
    visit(Math.floor((position + done) / PAGE_BYTES), at, done, some)
    done += some
  }
}
