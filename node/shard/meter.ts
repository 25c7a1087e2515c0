/**
 * What one shard is asked, counted on the data path: `began` when the store gets a request,
 * `answered` when it is done. Everything else is worked out once a second, by monitor.ts.
 *
 * How many requests wait or are served is a mean over time, by Little's law: the sum of the time
 * that all of them spent here, divided by the length of the interval. A request counts for the part
 * of it that lies inside, so one that hangs is seen while it does.
 *
 * Invariants: no clock is read here; a request costs a fixed number of additions, one look-up and
 * no allocation; reads and writes reach `began` and `answered` once each, nothing else does.
 */
import type { VolumeId } from '../../protocols/ids.ts'
import { LatencyHistogram, SizeHistogram } from '../../protocols/load/histogram.ts'
import type { Request } from '../../protocols/shard-io/messages.ts'
import { Op } from '../../protocols/shard-io/messages.ts'
import { chunkNumber } from './chunk-number.ts'
import type { HeatMap, HeatMeter } from './heat.ts'
import { BYTES, LATENCY_MS, READS, SEQUENTIAL, Sums, WRITES } from './load-sums.ts'
import { StreamEnds } from './stream-ends.ts'

export type MeteredRequest = Pick<Request, 'op' | 'chunk' | 'offsetBytes' | 'lengthBytes'>

export class ShardMeter {
  readonly volume: VolumeId
  /** Since the last turn, of the present minute before it, and before that minute. */
  readonly second = new Sums()
  readonly minute = new Sums()
  readonly before = new Sums()
  readonly secondLatency = new LatencyHistogram()
  readonly minuteLatency = new LatencyHistogram()
  readonly sizes = new SizeHistogram()
  /** It stands in the monitor's list of those that have something to tell at the next turn. */
  isTouched = false
  isOfMinute = false
  isGone = false
  /** `ageMsSum` at the last turn. */
  ageMsBefore = 0
  readonly #map: HeatMap
  readonly #heat: HeatMeter
  readonly #ends: StreamEnds
  /** Of `second`. */
  readonly #sums: Float64Array
  readonly #touched: (meter: ShardMeter) => void
  #inside = 0
  /** Sum of the arrivals of those inside; in an array for the reason of load-sums.ts. */
  readonly #arrivedMs = new Float64Array(1)

  constructor(
    volume: VolumeId,
    chunkBytes: number,
    heat: { readonly map: HeatMap; readonly meter: HeatMeter },
    touched: (meter: ShardMeter) => void
  ) {
    this.volume = volume
    this.#sums = this.second.values
    this.#map = heat.map
    this.#heat = heat.meter
    this.#ends = new StreamEnds(chunkBytes)
    this.#touched = touched
  }

  /** Requests that the store has and has not answered. */
  get inside(): number {
    return this.#inside
  }

  /** Milliseconds that those inside have waited until now, all together. */
  ageMsSum(nowMs: number): number {
    return this.#inside * nowMs - this.#arrivedMsSum
  }

  began(request: MeteredRequest, arrivedAtMs: number): void {
    const { op, chunk, offsetBytes, lengthBytes } = request
    const isWrite = op !== Op.read
    const number = chunkNumber(chunk)
    const sums = this.#sums
    if (!this.isTouched) this.#touched(this)
    const kind = isWrite ? WRITES : READS
    const bytes = op === Op.read || op === Op.write ? lengthBytes : 0
    sums[kind] = (sums[kind] ?? 0) + 1
    if (bytes > 0) {
      sums[kind + BYTES] = (sums[kind + BYTES] ?? 0) + bytes
      this.sizes.record(isWrite, bytes)
    }
    if (this.#ends.follow(number, offsetBytes, lengthBytes)) {
      sums[SEQUENTIAL] = (sums[SEQUENTIAL] ?? 0) + 1
    }
    this.#inside += 1
    this.#arrivedMs[0] = this.#arrivedMsSum + arrivedAtMs
    this.#heat.touch(this.#map, number, isWrite, bytes, arrivedAtMs)
  }

  answered(arrivedAtMs: number, nowMs: number): void {
    if (!this.isTouched) this.#touched(this)
    const latencyMs = nowMs - arrivedAtMs
    const sums = this.#sums
    sums[LATENCY_MS] = (sums[LATENCY_MS] ?? 0) + latencyMs
    // Answered in its own tick of the clock: not nothing, which stands for no request at all.
    this.secondLatency.record(Math.max(1, latencyMs * 1000))
    this.#inside -= 1
    // Exact again whenever nobody is left, however the fractions were rounded.
    this.#arrivedMs[0] = this.#inside === 0 ? 0 : this.#arrivedMsSum - arrivedAtMs
  }

  get #arrivedMsSum(): number {
    return this.#arrivedMs[0] ?? 0
  }
}

/** Reads and changes; flushes and questions for holes move nothing. */
export function isMetered(op: Op): boolean {
  return op !== Op.flush && op !== Op.map
}
