/**
 * Sums over the requests of an interval, and the record that they make of it.
 *
 *   values   reads | writes | bytes read | bytes written | sequential | latency in ms
 *
 * One array and not six fields: a request touches one line of the cache instead of six, since V8
 * keeps each number of a field that is not a small whole one in a box of its own.
 */
import { assert } from '../../protocols/assert.ts'
import type { LatencyHistogram } from '../../protocols/load/histogram.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'

export const READS = 0
export const WRITES = 1
/** From the number of the requests of a kind to that of their bytes. */
export const BYTES = 2
export const SEQUENTIAL = 4
export const LATENCY_MS = 5
const COUNT = 6

export class Sums {
  readonly values = new Float64Array(COUNT)

  get requests(): number {
    return this.#at(READS) + this.#at(WRITES)
  }

  get sequential(): number {
    return this.#at(SEQUENTIAL)
  }

  add(other: Sums): void {
    for (let i = 0; i < COUNT; i++) this.values[i] = this.#at(i) + other.#at(i)
  }

  addLatency(ms: number): void {
    this.values[LATENCY_MS] = this.#at(LATENCY_MS) + ms
  }

  clear(): void {
    this.values.fill(0)
  }

  record(lengthMs: number, latency: LatencyHistogram): LoadRecord {
    assert(lengthMs > 0, 'rates are over an interval that has a length')
    const seconds = lengthMs / 1000
    const { requests } = this
    return {
      reads: this.#at(READS) / seconds,
      writes: this.#at(WRITES) / seconds,
      readBytes: this.#at(READS + BYTES) / seconds,
      writtenBytes: this.#at(WRITES + BYTES) / seconds,
      sequential: requests === 0 ? 0 : this.sequential / requests,
      queue: Math.max(0, this.#at(LATENCY_MS)) / lengthMs,
      p50Us: latency.quantile(0.5),
      p99Us: latency.quantile(0.99)
    }
  }

  #at(i: number): number {
    return this.values[i] ?? 0
  }
}
