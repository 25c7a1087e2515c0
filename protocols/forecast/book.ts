/**
 * All forecasts of a node: its shards and whatever else it keeps by a key, at steps of five minutes,
 * with standing horizons of 15 and 60 minutes, and what it learns from all of them.
 *
 *   open, remember* -> sample (every 5 min) -> forecast
 *                          \-> rows, histories -> due? training -> Training -> adopt
 *
 * After a restart: open every subject first, so that each keeps its share of the rows; adopt the
 * models of before; remember the past in order; give the last day to `sample`, so that models are
 * judged and quantiles stand on something.
 *
 * Invariants: bounded memory per subject and in all; time and seeds are arguments; the same calls
 * give the same forecasts, to the last bit, on every version of Node.
 */
import { assert } from '../assert.ts'
import { Calendar } from './calendar.ts'
import {
  LEAST_OUTCOMES,
  LEAST_ROWS,
  MAX_KEPT_ROWS,
  MAX_SUBJECTS,
  MAX_TRAINED_SERIES
} from './limits.ts'
import { FEATURES } from './overload-state.ts'
import { Random } from './random.ts'
import { Sliced } from './sliced.ts'
import {
  DAY_STEPS,
  LEARNED_FROM_STEPS,
  type Published,
  Subject,
  type SubjectSettings,
  type ThresholdSetting
} from './subject.ts'
import type { Models, TrainingInput } from './training.ts'
import { TrainingRows } from './training-rows.ts'
import { Trees } from './trees.ts'

const DAY_MS = 86_400_000
/** Days of quiet moments that the kept rows are to span. */
const ROW_DAYS = 28
const MAX_IDS = 65_536

interface Entry {
  readonly settings: SubjectSettings
  readonly id: number
  subject: Subject
}

export class ForecastBook {
  readonly #limit: number
  readonly #entries = new Map<string, Entry>()
  readonly #calendars = new Map<string, { readonly calendar: Calendar; users: number }>()
  readonly #rows = new TrainingRows(FEATURES.length)
  #models: Models | undefined
  #trainedMs: number | undefined
  #ids = 0

  /** `limit`: subjects that it keeps at most. */
  constructor(limit = MAX_SUBJECTS) {
    assert(limit <= MAX_SUBJECTS, 'a book has a bound')
    this.#limit = limit
  }

  get size(): number {
    return this.#entries.size
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  keys(): IterableIterator<string> {
    return this.#entries.keys()
  }

  /**
   * Begins a subject without a past; false if there are too many. Throws RangeError for a zone that
   * Intl does not know.
   */
  open(key: string, settings: SubjectSettings): boolean {
    assert(!this.#entries.has(key), 'a subject is opened once')
    if (this.#entries.size >= this.#limit) return false
    const id = this.#ids++ % MAX_IDS
    this.#entries.set(key, { settings, id, subject: this.#begin(settings, id) })
    this.#use(settings.zone, 1)
    return true
  }

  /** Forgets the past of a subject, as when its load has moved; settings stay. */
  reset(key: string): void {
    const entry = this.#entryOf(key)
    entry.subject = this.#begin(entry.settings, entry.id)
  }

  close(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#use(entry.settings.zone, -1)
  }

  /** Another threshold for a subject with a past: it holds after a few samples, at once if young. */
  move(key: string, threshold: ThresholdSetting): void {
    const entry = this.#entryOf(key)
    this.#entries.set(key, { ...entry, settings: { ...entry.settings, threshold } })
    entry.subject.move(threshold)
  }

  /** The load of a step in the past, in order: learned from, nothing is foretold. */
  remember(key: string, timeMs: number, load: number | undefined): void {
    this.#entryOf(key).subject.take(timeMs, load, false, this.#rowPart())
  }

  /** The mean load of the step that holds `timeMs`; undefined or absurd: a gap. */
  sample(key: string, timeMs: number, load: number | undefined): void {
    this.#entryOf(key).subject.take(timeMs, load, true, this.#rowPart())
  }

  /** What is foretold after the newest live sample; undefined before the first. */
  forecast(key: string): Published | undefined {
    return this.#entries.get(key)?.subject.publish()
  }

  /** What the node has learned, and when; to be kept over a restart. */
  get models(): Models | undefined {
    return this.#models
  }

  /** Rows to learn from, and those of them that an overload followed. */
  get rows(): { readonly count: number; readonly positives: number } {
    return { count: this.#rows.count, positives: this.#rows.positives }
  }

  /** Whether to train: first when there is enough, then once a day. */
  due(nowMs: number): boolean {
    const { count, positives } = this.rows
    if (count < LEAST_ROWS || Math.min(positives, count - positives) < LEAST_OUTCOMES) return false
    const since = nowMs - (this.#trainedMs ?? Number.NEGATIVE_INFINITY)
    return since >= DAY_MS || since < 0
  }

  /** Copies everything that a training needs. It counts as the training of this day. */
  training(nowMs: number, seed: number): Sliced<TrainingInput> {
    this.#trainedMs = nowMs
    return new Sliced(this.#gather(nowMs, seed))
  }

  /** Takes what a training has finished, or what was kept over a restart. */
  adopt(models: Models): void {
    const trees = models.trees === undefined ? undefined : Trees.of(models.trees)
    this.#models = { ...models, trees }
    this.#trainedMs = Math.max(this.#trainedMs ?? models.record.atMs, models.record.atMs)
    for (const { subject } of this.#entries.values()) subject.adopt(this.#models)
  }

  *#gather(atMs: number, seed: number): Generator<void, TrainingInput> {
    const rows = yield* this.#rows.parts()
    const series: Float32Array[] = []
    for (const { subject } of this.#drawn(seed)) {
      yield
      series.push(subject.history())
    }
    return { atMs, seed, day: DAY_STEPS, rows, series, present: this.#models?.trees }
  }

  #begin(settings: SubjectSettings, id: number): Subject {
    const known = this.#calendars.get(settings.zone)
    const calendar = known?.calendar ?? new Calendar(settings.zone)
    if (known === undefined) this.#calendars.set(settings.zone, { calendar, users: 0 })
    const subject = new Subject({ settings, calendar, id, rows: this.#rows })
    if (this.#models !== undefined) subject.adopt(this.#models)
    return subject
  }

  /** A calendar is kept as long as a subject reads it. */
  #use(zone: string, change: number): void {
    const known = this.#calendars.get(zone)
    if (known === undefined) return
    known.users += change
    if (known.users === 0) this.#calendars.delete(zone)
  }

  #rowPart(): number {
    return MAX_KEPT_ROWS / (ROW_DAYS * DAY_STEPS * Math.max(1, this.#entries.size))
  }

  #drawn(seed: number): Entry[] {
    const able = [...this.#entries.values()].filter(
      ({ subject }) => subject.steps >= LEARNED_FROM_STEPS
    )
    const random = new Random(seed)
    const wanted = Math.min(able.length, MAX_TRAINED_SERIES)
    for (let i = 0; i < wanted; i++) {
      const other = i + random.below(able.length - i)
      const [a, b] = [able[i], able[other]]
      if (a === undefined || b === undefined) continue
      able[i] = b
      able[other] = a
    }
    return able.slice(0, wanted)
  }

  #entryOf(key: string): Entry {
    const entry = this.#entries.get(key)
    assert(entry !== undefined, 'a subject is open before it is sampled')
    return entry
  }
}
