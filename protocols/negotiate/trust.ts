/**
 * What a source has seen of peers: whether they answer, whether they stand by their bids, and
 * whether what they foretold of themselves came true. A factor that counts when bids are ranked;
 * and whom to leave alone for a while.
 *
 *   factor = answering * keeping * telling the truth, each from 1 down to 0
 *
 * Each is 1 - bad / (good + bad + 1): a peer of whom nothing is known has 1, one bad thing costs a
 * half at most, and good ones dilute it. Half of everything fades in RECORD_HALVES_MS.
 *
 * Invariants: a factor is within 0 and 1; bounded: the record that says least is forgotten first.
 */
import { assert } from '../assert.ts'
import type { NodeId } from '../ids.ts'
import {
  MAX_RECORDS,
  MAX_SILENCES,
  MOST_COUNTED,
  RECORD_HALVES_MS,
  SILENCE_MAX_MS,
  SILENCE_MIN_MS
} from './limits.ts'

/** Headroom that a bid promised and peak that was measured differ by so much without a lie. */
const HONEST_PART = 0.15
/** Weight below which a record says nothing. */
const LEAST_WEIGHT = 0.01

interface Tally {
  good: number
  bad: number
}

interface PeerRecord {
  readonly answers: Tally
  readonly bids: Tally
  readonly words: Tally
  /** In a row. */
  silences: number
  silentAtMs: number
  atMs: number
}

/** A record as it is kept across restarts: of the moment at which it was saved. */
export interface SavedRecord {
  readonly node: NodeId
  readonly answers: Readonly<Tally>
  readonly bids: Readonly<Tally>
  readonly words: Readonly<Tally>
  readonly silences: number
  /** Since the last silence. */
  readonly silentMs: number
}

/** What a bid promised, and what was measured at that target afterwards. */
export interface Verdict {
  /** BidFigures.headroom, when it was chosen. */
  readonly headroom: number
  readonly threshold: number
  /** Peak of its load from the end of the move until the horizon. */
  readonly peak: number
}

export class Trust {
  readonly #records = new Map<NodeId, PeerRecord>()

  get size(): number {
    return this.#records.size
  }

  /** What OfferEffect `note` says. Times: monotonic ms. */
  note(node: NodeId, is: 'answered' | 'silent' | 'broke', nowMs: number): void {
    const record = this.#open(node, nowMs)
    if (is === 'silent') {
      add(record.answers, 1)
      record.silences = Math.min(MAX_SILENCES, record.silences + 1)
      record.silentAtMs = nowMs
    } else {
      add(record.answers, 0)
      record.silences = 0
    }
    if (is === 'broke') add(record.bids, 1)
  }

  /** The move that was awarded has ended, by its target's doing well or not. */
  ended(node: NodeId, isDone: boolean, nowMs: number): void {
    const record = this.#open(node, nowMs)
    add(record.bids, isDone ? 0 : 1)
  }

  judged(node: NodeId, { headroom, threshold, peak }: Verdict, nowMs: number): void {
    assert(threshold > 0, 'a target has a threshold')
    const missing = headroom - (threshold - peak)
    const part = (missing / threshold - HONEST_PART) / (1 - HONEST_PART)
    add(this.#open(node, nowMs).words, Math.min(1, Math.max(0, part)))
  }

  /** 1: nothing speaks against it. */
  factor(node: NodeId, nowMs: number): number {
    const record = this.#records.get(node)
    if (record === undefined) return 1
    const left = leftOf(record, nowMs)
    const { answers, bids, words } = record
    return [answers, bids, words].reduce((product, tally) => product * factorOf(tally, left), 1)
  }

  /** False: it was silent lately, more than once or just now; it is tried again later. */
  mayAsk(node: NodeId, nowMs: number): boolean {
    const record = this.#records.get(node)
    if (record === undefined || record.silences === 0) return true
    const doublings = Math.min(record.silences - 1, 30)
    const pauseMs = Math.min(SILENCE_MAX_MS, SILENCE_MIN_MS * 2 ** doublings)
    return nowMs - record.silentAtMs >= pauseMs
  }

  /** What there is to say of peers now; at most MAX_RECORDS. */
  saved(nowMs: number): SavedRecord[] {
    return [...this.#records].flatMap(([node, record]) => {
      const { silences, silentAtMs } = record
      const left = leftOf(record, nowMs)
      const answers = scaled(record.answers, left)
      const bids = scaled(record.bids, left)
      const words = scaled(record.words, left)
      const weight = [answers, bids, words].reduce((sum, { good, bad }) => sum + good + bad, 0)
      if (weight < LEAST_WEIGHT && silences === 0) return []
      const silentMs = silences === 0 ? 0 : Math.max(0, nowMs - silentAtMs)
      return [{ node, answers, bids, words, silences, silentMs }]
    })
  }

  /** What was saved `agoMs` before; of a peer that is known by now, what is known stays. */
  restore(records: readonly SavedRecord[], agoMs: number, nowMs: number): void {
    for (const { node, answers, bids, words, silences, silentMs } of records) {
      if (this.#records.has(node) || this.#records.size >= MAX_RECORDS) continue
      const tallies = { answers: { ...answers }, bids: { ...bids }, words: { ...words } }
      const silentAtMs = nowMs - agoMs - silentMs
      this.#records.set(node, { ...tallies, silences, silentAtMs, atMs: nowMs - agoMs })
    }
  }

  #open(node: NodeId, nowMs: number): PeerRecord {
    const record = this.#records.get(node) ?? fresh(nowMs)
    const left = leftOf(record, nowMs)
    for (const tally of [record.answers, record.bids, record.words]) {
      tally.good *= left
      tally.bad *= left
    }
    record.atMs = Math.max(record.atMs, nowMs)
    this.#records.set(node, record)
    if (this.#records.size > MAX_RECORDS) this.#forgetOne(node, nowMs)
    return record
  }

  #forgetOne(besides: NodeId, nowMs: number): void {
    let least: NodeId | undefined
    let leastBad = Number.POSITIVE_INFINITY
    for (const [node, record] of this.#records) {
      if (node === besides) continue
      const { answers, bids, words } = record
      const bad = (answers.bad + bids.bad + words.bad) * leftOf(record, nowMs)
      if (bad >= leastBad) continue
      least = node
      leastBad = bad
      if (bad < LEAST_WEIGHT) break
    }
    if (least !== undefined) this.#records.delete(least)
  }
}

function fresh(nowMs: number): PeerRecord {
  const none = (): Tally => ({ good: 0, bad: 0 })
  const tallies = { answers: none(), bids: none(), words: none() }
  return { ...tallies, silences: 0, silentAtMs: nowMs, atMs: nowMs }
}

function scaled({ good, bad }: Tally, part: number): Tally {
  return { good: good * part, bad: bad * part }
}

/** `part` of it is bad, the rest good. */
function add(tally: Tally, part: number): void {
  tally.bad = Math.min(MOST_COUNTED, tally.bad + part)
  tally.good = Math.min(MOST_COUNTED, tally.good + 1 - part)
}

function leftOf({ atMs }: PeerRecord, nowMs: number): number {
  return 0.5 ** (Math.max(0, nowMs - atMs) / RECORD_HALVES_MS)
}

function factorOf({ good, bad }: Tally, left: number): number {
  return 1 - (bad * left) / ((good + bad) * left + 1)
}
