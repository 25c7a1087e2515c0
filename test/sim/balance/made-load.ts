/**
 * Loads of many volumes, made from a seed: a day of their own with a peak by the clock of their
 * region, some with a job at a fixed hour; weekends, noise that lasts, and bursts that nothing
 * foretells.
 *
 *   daily       all of that
 *   repeating   every day exactly as the day before: no weekend, noise or burst
 *   constant    the mean, always
 *
 * Invariant: the loads of a step follow from seed, kind and number of the step, whoever asked before.
 */
import type { SimRandom } from '../random.ts'
import { STEPS_PER_DAY } from './settings.ts'

export type LoadKind = 'daily' | 'repeating' | 'constant'

interface Shape {
  readonly base: number
  /** By step of the day; 1 on average. */
  readonly day: Float64Array
  readonly weekend: number
  readonly burst: number
}

const DAYS_OF_WORK = 5
const DAYS_OF_WEEK = 7
const NOISE_LASTS = 0.9
const NOISE_STEP = 0.06
/** A burst a volume in four days, of some 40 minutes. */
const BURST_BEGINS = 1 / (4 * STEPS_PER_DAY)
const BURST_ENDS = 1 / 8

export class MadeLoad {
  /** Units per second of each volume in the present step. */
  readonly now: Float64Array
  readonly #kind: LoadKind
  readonly #random: SimRandom
  readonly #shapes: readonly Shape[]
  readonly #most: number
  readonly #noise: Float64Array
  readonly #bursting: Uint8Array

  /** `zones`: of each volume, hours ahead; `mean`: of a volume; `most`: what one may come to. */
  constructor(
    random: SimRandom,
    kind: LoadKind,
    zones: readonly number[],
    { mean, most }: { readonly mean: number; readonly most: number }
  ) {
    this.#kind = kind
    this.#random = random
    this.#most = most
    this.#shapes = zones.map(zone => shapeOf(random, zone, mean))
    this.now = new Float64Array(zones.length)
    this.#noise = new Float64Array(zones.length)
    this.#bursting = new Uint8Array(zones.length)
  }

  /** On to step number `step`, one after the other from 0 on. */
  advance(step: number): void {
    const slot = step % STEPS_PER_DAY
    const isWeekend = Math.floor(step / STEPS_PER_DAY) % DAYS_OF_WEEK >= DAYS_OF_WORK
    for (const [v, shape] of this.#shapes.entries()) {
      const load = this.#kind === 'constant' ? shape.base : shape.base * (shape.day[slot] ?? 1)
      const changed = this.#kind === 'daily' ? this.#disturbed(v, shape, load, isWeekend) : load
      this.now[v] = Math.min(this.#most, changed)
    }
  }

  #disturbed(v: number, { weekend, burst }: Shape, load: number, isWeekend: boolean): number {
    const random = this.#random
    const pushed = random.fraction() + random.fraction() + random.fraction() - 1.5
    const noise = NOISE_LASTS * (this.#noise[v] ?? 0) + 2 * NOISE_STEP * pushed
    this.#noise[v] = noise
    const isOn = this.#bursting[v] === 1
    this.#bursting[v] = (isOn ? !random.chance(BURST_ENDS) : random.chance(BURST_BEGINS)) ? 1 : 0
    const more = this.#bursting[v] === 1 ? burst : 1
    return load * Math.exp(noise) * (isWeekend ? weekend : 1) * more
  }
}

function shapeOf(random: SimRandom, zone: number, mean: number): Shape {
  const peak = 10 + 6 * random.fraction()
  const width = 2 + 3 * random.fraction()
  const height = 0.5 + 3 * random.fraction()
  const job = random.chance(0.3) ? 24 * random.fraction() : undefined
  const day = Float64Array.from({ length: STEPS_PER_DAY }, (_, slot) => {
    const hour = (slot / STEPS_PER_DAY) * 24 + zone
    const busy = 1 + height * Math.exp(-((apart(hour, peak) / width) ** 2))
    return busy + (job !== undefined && apart(hour, job) < 0.5 ? 1.5 + height : 0)
  })
  const average = day.reduce((sum, value) => sum + value, 0) / STEPS_PER_DAY
  const skew = random.fraction() + random.fraction() + random.fraction() - 1.5
  return {
    base: mean * Math.exp(1.2 * skew),
    day: day.map(value => value / average),
    weekend: 0.3 + 0.6 * random.fraction(),
    burst: 1.5 + 2 * random.fraction()
  }
}

/** Hours between two hours of the day. */
function apart(a: number, b: number): number {
  const hours = Math.abs(a - b) % 24
  return Math.min(hours, 24 - hours)
}
