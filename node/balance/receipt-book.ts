/**
 * The receipts of a node in memory: by id, and by time for whoever asks.
 *
 * Invariants: of moves from here and of moves to here at most half of MAX_RECEIPTS each, so that no
 * other node's moves cost this node the memory of its own; none is older than RECEIPT_DAYS once
 * `prune` was called; an answer is bounded in number and in bytes.
 */

import type { ReceiptCursor, ReceiptQuery } from '../../protocols/balance/messages.ts'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import type { MovedRange } from '../../protocols/balance/receipt-file.ts'
import {
  MAX_LISTED_RECEIPT_BYTES,
  MAX_RECEIPTS,
  RECEIPT_DAYS
} from '../../protocols/balance/receipt-limits.ts'
import { encodeCbor } from '../../protocols/cbor.ts'

export interface Kept {
  readonly receipt: Receipt
  /** What of the volume moved, as far as it is remembered. */
  readonly ranges?: readonly MovedRange[] | undefined
  /** Its target was told of it as it is. */
  readonly isTold: boolean
}

export interface ReceiptPage {
  readonly receipts: readonly Receipt[]
  readonly next?: ReceiptCursor
}

const DAY_MS = 86_400_000
const MOST = { source: MAX_RECEIPTS / 2, target: MAX_RECEIPTS / 2 }

export class ReceiptBook {
  readonly #kept = new Map<string, Kept>()
  readonly #counts = { source: 0, target: 0 }

  get(id: string): Kept | undefined {
    return this.#kept.get(id)
  }

  put(kept: Kept): void {
    const { id, keptBy } = kept.receipt
    this.#remove(id)
    this.#kept.set(id, kept)
    this.#counts[keptBy] += 1
    if (this.#counts[keptBy] <= MOST[keptBy]) return
    const oldest = this.#of(keptBy).reduce((a, b) => (isBefore(a.receipt, b.receipt) ? a : b))
    this.#remove(oldest.receipt.id)
  }

  /** The oldest decision first. */
  all(): Kept[] {
    return [...this.#kept.values()].sort((a, b) => (isBefore(a.receipt, b.receipt) ? -1 : 1))
  }

  /** The youngest decision first. */
  list({ since, volume, id, ids, source, limit, before }: ReceiptQuery): ReceiptPage {
    const wanted = ids && new Set(ids)
    const found = this.all()
      .reverse()
      .map(({ receipt }) => receipt)
      .filter(
        receipt =>
          (since === undefined || receipt.decidedAt >= since) &&
          (volume === undefined || receipt.volume === volume) &&
          (id === undefined || receipt.id.startsWith(id)) &&
          (wanted === undefined || wanted.has(receipt.id)) &&
          (source === undefined || receipt.source === source) &&
          (before === undefined || isBefore(receipt, before))
      )
    const receipts: Receipt[] = []
    let bytes = 0
    for (const receipt of found.slice(0, limit)) {
      bytes += encodeCbor(receipt).length
      if (bytes > MAX_LISTED_RECEIPT_BYTES) break
      receipts.push(receipt)
    }
    const last = receipts.at(-1)
    if (last === undefined || receipts.length === found.length) return { receipts }
    return { receipts, next: { decidedAt: last.decidedAt, id: last.id } }
  }

  prune(nowMs: number): void {
    for (const [id, { receipt }] of this.#kept) {
      if (receipt.decidedAt < nowMs - RECEIPT_DAYS * DAY_MS) this.#remove(id)
    }
  }

  #of(keptBy: Receipt['keptBy']): Kept[] {
    return [...this.#kept.values()].filter(({ receipt }) => receipt.keptBy === keptBy)
  }

  #remove(id: string): void {
    const kept = this.#kept.get(id)
    if (kept === undefined) return
    this.#kept.delete(id)
    this.#counts[kept.receipt.keptBy] -= 1
  }
}

/** By time, and among those of one moment by id. */
function isBefore(a: ReceiptCursor, b: ReceiptCursor): boolean {
  return a.decidedAt !== b.decidedAt ? a.decidedAt < b.decidedAt : a.id < b.id
}
