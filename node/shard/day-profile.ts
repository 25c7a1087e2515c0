/**
 * The mean load of each hour of the day, of a chunk or of a whole shard, over about a week. It is
 * fed from decayed sums once a minute: what was added since the last sample follows from the two
 * sums, so nothing more is counted with a request.
 *
 * Invariants: an hour of which less than half was seen changes nothing; no number is negative.
 */
import { assert } from '../../protocols/assert.ts'
import { HOURS_PER_DAY, PROFILE_DAYS } from '../../protocols/limits.ts'
import type { HeatState } from '../../protocols/load/heat.ts'
import type { ChunkShare } from './heat-share.ts'

export class DayProfile {
  /** Units per second by UTC hour; meaningless where `days` is 0. */
  readonly loads = new Float64Array(HOURS_PER_DAY)
  /** How many days each hour was seen, at most PROFILE_DAYS. */
  readonly days = new Uint8Array(HOURS_PER_DAY)
  /** The decayed sum at the last sample. */
  #last: number
  /** Of the present hour: units, and the time in which they came. */
  #units = 0
  #coveredMs = 0

  constructor(sum: number) {
    this.#last = sum
  }

  /** Of all the hours that were seen: units per second. */
  get mean(): number {
    let sum = 0
    let seen = 0
    for (let hour = 0; hour < HOURS_PER_DAY; hour++) {
      if (!this.knows(hour)) continue
      sum += this.at(hour)
      seen += 1
    }
    return seen === 0 ? 0 : sum / seen
  }

  knows(hour: number): boolean {
    return (this.days[hour] ?? 0) > 0
  }

  at(hour: number): number {
    return this.loads[hour] ?? 0
  }

  /**
   * `sum` now, after `elapsedMs` in which a sum alone would have decayed to the part `kept`, and a
   * steady one unit per second would have become `perUnit`.
   */
  sample(sum: number, elapsedMs: number, kept: number, perUnit: number): void {
    const load = Math.max(0, sum - this.#last * kept) / perUnit
    this.#last = sum
    this.#units += (load * elapsedMs) / 1000
    this.#coveredMs += elapsedMs
  }

  /** What the sum is now, without counting how it came to that: time was lost, or it was moved. */
  rebase(sum: number): void {
    this.#last = sum
  }

  /** The hour is over; it counts if `leastMs` of it were seen. */
  fold(hour: number, leastMs: number): void {
    if (this.#coveredMs >= leastMs) {
      const load = this.#units / (this.#coveredMs / 1000)
      const days = Math.min((this.days[hour] ?? 0) + 1, PROFILE_DAYS)
      this.days[hour] = days
      this.loads[hour] = this.at(hour) + (load - this.at(hour)) / days
    }
    this.#units = 0
    this.#coveredMs = 0
  }

  /** A chunk with this past, and the decayed sum `sum`, comes to the shard of this profile. */
  join(other: DayProfile | undefined, sum: number): void {
    this.#last += sum
    for (let hour = 0; hour < HOURS_PER_DAY; hour++) {
      if (!other?.knows(hour)) continue
      this.loads[hour] = (this.knows(hour) ? this.at(hour) : 0) + other.at(hour)
      this.days[hour] = Math.max(this.days[hour] ?? 0, other.days[hour] ?? 0)
    }
  }

  /** A chunk that was this part of the load goes. */
  part({ now, byHour }: ChunkShare): void {
    this.#last *= 1 - now
    this.#units *= 1 - now
    for (let hour = 0; hour < HOURS_PER_DAY; hour++) {
      const part = byHour?.[hour] ?? 0
      assert(part >= 0 && part <= 1, 'a part is between nothing and all')
      this.loads[hour] = this.at(hour) * (1 - part)
    }
  }

  state(): NonNullable<HeatState['profile']> {
    return { loads: [...this.loads], days: [...this.days] }
  }

  static from(state: NonNullable<HeatState['profile']>, sum: number): DayProfile {
    const profile = new DayProfile(sum)
    profile.loads.set(state.loads)
    profile.days.set(state.days)
    return profile
  }
}
