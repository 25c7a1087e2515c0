/**
 * What one shard would forget if its host lost power: every change it answered, in the order in
 * which it applied them, until a flush that was sent after the answer succeeded.
 *
 *   oldest [ w3 | w4 | t5 | w6 | w7 ] newest
 *                ^ mark of a flush sent now is 7; when it succeeds, all up to 7 go
 *
 * Overlapping changes are sent one after the other, so the order of answers is, for every block,
 * the order of application. Changes with FUA are kept too: replay of an older entry for the same
 * block would undo one that is missing here.
 *
 * What passed on to another shard leaves a gap: the numbers of the others stay.
 *
 * Invariants: sequence numbers only grow; what a flush drops is a prefix; every entry's cost was
 * reserved in the attachment's budget before its change was sent, and is given back once.
 */
import { assert } from '../../protocols/assert.ts'

/** A change as it was sent: whole blocks of one chunk. */
export interface ReplayEntry {
  /** Bytes of the budget that it takes: its data and a fixed part. */
  readonly costBytes: number
}

export class ReplayBuffer<E extends ReplayEntry> {
  #entries: Array<E | undefined> = []
  /** Index in #entries of the oldest entry; the array is cut when half of it is dropped. */
  #first = 0
  /** Entries that are here; the rest of the array from #first on are gaps. */
  #count = 0
  /** Sequence number of the newest entry; 0 before the first. */
  #newest = 0
  #costBytes = 0

  get length(): number {
    return this.#count
  }

  get costBytes(): number {
    return this.#costBytes
  }

  /** A flush sent now covers the entries up to this mark. */
  get mark(): number {
    return this.#newest
  }

  push(entry: E): void {
    this.#entries.push(entry)
    this.#newest++
    this.#count++
    this.#costBytes += entry.costBytes
  }

  /** A flush with this mark succeeded. Returns the budget that becomes free. */
  dropUpTo(mark: number): number {
    assert(mark <= this.#newest, 'a mark names entries that exist or existed')
    const oldest = this.#newest - (this.#entries.length - this.#first) + 1
    let freedBytes = 0
    for (let sequence = oldest; sequence <= mark; sequence++) {
      const entry = this.#entries[this.#first]
      this.#entries[this.#first++] = undefined
      if (entry === undefined) continue
      this.#count--
      freedBytes += entry.costBytes
    }
    this.#costBytes -= freedBytes
    assert(this.#costBytes >= 0, 'no entry is dropped twice')
    if (this.#first > 0 && this.#first * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first)
      this.#first = 0
    }
    return freedBytes
  }

  /** Takes out the entries that the test chooses, oldest first; their budget goes with them. */
  take(test: (entry: E) => boolean): E[] {
    const taken: E[] = []
    for (let index = this.#first; index < this.#entries.length; index++) {
      const entry = this.#entries[index]
      if (entry === undefined || !test(entry)) continue
      this.#entries[index] = undefined
      this.#count--
      this.#costBytes -= entry.costBytes
      taken.push(entry)
    }
    assert(this.#costBytes >= 0, 'no entry is dropped twice')
    return taken
  }

  /** Drops them. Returns the budget that becomes free. */
  dropOf(test: (entry: E) => boolean): number {
    return this.take(test).reduce((bytes, entry) => bytes + entry.costBytes, 0)
  }

  /** All entries, oldest first. */
  entries(): readonly E[] {
    return this.#entries.filter(entry => entry !== undefined)
  }
}
