/**
 * The watch over one shard's threshold: the state of its overloads, and a way to move the threshold
 * under it.
 *
 *   measured   every load of the last 28 days, as it came
 *   state      what overload-state.ts makes of them at the present threshold
 *   shadow     the same at the next threshold, on its way: some of the past per step, then it is
 *              the state
 *
 * `usual`: what the load seldom exceeds by itself, the 95th percentile of the 15-min means of 28
 * days. Fixed when a day is known, then whenever the past has doubled, and daily once it is live.
 *
 * Invariants: bounded memory; one push replays a bounded part of the past; a state that was moved
 * is the one that would be if its threshold had always stood there, of the days that are kept.
 */
import { Chance, type Outlook } from './chance.ts'
import { History } from './history.ts'
import { HISTORY_DAYS, MAX_REPLAYED_STEPS } from './limits.ts'
import { type Foretold, type Moment, OverloadState } from './overload-state.ts'
import type { Trees } from './trees.ts'

/** Where an overload begins, in the unit of the load. */
export type Threshold = number | 'usual'

const USUAL_QUANTILE = 0.95
const SMOOTH_STEPS = 3
/** A load that stands still is not over what it usually is, whatever rounding did to it. */
const MARGIN = 1.000001
/** A shard that is asked less than once a second is not overloaded. */
const LEAST_USUAL = 1
/** A usual load that moved by less than this part moves no threshold. */
const MOVED = 0.01

export interface WatchOptions {
  /** Steps of a day. */
  readonly day: number
  readonly threshold: Threshold
  /** In steps: spreads the daily work of many shards over the day. */
  readonly phase: number
}

interface Shadow {
  readonly state: OverloadState
  /** The next load to replay, counted from the first ever. */
  next: number
}

export class OverloadWatch {
  readonly #day: number
  readonly #phase: number
  readonly #measured: History
  readonly #chance: Chance
  #usual: boolean
  #threshold: number | undefined
  #state: OverloadState | undefined
  #shadow: Shadow | undefined
  #fixedAt = 0
  #isLive = false

  constructor({ day, threshold, phase }: WatchOptions) {
    this.#day = day
    this.#phase = phase
    this.#measured = new History(day, HISTORY_DAYS + 1)
    this.#chance = new Chance(day)
    this.#usual = threshold === 'usual'
    if (threshold !== 'usual') {
      this.#threshold = threshold
      this.#state = stateAt(day, threshold)
    }
  }

  /** Of the state; undefined while the usual load is not known. */
  get threshold(): number | undefined {
    return this.#state?.capacity
  }

  get quiet(): boolean {
    return this.#state?.quiet ?? false
  }

  get over(): boolean {
    return this.#state?.over ?? false
  }

  /** Whether an overload came within the last hour; undefined without a threshold. */
  get overWithinHour(): boolean | undefined {
    return this.#state?.overWithinHour
  }

  /** Changes whenever the threshold has moved: what was said of overloads before is void. */
  get state(): OverloadState | undefined {
    return this.#state
  }

  /** The threshold moves as soon as the past has been gone through again. */
  move(threshold: Threshold): void {
    this.#usual = threshold === 'usual'
    this.#fixedAt = 0
    if (threshold !== 'usual') this.#moveTo(threshold)
  }

  /** The next load as it was measured. `live` false: a past that is remembered, or a gap. */
  push(load: number, moment: Moment, live: boolean): void {
    this.#measured.push(load, moment.offset)
    if (this.#usual && this.#isDue(live)) this.#fix()
    this.#isLive ||= live
    this.#state?.push(load, moment)
    if (this.#shadow !== undefined) this.#replay(this.#shadow, moment)
  }

  /** After each push; see Chance. */
  outlook(trees: Trees | undefined, foretold: () => Foretold): Outlook | undefined {
    if (this.#state === undefined) return undefined
    return this.#chance.update(this.#state, trees, foretold)
  }

  /** Fills the features of the newest step; only when quiet. */
  features(foretold: Foretold, out: Float64Array): void {
    this.#state?.features(foretold, out)
  }

  #isDue(live: boolean): boolean {
    const known = this.#measured.length
    if (known < this.#day || this.#shadow !== undefined) return false
    if (this.#fixedAt === 0) return true
    if (!live) return !this.#isLive && known >= 2 * this.#fixedAt
    return !this.#isLive || (known + this.#phase) % this.#day === 0
  }

  #fix(): void {
    this.#fixedAt = this.#measured.length
    const usual = usualOf(this.#measured)
    const known = this.#threshold
    if (known === undefined || Math.abs(usual - known) > MOVED * known) this.#moveTo(usual)
  }

  #moveTo(threshold: number): void {
    this.#threshold = threshold
    const { length, kept } = this.#measured
    this.#shadow = { state: stateAt(this.#day, threshold), next: length - kept }
  }

  #replay(shadow: Shadow, moment: Moment): void {
    const { length } = this.#measured
    const end = Math.min(length, shadow.next + MAX_REPLAYED_STEPS)
    for (; shadow.next < end; shadow.next++) {
      const lag = length - 1 - shadow.next
      // Only the newest moment is looked at again; of those before it, the offset.
      const then = lag === 0 ? moment : pastMoment(this.#measured.offsetBack(lag))
      shadow.state.push(this.#measured.back(lag), then)
    }
    if (shadow.next < length) return
    this.#state = shadow.state
    this.#shadow = undefined
  }
}

function stateAt(day: number, capacity: number): OverloadState {
  return new OverloadState({ day, capacity, unit: 1 })
}

function pastMoment(offset: number): Moment {
  return { stepOfDay: 0, dayOfWeek: 0, offset, patternNow: 0, patternNext: 0 }
}

/** The 95th percentile of the 15-min means that are kept. */
function usualOf(measured: History): number {
  const values = measured.values()
  const means = new Float32Array(values.length)
  for (let t = 0; t < values.length; t++) {
    const width = Math.min(SMOOTH_STEPS, t + 1)
    let sum = 0
    for (let i = 0; i < width; i++) sum += values[t - i] ?? 0
    means[t] = sum / width
  }
  means.sort()
  const usual = means[Math.floor(USUAL_QUANTILE * (means.length - 1))] ?? 0
  return Math.max(LEAST_USUAL, usual * MARGIN)
}
