/**
 * Judges an update before the document sees it. What a member sends may be damaged, out of order
 * or wrong; none of it may throw, change the document, or cost more than in proportion to its
 * size.
 *
 * The trial is made on what the update says (update-reader.ts), not on a copy of the document: the
 * items of our documents are independent entries of one map, so what Yjs would make of them is
 * known beforehand (of several writers of one key, the greatest client id decides whether the key
 * is live). A property test holds this against Yjs itself.
 *
 * Good means: every written value is a record of this document under the key it determines; the
 * update continues what is known of each client, so that Yjs keeps nothing pending; and every
 * claim that it removes is dominated by one that stays. The last makes the view monotonic: no
 * update, early, late or wrong, can take away the greatest claim of anything.
 */
import { assert } from '../protocols/assert.ts'
import type { ClaimSet } from './claim-set.ts'
import { claimKey } from './claim-set.ts'
import { MAX_GROUP_RECORDS, MAX_RECORDS, MAX_UPDATE_BYTES } from './limits.ts'
import type { ReadUpdate, UpdateItem } from './update-reader.ts'
import { readUpdate } from './update-reader.ts'

/**
 * - good: apply `update` (an own copy) with `added`.
 * - known: nothing new in it.
 * - early: it continues updates that are not here yet; nobody's fault, ask for them.
 * - bad: the sender's fault; drop it and name the sender.
 */
export type Verdict<R> =
  | { readonly is: 'good'; readonly update: Uint8Array; readonly added: ReadonlyMap<string, R> }
  | { readonly is: 'known' }
  | { readonly is: 'early' }
  | { readonly is: 'bad'; readonly why: string }

/** Judges `bytes` against the present state of `set`. Never throws, never changes `set`. */
export function judge<R>(set: ClaimSet<R>, bytes: Uint8Array): Verdict<R> {
  if (bytes.length > MAX_UPDATE_BYTES) return bad('too large')
  // A copy of its own memory: the records keep pieces of it, and the sender's buffer is reused.
  const update = new Uint8Array(bytes)
  const read = readUpdate(update)
  if ('refused' in read) return bad(read.refused)
  const trial = new Trial(set)
  const order = trial.checkOrder(read)
  if (order !== undefined) return order
  const problem = trial.decode(read) ?? trial.checkLosses()
  if (problem !== undefined) return bad(problem)
  if (!trial.changes) return { is: 'known' }
  return { is: 'good', update, added: trial.added }
}

function bad(why: string): { readonly is: 'bad'; readonly why: string } {
  return { is: 'bad', why }
}

interface NewItem extends UpdateItem {
  readonly client: number
}

class Trial<R> {
  readonly added = new Map<string, R>()
  changes = false
  readonly #set: ClaimSet<R>
  readonly #ends = new Map<number, number>()
  readonly #deleted = new Map<number, Array<{ clock: number; end: number }>>()
  readonly #removed = new Set<string>()
  readonly #fresh: NewItem[] = []

  constructor(set: ClaimSet<R>) {
    this.#set = set
  }

  /** The update must continue what is known of each client, and delete only what is known. */
  checkOrder(read: ReadUpdate): Verdict<R> | undefined {
    let count = this.#set.liveCount
    for (const { client, clock, items } of read.clients) {
      const known = this.#set.clockOf(client)
      if (clock > known) return { is: 'early' }
      const end = clock + items.length
      if (end > known && client === this.#set.clientId) return bad('written in our name')
      this.#ends.set(client, Math.max(known, end))
      for (const item of items) if (item.clock >= known) this.#fresh.push({ ...item, client })
      count += Math.max(0, end - known)
      if (end > MAX_RECORDS || count > MAX_RECORDS) return bad('too many records')
    }
    for (const { client, clock, length } of read.deletes) {
      const end = clock + length
      if (end > (this.#ends.get(client) ?? this.#set.clockOf(client))) return { is: 'early' }
      const ranges = this.#deleted.get(client)
      if (ranges === undefined) this.#deleted.set(client, [{ clock, end }])
      else ranges.push({ clock, end })
    }
    this.changes = this.#fresh.length > 0
    return undefined
  }

  /** Decodes what is new and finds which keys are live afterwards. */
  decode(read: ReadUpdate): string | undefined {
    for (const { client, clock, length } of read.deletes) {
      const end = Math.min(clock + length, this.#set.clockOf(client))
      for (let at = clock; at < end; at++) {
        const key = this.#set.liveKeyOf(client, at)
        if (key === undefined) continue
        this.changes = true
        this.#removed.add(key)
      }
    }
    const winners = new Map<string, NewItem>()
    for (const item of this.#fresh) {
      const problem = this.#decodeOne(item)
      if (problem !== undefined) return problem
      const rival = winners.get(item.key)
      const present = this.#set.winnerOf(item.key)
      if (rival?.client === item.client || present?.client === item.client) return 'a key twice'
      if (rival === undefined || rival.client < item.client) winners.set(item.key, item)
    }
    for (const [key, item] of winners) this.#settle(key, item)
    return undefined
  }

  /** Whatever is removed must be dominated by a claim that is there afterwards. */
  checkLosses(): string | undefined {
    const { rules } = this.#set
    const survivors = new Map<string, Map<string, R>>()
    for (const [key, record] of this.added) {
      const name = rules.group(record)
      const members = survivors.get(name) ?? new Map<string, R>()
      survivors.set(name, members.set(key, record))
    }
    for (const [name, members] of survivors) {
      const size = members.size + this.#set.group(name).size
      if (size > MAX_GROUP_RECORDS) return 'too many claims about one thing'
    }
    for (const key of this.#removed) {
      if (!this.#isDominated(key, survivors)) return 'takes away the greatest claim'
    }
    return undefined
  }

  #decodeOne(item: NewItem): string | undefined {
    if (item.bytes === undefined) return undefined
    const { rules } = this.#set
    const record = rules.decode(item.bytes)
    if (record === undefined) return 'not a record'
    if (claimKey(rules, record, item.bytes) !== item.key) return 'a record under a foreign key'
    this.added.set(item.key, record)
    return undefined
  }

  #settle(key: string, item: NewItem): void {
    const present = this.#set.winnerOf(key)
    const wins = present === undefined || present.client < item.client
    const isLive = wins
      ? item.bytes !== undefined && !this.#isDeleted(item)
      : present.live && !this.#removed.has(key)
    if (isLive) this.#removed.delete(key)
    else if (present?.live === true) this.#removed.add(key)
    if (!isLive || this.#set.has(key)) this.added.delete(key)
  }

  #isDeleted(item: NewItem): boolean {
    const ranges = this.#deleted.get(item.client) ?? []
    let low = 0
    let high = ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((ranges[middle]?.end ?? 0) <= item.clock) low = middle + 1
      else high = middle
    }
    return (ranges[low]?.clock ?? Number.POSITIVE_INFINITY) <= item.clock
  }

  #isDominated(key: string, survivors: ReadonlyMap<string, ReadonlyMap<string, R>>): boolean {
    const { rules } = this.#set
    const name = this.#set.groupOf(key)
    const record = name === undefined ? undefined : this.#set.group(name).get(key)
    assert(name !== undefined && record !== undefined, 'only a live claim can be taken away')
    const claim = { key, record }
    for (const [other, rival] of survivors.get(name) ?? []) {
      if (rules.dominates({ key: other, record: rival }, claim)) return true
    }
    for (const [other, rival] of this.#set.group(name)) {
      if (this.#removed.has(other)) continue
      if (rules.dominates({ key: other, record: rival }, claim)) return true
    }
    return false
  }
}
