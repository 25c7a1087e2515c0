/**
 * One sector as a linearizable register, with what a crash may take from it.
 *
 *   entries, in the order of the calls:   e0 (zeroes)  e1 acked  e2 failed  e3 acked  e4 open
 *   a read that begins now may see                                          e3        e4
 *
 * Overlapping changes of one attachment take effect in the order of their calls, and attachments
 * follow each other; so once a change was answered, nothing older may be seen. A change that failed
 * or was never answered may have taken effect or not, until a later one was answered.
 *
 * Invariants: `floor` only grows, but for a loss that is allowed (model.ts says which).
 */
export interface Change {
  readonly id: number
  /** What its sectors say afterwards: its id, or 0 for zeroes. */
  readonly value: number
  /** Number of its attachment. */
  readonly attachment: number
  state: 'open' | 'acked' | 'failed'
  /** Place in the order of the answers; what a flush covers. */
  ackOrder: number
  isFua: boolean
}

interface Entry {
  readonly change: Change
  /** It was not there when a read looked that would have had to see it: it never comes. */
  isVoid: boolean
  /** A crash may have taken it although it was answered. */
  mayBeLost: boolean
  /** Found after an attach, which ends with a flush of everything that is there. */
  isDurable: boolean
}

/** What a read must see at least, as of its call. */
export interface Bound {
  readonly acked: number
  readonly seen: Change
}

const UNWRITTEN: Change = {
  id: 0,
  value: 0,
  attachment: 0,
  state: 'acked',
  ackOrder: 0,
  isFua: true
}

export class Register {
  readonly #entries: Entry[] = [
    { change: UNWRITTEN, isVoid: false, mayBeLost: false, isDurable: true }
  ]
  /** The newest answered change, by id; ids follow the order of the calls. */
  #acked = 0
  #seen: Change = UNWRITTEN
  /** Where the last allowed loss may have thrown it back to. */
  #lossFloor = Number.POSITIVE_INFINITY

  called(change: Change): void {
    this.#entries.push({ change, isVoid: false, mayBeLost: false, isDurable: false })
  }

  /** Answered as done. Why that cannot be, or undefined. */
  answered(change: Change): string | undefined {
    const entry = this.#entries.find(known => known.change === change)
    if (entry === undefined) return `change ${change.id} is not known here`
    if (entry.isVoid) return `change ${change.id} was answered, and had not been there to be read`
    if (!entry.mayBeLost && change.id > this.#acked) this.#acked = change.id
    return undefined
  }

  bound(): Bound {
    return { acked: this.#acked, seen: this.#seen }
  }

  /** A read through `attachment` found `value`. Why that is wrong, or undefined. */
  found(value: number, bound: Bound, attachment: number): string | undefined {
    const seen = bound.seen.state === 'failed' ? 0 : bound.seen.id
    const floor = Math.min(Math.max(bound.acked, seen), this.#lossFloor)
    const fitting = this.#entries.filter(
      ({ change, isVoid }) => change.value === value && change.id >= floor && !isVoid
    )
    const [first] = fitting
    if (first === undefined) return this.#wrong(value, floor)
    if (first.change.id > this.#seen.id) this.#seen = first.change
    if (fitting.length === 1) this.#settle(first, attachment)
    return undefined
  }

  /** The newest change that must survive every loss of power. */
  durable(flushedUpTo: number): number {
    let newest = 0
    for (const { change, mayBeLost, isDurable } of this.#entries) {
      const isFlushed = change.state === 'acked' && (change.isFua || change.ackOrder <= flushedUpTo)
      if (isDurable || (isFlushed && !mayBeLost)) newest = Math.max(newest, change.id)
    }
    return newest
  }

  /** Whatever is not durable may be gone. */
  lose(flushedUpTo: number): void {
    const floor = this.durable(flushedUpTo)
    for (const entry of this.#entries) if (entry.change.id > floor) entry.mayBeLost = true
    this.#acked = Math.min(this.#acked, floor)
    if (this.#seen.id > floor) {
      this.#seen = this.#entries.find(({ change }) => change.id === floor)?.change ?? UNWRITTEN
    }
    this.#lossFloor = Math.min(this.#lossFloor, floor)
  }

  /** Reads that began before the loss are over. */
  lossIsPast(): void {
    this.#lossFloor = Number.POSITIVE_INFINITY
  }

  /** The only change that can be in effect, if that is certain. */
  certain(): Change | undefined {
    const possible = this.#entries.filter(
      ({ change, isVoid }) => change.id >= Math.max(this.#acked, this.#seenFloor()) && !isVoid
    )
    const [only] = possible
    return possible.length === 1 && only?.mayBeLost === false ? only.change : undefined
  }

  #seenFloor(): number {
    return this.#seen.state === 'failed' ? 0 : this.#seen.id
  }

  /** One entry alone explains a read: those of older attachments behind it will never come. */
  #settle(found: Entry, attachment: number): void {
    if (found.change.attachment < attachment) found.isDurable = true
    for (const entry of this.#entries) {
      const { change } = entry
      if (change.id > found.change.id && change.attachment < attachment) entry.isVoid = true
    }
  }

  #wrong(value: number, floor: number): string {
    const known = this.#entries.find(({ change }) => change.value === value && change.id > 0)
    const what = value === 0 ? 'zeroes' : value < 0 ? 'bytes that nobody wrote' : `change ${value}`
    const kind = known?.isVoid ? ', which cannot come any more' : ''
    const list = this.#entries
      .filter(({ change }) => change.id >= floor)
      .map(({ change, isVoid }) => `${change.id}=${change.value}:${isVoid ? 'void' : change.state}`)
    return `${what}${kind}, while it must be one of ${list.slice(-8).join(' ')}`
  }
}
