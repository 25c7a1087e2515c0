/**
 * Keeps what was measured on this node and foretells from it: the series and the forecasts of the
 * node and of each of its shards, and the models that it trains on them.
 *
 *   tick    -> series: seconds, minutes ;  each five minutes -> forecasts -> news
 *   subject -> its past, read from its series in slices, then live
 *   take, give -> history that leaves or comes with data, then its past again
 *
 * All of it is synchronous, in slices: a thread (keeper-thread.ts) or a simulator gives it turns.
 * Invariants: a slice is short; a subject is foretold only when its past has been read; what is told
 * is written before the minute is out of memory; a disk that is full costs history and nothing else.
 */
import { messageOf } from '../../protocols/fault.ts'
import { ForecastBook } from '../../protocols/forecast/book.ts'
import { STEP_MS, type SubjectSettings } from '../../protocols/forecast/subject.ts'
import { type Models, Training } from '../../protocols/forecast/training.ts'
import { IDLE, type LoadRecord, loadOf } from '../../protocols/load/record.ts'
import { NEWS_FORECASTS, WARMING_TOLD_EVERY } from '../limits.ts'
import { FiveMinutes } from './five-minutes.ts'
import {
  type KeeperAnswer,
  type KeeperAsk,
  type KeeperNews,
  type KeeperState,
  type KeeperTell,
  NODE_KEY,
  type ToldMinute
} from './keeper-messages.ts'
import { KeptHistory } from './kept-history.ts'
import { loadModels, saveModels } from './models-file.ts'
import { outlookOf, withStanding } from './outlook.ts'
import { pastOf } from './past.ts'
import type { SeriesFiles } from './series-files.ts'

export interface KeeperOptions {
  readonly files: SeriesFiles
  readonly seed: number
  /** Wall milliseconds. */
  readonly now: () => number
  readonly send: (news: KeeperNews) => void
}

const MINUTE_SECONDS = 60

interface Kept {
  settings: SubjectSettings
  minutes: FiveMinutes
  /** Its past is being read; the first `next` starts it. */
  reading: Generator<void> | undefined
}

export class LoadKeeper {
  readonly #options: KeeperOptions
  readonly #history: KeptHistory
  readonly #book = new ForecastBook()
  readonly #kept = new Map<string, Kept>()
  #training: Generator<void, Models | undefined> | undefined
  #trainings = 0
  /** What shards left behind of which a crash kept us from hearing. */
  #isPruned = false
  /** Of all series on disk, when it was last looked at. */
  #bytes = 0
  #troubledAtMs = Number.NEGATIVE_INFINITY

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#history = new KeptHistory(options.files, options.now, what => this.#trouble(what))
    this.#careful(() => {
      const models = loadModels(options.files)
      if (models !== undefined) this.#book.adopt(models)
      this.#bytes = this.#history.bytes
    })
  }

  hear(message: KeeperTell): void {
    if (message.tell === 'tick') this.#tick(message)
    else if (message.tell === 'subject') this.#open(message.key, message.settings)
    else if (message.tell === 'gone') this.#forget(message.key, message.forget)
    else this.#careful(() => this.#history.delivered(message.id))
  }

  *answer(question: KeeperAsk): Generator<void, KeeperAnswer> {
    const history = this.#history
    switch (question.ask) {
      case 'forecast': {
        const { subject, horizonMinutes } = question
        const kept = 'key' in subject ? this.#kept.get(subject.key) : undefined
        if ('key' in subject && kept === undefined) return undefined
        const past =
          'key' in subject
            ? { ...history.steps(subject.key), settings: kept?.settings }
            : { loads: subject.loads, endMs: subject.endMs, settings: subject.settings }
        const { loads, endMs, settings } = past
        if (settings === undefined) return undefined
        const weights = this.#book.models?.weights
        const long = yield* outlookOf({ loads, endMs, settings, horizonMinutes, weights })
        // Within the hour, what is always foretold knows more: it has the node's trees.
        const isRead = kept?.reading === undefined
        const standing = 'key' in subject && isRead ? this.#book.forecast(subject.key) : undefined
        return long === undefined ? undefined : withStanding(long, standing)
      }
      case 'history':
        return history.steps(question.key, question.steps)
      case 'rows':
        return history.rows(question)
      case 'import': {
        const taken = history.import(question.key, question.rows)
        if (taken > 0) this.#readAgain(question.key)
        return { taken }
      }
      case 'take': {
        const piece = history.take(question)
        this.#readAgain(question.key)
        return piece
      }
      case 'give': {
        const isNew = history.give(question.key, question.piece)
        if (isNew) this.#readAgain(question.key)
        return { isNew }
      }
      case 'undelivered':
        return history.undelivered()
    }
  }

  /** Reads on in somebody's past; false when all is read. */
  catchUp(): boolean {
    for (const [key, kept] of this.#kept) {
      if (kept.reading === undefined) continue
      if (this.#isRead(kept.reading)) {
        kept.reading = undefined
        this.#publish([key])
        const { left } = this.#warming()
        if (left % WARMING_TOLD_EVERY === 0) this.#tellState()
      }
      return true
    }
    return false
  }

  /** What the disk does not give of a past is a past that is not known. */
  #isRead(reading: Generator<void>): boolean {
    let isDone = true
    this.#careful(() => {
      isDone = reading.next().done === true
    })
    return isDone
  }

  /** One slice of training, if any is due; whether there was. */
  train(): boolean {
    const { now, seed, files } = this.#options
    if (this.#training === undefined) {
      if (!this.#book.due(now())) return false
      this.#training = trainingOf(this.#book, now(), seed + this.#trainings++)
    }
    const { done, value: models } = this.#training.next()
    if (done !== true) return true
    this.#training = undefined
    if (models === undefined) return true
    this.#book.adopt(models)
    this.#careful(() => saveModels(files, models))
    this.#tellState()
    return true
  }

  close(): void {
    this.#careful(() => this.#history.close())
  }

  #tick({ second, seconds, count = 1, minute }: KeeperTell & { readonly tell: 'tick' }): void {
    // Seconds of several minutes come with them.
    if (count <= MINUTE_SECONDS) {
      for (const { key, record } of seconds) this.#seconds(key, second, count, record)
    }
    if (minute !== undefined) this.#minutes(minute)
  }

  #seconds(key: string, last: number, count: number, record: LoadRecord): void {
    if (!this.#kept.has(key)) return
    this.#careful(() => {
      for (let second = last - count + 1; second <= last; second++) {
        this.#history.second(key, second, record)
      }
    })
  }

  #minutes(minute: ToldMinute): void {
    if (!this.#isPruned) this.#careful(() => this.#history.prune(new Set(this.#kept.keys())))
    this.#isPruned = true
    const records = new Map(minute.records.map(({ key, record }) => [key, record]))
    const changed: string[] = []
    for (const [key, kept] of this.#kept) {
      const record = records.get(key) ?? IDLE
      if (this.#minutesOf(key, kept, minute, record)) changed.push(key)
    }
    if (changed.length > 0) this.#publish(changed)
    // Every file is asked for its size: not in every minute.
    if (this.#bytes === 0 || changed.length > 0) {
      this.#careful(() => {
        this.#bytes = this.#history.bytes
      })
    }
    this.#tellState()
  }

  /** Whether something new is foretold. */
  #minutesOf(
    key: string,
    kept: Kept,
    { slot, count = 1 }: ToldMinute,
    record: LoadRecord
  ): boolean {
    let isNew = false
    for (let minute = slot - count + 1; minute <= slot; minute++) {
      if (count > 1) {
        this.#seconds(key, (minute + 1) * MINUTE_SECONDS - 1, MINUTE_SECONDS, record)
      }
      this.#careful(() => this.#history.minute(key, minute, record))
      isNew = this.#step(key, kept, minute, record) || isNew
    }
    return isNew
  }

  /** Whether it completes a step of what is foretold. */
  #step(key: string, kept: Kept, minute: number, record: LoadRecord): boolean {
    const steps = kept.minutes.add(minute, loadOf(record))
    // Whoever is still reading finds it in the series.
    if (kept.reading !== undefined) return false
    for (const { number, load } of steps) this.#book.sample(key, number * STEP_MS, load)
    return steps.length > 0
  }

  #open(key: string, settings: SubjectSettings): void {
    const known = this.#kept.get(key)
    if (known !== undefined) {
      const isAlike = isSameLife(known.settings, settings)
      known.settings = settings
      if (isAlike) {
        this.#book.move(key, settings.threshold)
        return
      }
      this.#book.close(key)
    }
    if (!this.#book.open(key, settings)) {
      this.#trouble(`${key} is one shard too many to foretell`)
      return
    }
    const minutes = known?.minutes ?? new FiveMinutes()
    this.#kept.set(key, { settings, minutes, reading: this.#past(key) })
    if (this.#warming().left % WARMING_TOLD_EVERY === 1) this.#tellState()
  }

  #forget(key: string, forget: boolean): void {
    if (forget) this.#careful(() => this.#history.remove(key))
    if (!this.#kept.delete(key)) return
    this.#book.close(key)
    this.#tellState()
  }

  /** The history of a shard changed, and with it that of the node. */
  #readAgain(key: string): void {
    for (const changed of [key, NODE_KEY]) {
      const kept = this.#kept.get(changed)
      if (kept === undefined) continue
      this.#book.reset(changed)
      kept.reading = this.#past(changed)
    }
    this.#tellState()
  }

  #past(key: string): Generator<void> {
    return pastOf(this.#book, key, () => this.#history.steps(key), this.#options.now)
  }

  #publish(keys: readonly string[]): void {
    const forecasts = keys.flatMap(key => {
      const forecast = this.#book.forecast(key)
      return forecast === undefined ? [] : [{ key, forecast }]
    })
    for (let at = 0; at < forecasts.length; at += NEWS_FORECASTS) {
      const some = forecasts.slice(at, at + NEWS_FORECASTS)
      this.#options.send({ news: 'forecasts', forecasts: some })
    }
  }

  #tellState(): void {
    const trained = this.#book.models?.record
    const state = { warming: this.#warming(), bytes: this.#bytes, trained }
    this.#options.send({ news: 'state', state })
  }

  #warming(): KeeperState['warming'] {
    let left = 0
    for (const { reading } of this.#kept.values()) if (reading !== undefined) left++
    return { left, all: this.#kept.size }
  }

  /** The weather of the disk: what is not written is a gap. */
  #careful(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#trouble(`the history of load is not kept: ${messageOf(error)}`)
    }
  }

  /** Said once a minute at most. */
  #trouble(what: string): void {
    const nowMs = this.#options.now()
    if (Math.abs(nowMs - this.#troubledAtMs) < 60_000) return
    this.#troubledAtMs = nowMs
    this.#options.send({ news: 'trouble', what })
  }
}

function* trainingOf(
  book: ForecastBook,
  nowMs: number,
  seed: number
): Generator<void, Models | undefined> {
  const gathering = book.training(nowMs, seed)
  while (!gathering.done) {
    gathering.slice()
    yield
  }
  if (gathering.finished === undefined) return undefined
  const training = new Training(gathering.finished)
  while (!training.done) {
    training.slice()
    yield
  }
  return training.finished
}

/** Another threshold needs no other life. */
function isSameLife(a: SubjectSettings, b: SubjectSettings): boolean {
  return a.zone === b.zone && JSON.stringify(a.patterns) === JSON.stringify(b.patterns)
}
