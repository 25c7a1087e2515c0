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

/** Undefined: the series shows the model, and every hour is the mean of its minutes. */
function difference(series: Series, model: Model, to: number): string | undefined {
  const loads = series.load('minute', START, to)
  for (const [i, load] of loads.entries()) {
    const rates = model.get(START + i)
    const wanted = rates === undefined ? Number.NaN : loadOf(rates)
    if (!Object.is(load, wanted)) return `minute ${i}: ${load} and not ${wanted}`
  }
  const hours = series.load('hour', START / 60, Math.ceil(to / 60))
  for (const [i, load] of hours.entries()) {
    const minutes = [...loads.subarray(i * 60, i * 60 + 60)].filter(one => !Number.isNaN(one))
    const mean = minutes.reduce((sum, one) => sum + one, 0) / minutes.length
    const isMean = Math.abs(load - mean) <= 1e-5 * mean
    if (minutes.length === 0 ? !Number.isNaN(load) : !isMean) return `hour ${i}: ${load}, ${mean}`
  }
  return undefined
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
    const given = run.model.get(minute)
    expect(given === undefined || run.piece !== undefined).toBe(true)
    run.series.minute(minute, record)
    return new Map(run.model).set(minute, kept(record))
  },
  late: run => {
    const slot = run.minute - run.random.below(9)
    expect(run.series.minute(slot, randomRecord(run.random))).toBe(false)
    return run.model
  },
  take: run => {
    const share = run.random.unit()
    run.pieces++
    run.piece = run.series.take({ id: `p${run.pieces}`, share })
    return changed(run.model, (own, part) => Math.max(own - part, 0), share)
  },
  back: run => {
    const { piece } = run
    if (piece === undefined) return run.model
    run.piece = undefined
    const before = run.model
    run.series.give(piece, (run.minute + 1) * MINUTE_MS)
    return givenTo(before, piece)
  }
}

function changed(
  model: Model,
  change: (own: number, part: number) => number,
  share: number
): Model {
  const rates = (own: Rates): Rates => {
    const of = (field: keyof Rates): number =>
      Math.fround(change(own[field], fromCode(toCode(own[field] * share))))
    return {
      reads: of('reads'),
      writes: of('writes'),
      readBytes: of('readBytes'),
      writtenBytes: of('writtenBytes')
    }
  }
  return new Map([...model].map(([minute, own]) => [minute, rates(own)]))
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
  return drawn < 0.9 ? 'minute' : drawn < 0.94 ? 'late' : drawn < 0.97 ? 'take' : 'back'
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
        expect(`${i} ${what}: ${difference(run.series, run.model, run.minute + 2)}`).toBe(
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
      const what = draw(run.random)
      const after = OPERATIONS_OF_A_RUN[what]?.(run) ?? run.model
      run.files.beforeStep = undefined
      const wrong = images.map(image => judge(image, run, after)).filter(one => one !== undefined)
      expect({ i, what, wrong }).toEqual({ i, what, wrong: [] })
      run.model = after
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

/** The image shows what was before or after; a minute that was lost can be told again. */
function judge(image: MemorySeriesFiles, run: Run, after: Model): string | undefined {
  const series = seriesIn(image)
  const to = run.minute + 2
  const asBefore = difference(series, run.model, to)
  if (asBefore === undefined) {
    const next = run.minute + 30
    series.minute(next, overTime([], 1))
    return difference(series, new Map(run.model).set(next, overTime([], 1)), next + 1)
  }
  const asAfter = difference(series, after, to)
  return asAfter && `${asBefore}; ${asAfter}`
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
