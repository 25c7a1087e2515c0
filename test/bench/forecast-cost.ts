/**
 * `npm run bench -- forecast-cost [--quick] [--data DIR]`: what the forecasts of a whole node cost.
 *
 *   open 1,000 subjects -> remember 28 days -> live for hours -> train -> live with what was learned
 *
 * Every call of the book and every slice of the training is timed by itself, in CPU time of this
 * process, so that other programs on the machine do not count. Loads are real ones where there are
 * some, shifted against each other, else made from --seed.
 */
import { ForecastBook } from '../../protocols/forecast/book.ts'
import { Random } from '../../protocols/forecast/random.ts'
import type { Sliced } from '../../protocols/forecast/sliced.ts'
import { type Models, Training } from '../../protocols/forecast/training.ts'
import {
  DAY,
  type Load,
  readActiveVms,
  STEP_MINUTES,
  VM_START_MS,
  VM_ZONE
} from './forecast-data.ts'
import { type Bar, cpuMs, holds, printBars, printSection, type Section } from './forecast-report.ts'
import type { BenchOptions, BenchResult } from './report.ts'
import { round, versionsOf } from './report.ts'

interface Scale {
  readonly subjects: number
  readonly days: number
  /** Live steps before the training, and after it. */
  readonly before: number
  readonly after: number
}

const WHOLE: Scale = { subjects: 1000, days: 28, before: 24, after: 72 }
const QUICK: Scale = { subjects: 120, days: 8, before: 24, after: 48 }
const STEP_MS = STEP_MINUTES * 60_000
const MADE_SERIES = 40

export async function benchForecastCost(options: BenchOptions): Promise<BenchResult> {
  const { data, quick, seed } = options
  const scale = quick ? QUICK : WHOLE
  const steps = scale.days * DAY + scale.before + scale.after
  const loads = data === undefined ? madeLoads(seed, steps) : readActiveVms(data).map(rawOf)
  const node = new BusyNode(scale, loads)
  node.remember()
  node.live(scale.before)
  const training = node.train(seed)
  const taught = node.live(scale.after)
  const sections = [node.section(taught), training]
  for (const section of sections) printSection(section)
  const bars = sections.flatMap(section => section.bars)
  printBars(bars)
  if (quick) console.log('--quick: fewer subjects and days; the bars are for the whole')
  return {
    rows: sections.flatMap(({ title, rows }) => rows.map(row => ({ table: title, ...row }))),
    ratios: Object.fromEntries(bars.map(({ name, value }) => [name, value])),
    summary: {
      quick,
      loads: data === undefined ? 'made' : 'real',
      held: bars.filter(holds).length,
      bars: bars.map((bar: Bar) => ({ ...bar, pass: holds(bar) }))
    },
    seed,
    versions: await versionsOf([])
  }
}

/** A book and its subjects, at the same step each. */
class BusyNode {
  readonly #scale: Scale
  readonly #loads: readonly Float64Array[]
  readonly #book = new ForecastBook()
  readonly #keys: readonly string[]
  readonly #heldBefore = heldBytes()
  readonly #remembered: number[] = []
  readonly #sampled: number[] = []
  #step = 0

  constructor(scale: Scale, loads: readonly Float64Array[]) {
    this.#scale = scale
    this.#loads = loads
    this.#keys = Array.from({ length: scale.subjects }, (_, i) => `shard ${i}`)
    this.#keys.forEach((key, i) => {
      const threshold = i % 2 === 0 ? 'usual' : ({ load: 1000, from: 'capacity' } as const)
      this.#book.open(key, { zone: VM_ZONE, patterns: [], threshold })
    })
  }

  remember(): void {
    const end = this.#scale.days * DAY
    this.#keys.forEach((key, i) => {
      const from = cpuMs()
      for (let t = 0; t < end; t++) this.#book.remember(key, timeOf(t), this.#loadOf(i, t))
      this.#remembered.push(cpuMs() - from)
    })
    this.#step = end
  }

  /** Us of CPU per subject and step. */
  live(steps: number): number {
    const from = cpuMs()
    for (const end = this.#step + steps; this.#step < end; this.#step++) {
      this.#keys.forEach((key, i) => {
        const started = cpuMs()
        this.#book.sample(key, timeOf(this.#step), this.#loadOf(i, this.#step))
        this.#book.forecast(key)
        this.#sampled.push(cpuMs() - started)
      })
    }
    return (1000 * (cpuMs() - from)) / Math.max(1, steps * this.#keys.length)
  }

  train(seed: number): Section {
    const started = cpuMs()
    const slices: number[] = []
    const input = finish(this.#book.training(timeOf(this.#step), seed), slices)
    const gathered = cpuMs() - started
    const models = finish(new Training(input), slices)
    const seconds = (cpuMs() - started) / 1000
    const adopting = cpuMs()
    this.#book.adopt(models)
    const adopted = cpuMs() - adopting
    return trainingSection(models, slices, { seconds, gathered, adopted })
  }

  section(perStep: number): Section {
    const held = (heldBytes() - this.#heldBefore) / 1024 / this.#keys.length
    const perMinute = round(perStep / STEP_MINUTES, 2)
    const slow = round(part(this.#sampled, 0.999), 2)
    const remembered = round(part(this.#remembered, 0.5), 1)
    return {
      title: `${this.#keys.length} subjects, ${this.#scale.days} days remembered, trees and network in use`,
      rows: [
        {
          'us CPU per 5-min step': round(perStep, 1),
          'us per 1-min step': perMinute,
          'p99.9 of a sample, ms CPU': slow,
          'most, ms': round(part(this.#sampled, 1), 2),
          'ms to remember one': remembered,
          'KiB per subject': Math.round(held)
        }
      ],
      notes: [],
      bars: [
        { name: 'us CPU per subject and 1-min step', value: perMinute, most: 50 },
        { name: 'p99.9 of one sample, ms CPU', value: slow, most: 10 }
      ]
    }
  }

  #loadOf(subject: number, t: number): number {
    const load = this.#loads[subject % this.#loads.length]
    if (load === undefined) return 0
    // Whole days apart: the hours of the day stay where they are.
    return load[(t + DAY * Math.floor(subject / this.#loads.length)) % load.length] ?? 0
  }
}

function trainingSection(
  { record }: Models,
  slices: readonly number[],
  cost: { readonly seconds: number; readonly gathered: number; readonly adopted: number }
): Section {
  const slow = round(part(slices, 0.999), 2)
  return {
    title: 'One training of the node, once a day',
    rows: [
      {
        rows: record.rows,
        'followed %': round((100 * record.positives) / Math.max(1, record.rows), 1),
        series: record.series,
        'seconds CPU': round(cost.seconds, 1),
        slices: slices.length,
        'slice p50, ms': round(part(slices, 0.5), 2),
        'p99.9': slow,
        most: round(part(slices, 1), 2),
        'gather, ms': round(cost.gathered, 1),
        'adopt, ms': round(cost.adopted, 1)
      }
    ],
    notes: [
      `held out: ${record.heldOut} rows, skill ${record.skill}, AP ${record.averagePrecision}, ` +
        `trees in use: ${record.trees}`
    ],
    bars: [
      { name: 'p99.9 of one slice of training, ms CPU', value: slow, most: 10 },
      { name: 'training, % of a core', value: round(cost.seconds / 864, 3), most: 5 }
    ]
  }
}

/** Does all of a work, and times its slices. */
function finish<T>(work: Sliced<T>, slices: number[]): T {
  while (!work.done) {
    const from = cpuMs()
    work.slice()
    slices.push(cpuMs() - from)
  }
  if (work.finished === undefined) throw new Error('a work that is done has finished')
  return work.finished
}

/** Days with a shape, jobs at their hours, noise that lasts, and bursts. */
function madeLoads(seed: number, steps: number): Float64Array[] {
  return Array.from({ length: MADE_SERIES }, (_, index) => {
    const random = new Random(seed * 1000 + index)
    const jobAt = random.below(DAY)
    const jobLength = 2 + random.below(12)
    let noise = 0
    let burst = 0
    return Float64Array.from({ length: steps }, (_, t) => {
      const step = t % DAY
      noise = 0.9 * noise + 20 * random.normal()
      burst = random.unit() < 0.002 ? 900 : burst * 0.7
      const job = (step - jobAt + DAY) % DAY < jobLength ? 800 : 0
      return Math.max(0, 150 + 150 * Math.abs(1 - (2 * step) / DAY) + noise + burst + job)
    })
  })
}

function rawOf({ raw }: Load): Float64Array {
  return raw
}

function timeOf(step: number): number {
  return VM_START_MS + step * STEP_MS
}

function heldBytes(): number {
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function part(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
}
