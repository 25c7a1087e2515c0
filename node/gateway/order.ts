/**
 * The order of overlapping changes of one attachment: at most one change is in flight per block,
 * and those that overlap follow each other in order of arrival. Reads do not take part (copies = 1).
 *
 *   granules (16 blocks)  | g0          | g1          | g2 ...
 *   entries, oldest first | A           | A B         | B
 *                                   B overlaps A: B waits, A knows its follower
 *
 * Addresses are places on chunks, laid end to end (`addressOf` in layout.ts), in bytes.
 * Invariants: an entry starts exactly once, when every older entry that overlaps it has left; an
 * entry that leaves without having started never starts.
 */
import { assert } from '../../protocols/assert.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'

const GRANULE_BYTES = 16 * BLOCK_BYTES

/** Embedded in every change, so that entering allocates nothing for the entry itself. */
export abstract class Ordered {
  readonly from: number
  readonly to: number
  /** Older overlapping entries that have not left. */
  waitsFor = 0
  hasStarted = false
  hasLeft = false
  followers: Ordered[] | undefined
  /** The newest entry that already counted this one among those it waits for. */
  countedBy: Ordered | undefined

  constructor(from: number, to: number) {
    assert(
      from < to && from % BLOCK_BYTES === 0 && to % BLOCK_BYTES === 0,
      'changes order by blocks'
    )
    this.from = from
    this.to = to
  }

  /** Called once, when nothing older overlaps any more. */
  abstract start(): void
}

export class Order {
  readonly #granules = new Map<number, Ordered[]>()

  /** Queues the entry behind all that overlap it; starts it at once if there is none. */
  enter(entry: Ordered): void {
    const last = Math.floor((entry.to - 1) / GRANULE_BYTES)
    for (let granule = Math.floor(entry.from / GRANULE_BYTES); granule <= last; granule++) {
      const entries = this.#granules.get(granule)
      if (entries === undefined) {
        this.#granules.set(granule, [entry])
        continue
      }
      for (const older of entries) if (overlaps(older, entry)) follow(entry, older)
      entries.push(entry)
    }
    if (entry.waitsFor === 0) begin(entry)
  }

  /** The entry is over (or given up before it started); its followers may start. */
  leave(entry: Ordered): void {
    assert(!entry.hasLeft, 'an entry leaves once')
    entry.hasLeft = true
    const last = Math.floor((entry.to - 1) / GRANULE_BYTES)
    for (let granule = Math.floor(entry.from / GRANULE_BYTES); granule <= last; granule++) {
      this.#remove(granule, entry)
    }
    const { followers } = entry
    entry.followers = undefined
    entry.countedBy = undefined
    if (followers === undefined) return
    for (const follower of followers) {
      follower.waitsFor--
      if (follower.waitsFor === 0 && !follower.hasLeft) begin(follower)
    }
  }

  /** Entries that have not started. */
  waiting(): Set<Ordered> {
    const waiting = new Set<Ordered>()
    for (const entries of this.#granules.values()) {
      for (const entry of entries) if (!entry.hasStarted) waiting.add(entry)
    }
    return waiting
  }

  /** Takes out all that have not started; unlike `leave`, lets nobody start in their place. */
  abandonWaiting(): Ordered[] {
    const waiting = [...this.waiting()]
    for (const entry of waiting) entry.hasLeft = true
    for (const [granule, entries] of this.#granules) {
      const started = entries.filter(entry => entry.hasStarted)
      if (started.length === 0) this.#granules.delete(granule)
      else this.#granules.set(granule, started)
    }
    return waiting
  }

  get isEmpty(): boolean {
    return this.#granules.size === 0
  }

  #remove(granule: number, entry: Ordered): void {
    const entries = this.#granules.get(granule)
    assert(entries !== undefined, 'an entry is in each of its granules')
    if (entries.length === 1) this.#granules.delete(granule)
    else entries.splice(entries.indexOf(entry), 1)
  }
}

function overlaps(a: Ordered, b: Ordered): boolean {
  return a.from < b.to && b.from < a.to
}

function follow(entry: Ordered, older: Ordered): void {
  if (older.countedBy === entry) return
  older.countedBy = entry
  entry.waitsFor++
  if (older.followers === undefined) older.followers = [entry]
  else older.followers.push(entry)
}

function begin(entry: Ordered): void {
  assert(!entry.hasStarted, 'an entry starts once')
  entry.hasStarted = true
  entry.start()
}
