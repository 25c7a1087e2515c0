// Goal: whatever is measured, taken, given and killed in whatever order, a series shows what a simple
//   model says; a crash at any write loses at most the minute under way, and shows no number that
//   was not kept; rot makes gaps and nothing else.
// Method: seeded runs against a map of minutes. Before every write the image that a crash would leave
//   is opened, with that write torn anywhere, compared, and gone on with. Then random bytes of a file
//   are flipped.
import { describe, expect, it } from 'vitest'
import type { Series } from '../../node/load/series.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { fromCode, toCode } from '../../protocols/load/float-code.ts'
import type { HistoryPiece } from '../../protocols/load/history.ts'
import { type LoadRecord, loadOf, overTime } from '../../protocols/load/record.ts'
import { SERIES_BYTES } from '../../protocols/load/series-file.ts'
import type { MemorySeriesFiles } from '../support/series-memory-files.ts'
import {
  FILE,
  KEY,
  kept,
  MINUTE_MS,
  openBook,
  randomRecord,
  rowsOf,
  START
} from '../support/series-rig.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const OPERATIONS = 250
const RATES = ['reads', 'writes', 'readBytes', 'writtenBytes'] as const

/** The loads of all minutes, as they should be read. */
type Model = Map<number, Rates>
type Rates = Pick<LoadRecord, (typeof RATES)[number]>

function seriesIn(files: MemorySeriesFiles): Series {
  const { book, problems } = openBook(files)
  expect(problems).toEqual([])
  return book.open(KEY, 0)
}

/** What should be shown: minutes up to the newest, whatever the clock was before. */
interface State {
  readonly model: Model
  readonly newest: number
}

/** Undefined: the series shows it, and every hour is the mean of its minutes. */
function difference(series: Series, { model, newest }: State): string | undefined {
  const to = Math.max(newest, ...model.keys()) + 60
  const loads = series.load('minute', START, to)
  for (const [i, load] of loads.entries()) {
    const rates = START + i > newest ? undefined : model.get(START + i)
    const wanted = rates === undefined ? Number.NaN : loadOf(rates)
    if (!Object.is(load, wanted)) return `minute ${i}: ${load} and not ${wanted}`
  }
  const hours = series.load('hour', START / 60, Math.ceil(to / 60))
  for (const [i, load] of hours.entries()) {
    const mean = meanOf(model, START / 60 + i, newest)
    const isMean = Math.abs(load - mean) <= 1e-5 * mean
    if (Number.isNaN(mean) ? !Number.isNaN(load) : !isMean) return `hour ${i}: ${load}, ${mean}`
  }
  return undefined
}

/** Of all minutes of a complete hour; of the hour of the newest, up to that; NaN after it. */
function meanOf(model: Model, hour: number, newest: number): number {
  let sum = 0
  let count = 0
  const last = hour === Math.floor(newest / 60) ? newest : newest < hour * 60 ? 0 : hour * 60 + 59
  for (let minute = hour * 60; minute <= last; minute++) {
    const rates = model.get(minute)
    if (rates === undefined) continue
    sum += loadOf(rates)
    count++
  }
  return sum / count
}

interface Run {
  readonly random: Random
  model: Model
  files: MemorySeriesFiles
  series: Series
  minute: number
  piece: HistoryPiece | undefined
  pieces: number
}

/** Each changes the series and returns what the model is after it. */
const OPERATIONS_OF_A_RUN: Record<string, (run: Run) => Model> = {
  minute: run => {
    run.minute += run.random.unit() < 0.1 ? 1 + run.random.below(40) : 1
    const { minute, random } = run
    for (let second = 0; second < 60; second += 1 + random.below(20)) {
      run.series.second(minute * 60 + second, randomRecord(random))
    }
    const record = randomRecord(random)
    run.series.minute(minute, record)
    return new Map(run.model).set(minute, kept(record))
  },
  clock: run => {
    const back = run.minute - 11 - run.random.below(80)
    if (back < START) return run.model
    run.minute = back
    const record = randomRecord(run.random)
    run.series.minute(back, record)
    return new Map(run.model).set(back, kept(record))
  },
  late: run => {
    // The first minute of a series is never late.
    if (run.minute < START) return run.model
    const slot = run.minute - run.random.below(9)
    expect(run.series.minute(slot, randomRecord(run.random))).toBe(false)
    return run.model
  },
  take: run => {
    const share = run.random.unit()
    run.pieces++
    run.piece = run.series.take({ id: `p${run.pieces}`, share })
    return taken(run.model, run.minute, share)
  },
  back: run => {
    const { piece } = run
    if (piece === undefined) return run.model
    run.piece = undefined
    const before = run.model
    run.series.give(piece, (run.minute + 200) * MINUTE_MS)
    return givenTo(before, piece)
  }
}

function taken(model: Model, newest: number, share: number): Model {
  const after = new Map(model)
  for (const [minute, own] of model) {
    if (minute > newest) continue
    const left = (field: keyof Rates): number =>
      Math.fround(Math.max(own[field] - fromCode(toCode(own[field] * share)), 0))
    after.set(minute, {
      reads: left('reads'),
      writes: left('writes'),
      readBytes: left('readBytes'),
      writtenBytes: left('writtenBytes')
    })
  }
  return after
}

function givenTo(model: Model, { minutes }: HistoryPiece): Model {
  const after = new Map(model)
  for (const [i, state] of minutes.states.entries()) {
    const own = model.get(minutes.first + i)
    if (state === 0 || own === undefined) continue
    const [reads, writes, readBytes, writtenBytes] = RATES.map((field, f) =>
      Math.fround(own[field] + fromCode(minutes.codes[i * 4 + f] ?? 0))
    )
    after.set(minutes.first + i, {
      reads: reads ?? 0,
      writes: writes ?? 0,
      readBytes: readBytes ?? 0,
      writtenBytes: writtenBytes ?? 0
    })
  }
  return after
}

function begin(seed: number): Run {
  const { files, book } = openBook()
  const random = new Random(seed)
  const rest = { model: new Map(), minute: START - 1, piece: undefined, pieces: 0 }
  return { random, files, series: book.open(KEY, 0), ...rest }
}

function draw(random: Random): string {
  const drawn = random.unit()
  return drawn < 0.9
    ? 'minute'
    : drawn < 0.92
      ? 'clock'
      : drawn < 0.94
        ? 'late'
        : drawn < 0.97
          ? 'take'
          : 'back'
}

describe(`a series (SEED=${SEED})`, () => {
  it('shows what a simple model says, whatever is done to it and however often it is killed', () => {
    const run = begin(SEED)
    for (let i = 0; i < 4 * OPERATIONS; i++) {
      const what = draw(run.random)
      const after = OPERATIONS_OF_A_RUN[what]?.(run) ?? run.model
      run.model = after
      if (run.random.unit() < 0.1) {
        run.files = run.files.image()
        run.series = seriesIn(run.files)
      }
      if (i % 10 === 0 || what !== 'minute') {
        expect(`${i} ${what}: ${difference(run.series, stateOf(run))}`).toBe(
          `${i} ${what}: undefined`
        )
      }
    }
  })

  it('loses at most the minute under way to a crash at any write, torn or not', () => {
    const run = begin(SEED + 1)
    const random = new Random(SEED + 2)
    for (let i = 0; i < OPERATIONS; i++) {
      const images: MemorySeriesFiles[] = []
      run.files.beforeStep = ({ bytes, freeze }) => {
        images.push(freeze(), freeze(random.below(bytes + 1)), freeze(bytes))
      }
      const before = stateOf(run)
      const what = draw(run.random)
      run.model = OPERATIONS_OF_A_RUN[what]?.(run) ?? run.model
      run.files.beforeStep = undefined
      const wrong = images.map(image => judge(image, before, stateOf(run)))
      expect({ i, what, wrong: wrong.filter(one => one !== undefined) }).toEqual({
        i,
        what,
        wrong: []
      })
    }
  }, 60_000)

  it('makes gaps of what rotted, and never shows what was not kept', () => {
    const run = begin(SEED + 3)
    for (let i = 0; i < 400; i++) OPERATIONS_OF_A_RUN.minute?.(run)
    const [from, to] = [START, run.minute + 1]
    const minutes = rowsOf(run.series.read('minute', from, to))
    const hours = rowsOf(run.series.read('hour', from / 60, Math.ceil(to / 60)))
    const seconds = rowsOf(run.series.read('second', from * 60, to * 60))
    const random = new Random(SEED + 4)
    for (let i = 0; i < 150; i++) {
      const files = run.files.image()
      for (let n = 0; n < 60; n++) flip(files, random, to)
      const series = openBook(files).book.open(KEY, 0)
      const newest = series.bounds('minute')?.newest ?? 0
      for (const [slot, row] of rowsOf(series.read('minute', from, to))) {
        expect(row).toEqual(minutes.get(slot))
      }
      for (const [slot, row] of rowsOf(series.read('hour', from / 60, Math.ceil(to / 60)))) {
        if (slot !== Math.floor(newest / 60)) expect(row).toEqual(hours.get(slot))
      }
      for (const [slot, row] of rowsOf(series.read('second', from * 60, to * 60))) {
        expect(row).toEqual(seconds.get(slot))
      }
      series.steps(5, from * MINUTE_MS, to * MINUTE_MS)
      series.take({ id: 'a', share: 0.5 })
      series.minute(to + 5, overTime([], 1))
    }
  })
})

/** The image shows what was before or after, and goes on from there as if nothing had happened. */
function judge(image: MemorySeriesFiles, before: State, after: State): string | undefined {
  const series = seriesIn(image)
  const notBefore = difference(series, before)
  const notAfter = notBefore === undefined ? undefined : difference(series, after)
  if (notBefore !== undefined && notAfter !== undefined) return `${notBefore}; ${notAfter}`
  const { model, newest } = notBefore === undefined ? before : after
  const next = newest + 30
  series.minute(next, overTime([], 1))
  return difference(series, { model: new Map(model).set(next, overTime([], 1)), newest: next })
}

function stateOf({ model, minute }: Run): State {
  return { model, newest: minute }
}

/** Of the whole file, or of the places that are in use; the head is left alone now and then. */
function flip(files: MemorySeriesFiles, random: Random, to: number): void {
  const used = [0, 4096, 53_248 + (START % 20_224) * 32, 700_416 + ((START / 60) % 17_568) * 32]
  const drawn = random.unit()
  const base = drawn < 0.002 ? used[0] : drawn < 0.5 ? used[1] : drawn < 0.8 ? used[2] : used[3]
  const spread = [4096, 49_152, (to - START) * 32, 320][used.indexOf(base ?? 0)] ?? 1
  const at =
    random.unit() < 0.05
      ? 4096 + random.below(SERIES_BYTES - 4096)
      : (base ?? 0) + random.below(spread)
  files.flip(FILE, at, 1 + random.below(255))
}
