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
 * Invariants: sequence numbers only grow; what is dropped is a prefix; every entry's cost was
 * reserved in the attachment's budget before its change was sent.
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
  /** Sequence number of the newest entry; 0 before the first. */
  #newest = 0
  #costBytes = 0

  get length(): number {
    return this.#entries.length - this.#first
  }

  get costBytes(): number {
    return this.#costBytes
  }

  /** A flush sent now covers the entries up to this mark. */
  get mark(): number {
    return this.#newest
  }

  /** True if entries up to `mark` are still here. */
  hasUpTo(mark: number): boolean {
    return this.length > 0 && this.#newest - this.length < mark
  }

  push(entry: E): void {
    this.#entries.push(entry)
    this.#newest++
    this.#costBytes += entry.costBytes
  }

  /** A flush with this mark succeeded. Returns the budget that becomes free. */
  dropUpTo(mark: number): number {
    assert(mark <= this.#newest, 'a mark names entries that exist or existed')
    const oldest = this.#newest - this.length + 1
    let freedBytes = 0
    for (let sequence = oldest; sequence <= mark; sequence++) {
      const entry = this.#entries[this.#first]
      assert(entry !== undefined, 'entries are numbered without gaps')
      this.#entries[this.#first++] = undefined
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

  /** All entries, oldest first. The buffer must not change while they are being replayed. */
  entries(): readonly E[] {
    return this.#entries.filter(entry => entry !== undefined)
  }
}
