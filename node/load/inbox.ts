/**
 * What arrives as gossip of load: metered, held against what its author may say, decoded, and taken
 * by the table; or dropped, and counted by its author.
 *
 * Invariants: any bytes from anyone are safe to receive; authors that the map does not show leave one
 * number, and no more.
 */
import type { NodeId } from '../../protocols/ids.ts'
import { Allowance } from '../../protocols/load-gossip/allowance.ts'
import {
  AUTHOR_FACTOR,
  ENVELOPE_BYTES,
  MAX_LISTED_SHARDS,
  MAX_SUMMARY_ENTRIES,
  MIN_BUDGET_BYTES
} from '../../protocols/load-gossip/limits.ts'
import type { LoadMessage } from '../../protocols/load-gossip/messages.ts'
import {
  decodeLoadMessage,
  sampleBytes,
  summaryBytes
} from '../../protocols/load-gossip/messages.ts'
import { Meter } from '../../protocols/load-gossip/meter.ts'
import type { Plan } from '../../protocols/load-gossip/schedule.ts'
import type { Instant, LoadTable, Refusal } from '../../protocols/load-gossip/table.ts'

/** Which kind of message belongs there. */
export type LoadTopic = 'sample' | 'summary'

const MINUTE_MS = 60_000
const LARGEST_BYTES = {
  sample: ENVELOPE_BYTES + sampleBytes(MAX_LISTED_SHARDS),
  summary: ENVELOPE_BYTES + summaryBytes(MAX_SUMMARY_ENTRIES)
}

export class Inbox {
  readonly received = new Meter()
  readonly dropped = new Map<NodeId, Map<Refusal, number>>()
  strangers = 0
  readonly #table: LoadTable
  readonly #allowances = { sample: new Allowance(), summary: new Allowance() }
  #perMinute = { sample: MIN_BUDGET_BYTES, summary: MIN_BUDGET_BYTES }

  constructor(table: LoadTable) {
    this.#table = table
  }

  /** The table has another mesh. */
  follow({ memberBytes, summaries }: Plan): void {
    const isMember = (node: NodeId): boolean => this.#table.has(node)
    for (const allowance of Object.values(this.#allowances)) allowance.keep(isMember)
    for (const author of this.dropped.keys()) if (!isMember(author)) this.dropped.delete(author)
    const summary =
      summaries === undefined
        ? memberBytes
        : (summaries.largestBytes * MINUTE_MS) / summaries.intervalMs
    this.#perMinute = { sample: AUTHOR_FACTOR * memberBytes, summary: AUTHOR_FACTOR * summary }
  }

  /** What was taken, if it was. */
  receive(
    topic: LoadTopic,
    from: NodeId,
    bytes: Uint8Array,
    now: Instant
  ): LoadMessage | undefined {
    const length = ENVELOPE_BYTES + bytes.length
    this.received.add(length, now.monotonicMs)
    if (!this.#table.has(from)) {
      this.strangers++
      return undefined
    }
    if (!this.#isAllowed(topic, from, length, now)) return this.#drop(from, 'flood')
    const message = decodeLoadMessage(bytes)
    if (message === undefined || message.is !== topic) return this.#drop(from, 'malformed')
    const refusal = this.#table.take(from, message, now)
    return refusal === undefined ? message : this.#drop(from, refusal)
  }

  /** One message of the largest size is within the burst: another's budget may be greater. */
  #isAllowed(topic: LoadTopic, from: NodeId, bytes: number, now: Instant): boolean {
    const perMinute = this.#perMinute[topic]
    const burst = Math.max(perMinute, LARGEST_BYTES[topic])
    return this.#allowances[topic].take(from, bytes, { nowMs: now.monotonicMs, perMinute, burst })
  }

  #drop(from: NodeId, refusal: Refusal): undefined {
    const counts = this.dropped.get(from) ?? new Map<Refusal, number>()
    counts.set(refusal, (counts.get(refusal) ?? 0) + 1)
    this.dropped.set(from, counts)
    return undefined
  }
}
