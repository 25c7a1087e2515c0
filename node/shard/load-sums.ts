/** Sums over the requests of an interval, and the record that they make of it. */
import { assert } from '../../protocols/assert.ts'
import type { LatencyHistogram } from '../../protocols/load/histogram.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'

export class Sums {
  reads = 0
  writes = 0
  readBytes = 0
  writtenBytes = 0
  sequential = 0
  /** Time that requests spent here, in this interval. */
  latencyMsSum = 0

  get requests(): number {
    return this.reads + this.writes
  }

  add(other: Sums): void {
    this.reads += other.reads
    this.writes += other.writes
    this.readBytes += other.readBytes
    this.writtenBytes += other.writtenBytes
    this.sequential += other.sequential
    this.latencyMsSum += other.latencyMsSum
  }

  clear(): void {
    this.reads = 0
    this.writes = 0
    this.readBytes = 0
    this.writtenBytes = 0
    this.sequential = 0
    this.latencyMsSum = 0
  }

  record(lengthMs: number, latency: LatencyHistogram): LoadRecord {
    assert(lengthMs > 0, 'rates are over an interval that has a length')
    const seconds = lengthMs / 1000
    return {
      reads: this.reads / seconds,
      writes: this.writes / seconds,
      readBytes: this.readBytes / seconds,
      writtenBytes: this.writtenBytes / seconds,
      sequential: this.requests === 0 ? 0 : this.sequential / this.requests,
      queue: Math.max(0, this.latencyMsSum) / lengthMs,
      p50Us: latency.quantile(0.5),
      p99Us: latency.quantile(0.99)
    }
  }
}
