// Goal: the load keeper never loses what it said it wrote, counts history that moves or is imported
// once at each end, and goes on whatever its disk and its clock do.
// Method: keepers driven by hand on files in memory, frozen or refused at every change.
import { describe, expect, it } from 'vitest'
import { MAX_UNDELIVERED_PIECES } from '../../node/limits.ts'
import { NODE_KEY } from '../../node/load/keeper-messages.ts'
import { loadModels, saveModels } from '../../node/load/models-file.ts'
import { Outbox } from '../../node/load/outbox.ts'
import type { Resolution } from '../../node/load/series.ts'
import { ShoalError } from '../../protocols/fault.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { Training } from '../../protocols/forecast/training.ts'
import { IDLE, loadOf } from '../../protocols/load/record.ts'
import { type LoadRow, MAX_ROWS } from '../../protocols/load/rows.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { DrivenKeeper } from '../support/load-keeper.ts'
import { MemorySeriesFiles } from '../support/series-memory-files.ts'
import { volumeId } from '../support/shard-harness.ts'

const SEED = Number(process.env.SEED ?? 7)
const START = Math.floor(Date.UTC(2026, 2, 2) / 60_000)
const VOLUME = volumeId(1)
const OTHER = volumeId(2)
const TARGET = nodeId('target')
const SETTINGS = { zone: 'UTC', patterns: [], threshold: 'usual' } as const
const ID = '00000000000000aa'
const WEEK = 7 * 1440

function open(files: MemorySeriesFiles, minute: number, keys = [VOLUME, NODE_KEY]): DrivenKeeper {
  const keeper = new DrivenKeeper(files, minute * 60_000)
  for (const key of keys) keeper.tell({ tell: 'subject', key, settings: SETTINGS })
  keeper.catchUp()
  return keeper
}

/** The shard's load, and twice as much of the node. */
function live(keeper: DrivenKeeper, minute: number, load: number): void {
  keeper.minute(
    minute,
    new Map<string, number>([
      [VOLUME, load],
      [NODE_KEY, 2 * load]
    ])
  )
}

function loadAt(minute: number): number {
  return 100 + (minute % 60) + Math.floor(50 * Math.sin(minute / 200))
}

function lived(minutes: number, files = new MemorySeriesFiles()): DrivenKeeper {
  const keeper = open(files, START)
  for (let minute = START; minute < START + minutes; minute++) live(keeper, minute, loadAt(minute))
  return keeper
}

/** The load of each slot that is known. */
function loads(
  keeper: DrivenKeeper,
  key: string,
  step: Resolution = 'minute'
): Map<number, number> {
  const { rows } = keeper.ask({ ask: 'rows', key, step, from: 0, to: 2 ** 53 })
  return new Map(rows.map(({ slot, record }) => [slot, loadOf(record)]))
}

function total(keeper: DrivenKeeper, key: string): number {
  return [...loads(keeper, key).values()].reduce((sum, load) => sum + load, 0)
}

/** What a crash would leave, before and in the middle of each change, and the end. */
function images(keeper: DrivenKeeper, work: () => void): MemorySeriesFiles[] {
  const files = keeper.files as MemorySeriesFiles
  const frozen: MemorySeriesFiles[] = []
  files.beforeStep = ({ bytes, freeze }) => {
    for (const part of [0, 0.5]) frozen.push(freeze(Math.floor(bytes * part)))
  }
  work()
  files.beforeStep = undefined
  return [...frozen, files.image()]
}

function taking(keeper: DrivenKeeper, share = 0.5): ReturnType<typeof keeper.ask<'take'>> {
  return keeper.ask({ ask: 'take', key: VOLUME, id: ID, to: TARGET, part: { share } })
}

describe(`the load keeper (SEED=${SEED})`, () => {
  it('has every minute that ended before it was killed, whenever that was', () => {
    const keeper = lived(140)
    let checked = 0
    for (let minute = START + 140; minute < START + 182; minute++) {
      for (const image of images(keeper, () => live(keeper, minute, loadAt(minute)))) {
        const found = loads(open(image, minute), VOLUME)
        for (let m = START; m < minute; m++) expect(found.get(m), `${m}`).toBe(loadAt(m))
        checked++
      }
    }
    expect(checked).toBeGreaterThan(150)
  })

  it('foretells the same after a kill as without one', () => {
    const keeper = lived(20 * 60)
    const again = open((keeper.files as MemorySeriesFiles).image(), START + 20 * 60)
    expect(again.forecasts.get(VOLUME)?.path.length).toBeGreaterThan(0)
    expect(again.forecasts).toEqual(keeper.forecasts)
    live(keeper, START + 1200, 333)
    live(again, START + 1200, 333)
    expect(again.forecasts).toEqual(keeper.forecasts)
  })

  it('begins a subject anew with its past when its zone changes, not for a threshold', () => {
    const keeper = lived(600)
    const { steps } = keeper.forecasts.get(VOLUME) ?? {}
    const threshold = { load: 50, from: 'capacity' } as const
    keeper.tell({ tell: 'subject', key: VOLUME, settings: { ...SETTINGS, threshold } })
    keeper.forecasts.clear()
    keeper.catchUp()
    expect(keeper.forecasts.size).toBe(0)
    for (let minute = START + 600; minute < START + 630; minute++) live(keeper, minute, 100)
    expect(keeper.forecasts.get(VOLUME)?.threshold).toEqual({ load: 50, from: 'capacity' })
    expect(keeper.forecasts.get(VOLUME)?.steps).toBe((steps ?? 0) + 6)
    const zone = 'Asia/Tokyo'
    keeper.tell({ tell: 'subject', key: VOLUME, settings: { ...SETTINGS, threshold, zone } })
    keeper.forecasts.clear()
    keeper.catchUp()
    expect([...keeper.forecasts.keys()]).toEqual([VOLUME])
    expect(keeper.forecasts.get(VOLUME)?.steps).toBe((steps ?? 0) + 6)
  })

  it('forgets the history of what is gone only if it is told to, held or not', () => {
    const keeper = lived(30)
    const file = `${VOLUME}.series`
    keeper.tell({ tell: 'gone', key: VOLUME, forget: false })
    expect(keeper.files.list()).toContain(file)
    expect(keeper.ask({ ask: 'forecast', subject: { key: VOLUME }, horizonMinutes: 60 })).toBe(
      undefined
    )
    live(keeper, START + 30, 5)
    expect(loads(keeper, VOLUME).size).toBe(30)
    keeper.tell({ tell: 'gone', key: VOLUME, forget: true })
    expect(keeper.files.list()).not.toContain(file)
    expect(loads(keeper, NODE_KEY).size).toBe(31)
  })

  it('knows an idle minute from one that was not measured', () => {
    const keeper = open(new MemorySeriesFiles(), START)
    keeper.minute(START, new Map())
    keeper.minute(START + 2, new Map())
    expect(loads(keeper, VOLUME)).toEqual(
      new Map([
        [START, 0],
        [START + 2, 0]
      ])
    )
  })

  it('says once a minute that the disk is full, and loses history only', () => {
    const keeper = lived(300)
    const files = keeper.files as MemorySeriesFiles
    files.beforeStep = () => {
      throw new ShoalError({ code: 'NO_SPACE' }, 'the disk is full')
    }
    const atMs = keeper.forecasts.get(VOLUME)?.atMs ?? 0
    for (let minute = START + 300; minute < START + 310; minute++) {
      const seconds = [{ key: VOLUME, record: { ...IDLE, reads: 1 } }]
      keeper.tell({ tell: 'tick', second: minute * 60 + 30, seconds })
      live(keeper, minute, 9)
    }
    expect(keeper.troubles).toHaveLength(10)
    expect(keeper.troubles[0]).toMatch(/the history of load is not kept: the disk is full/)
    expect(keeper.forecasts.get(VOLUME)?.atMs).toBe(atMs + 600_000)
    files.beforeStep = undefined
    live(keeper, START + 310, 9)
    const found = loads(keeper, VOLUME)
    expect([found.get(START + 299), found.get(START + 305), found.get(START + 310)]).toEqual([
      loadAt(START + 299),
      undefined,
      9
    ])
  })

  it('lives on without a past that the disk does not give', () => {
    const files = lived(300).files as MemorySeriesFiles
    const keeper = new DrivenKeeper(files.image(), (START + 300) * 60_000)
    for (const key of [VOLUME, NODE_KEY]) {
      keeper.tell({ tell: 'subject', key, settings: SETTINGS })
    }
    keeper.files.read = () => {
      throw new ShoalError({ code: 'IO_ERROR' }, 'a bad sector')
    }
    keeper.catchUp()
    expect(keeper.state?.warming).toEqual({ left: 0, all: 2 })
    expect(keeper.troubles).toEqual([expect.stringMatching(/a bad sector/)])
    for (let minute = START + 300; minute < START + 310; minute++) live(keeper, minute, 9)
    expect(keeper.forecasts.get(VOLUME)?.steps).toBe(2)
  })

  it('does not lose the seconds of others to the one series that it cannot make', () => {
    const files = new MemorySeriesFiles()
    open(files, START, [NODE_KEY]).minute(START, new Map([[NODE_KEY, 1]]))
    const keeper = open(files, START)
    files.beforeStep = () => {
      throw new ShoalError({ code: 'NO_SPACE' }, 'the disk is full')
    }
    const record = { ...IDLE, reads: 3 }
    const seconds = [VOLUME, NODE_KEY].map(key => ({ key, record }))
    const second = (START + 1) * 60
    keeper.tell({ tell: 'tick', second, seconds })
    expect(loads(keeper, NODE_KEY, 'second').get(second)).toBe(3)
  })

  it.each([-60, -180, WEEK])('goes on when the clock jumps by %d minutes', jump => {
    const keeper = lived(400)
    const from = START + 400 + jump
    for (let minute = from; minute < from + 90; minute++) live(keeper, minute, 77)
    expect(keeper.forecasts.get(VOLUME)?.atMs).toBe((from + 90) * 60_000)
    const found = loads(keeper, VOLUME)
    for (let minute = from; minute < from + 90; minute++) expect(found.get(minute)).toBe(77)
    expect(keeper.troubles).toEqual([])
    const again = open((keeper.files as MemorySeriesFiles).image(), from + 90)
    expect(loads(again, VOLUME)).toEqual(found)
  })
})

describe('a forecast on demand', () => {
  const outlook = (history: readonly number[], horizonMinutes = 60) => {
    const loads = Float64Array.from(history)
    const subject = { loads, endMs: START * 60_000, settings: SETTINGS }
    const keeper = open(new MemorySeriesFiles(), START)
    return keeper.ask({ ask: 'forecast', subject, horizonMinutes })
  }

  const isForty = (load: number) => Math.abs(load - 40) < 1e-4

  it('is none of nothing', () => {
    expect(outlook([])).toBe(undefined)
    expect(outlook([Number.NaN, Number.NaN])).toBe(undefined)
    const keeper = open(new MemorySeriesFiles(), START)
    for (const key of [VOLUME, OTHER]) {
      expect(keeper.ask({ ask: 'forecast', subject: { key }, horizonMinutes: 60 })).toBe(undefined)
    }
  })

  it('stays with what it knows of one step, and of a gap', () => {
    const one = outlook([40])
    expect(one?.path).toHaveLength(12)
    expect(one?.path.every(isForty)).toBe(true)
    const gaps = outlook([Number.NaN, 40, Number.NaN, 40])
    expect(gaps?.at).toBe(START * 60_000)
    expect(gaps?.historyDays).toBeCloseTo(3 / 288)
    expect(gaps?.path.every(isForty)).toBe(true)
  })

  it.each([
    [5, 1],
    [7, 2],
    [1440, 288]
  ])('reaches %d minutes on four weeks', (horizonMinutes, steps) => {
    const found = outlook(
      Array.from({ length: 8064 }, (_, i) => 100 + 50 * Math.sin((i / 288) * 2 * Math.PI)),
      horizonMinutes
    )
    expect(found?.historyDays).toBe(28)
    for (const list of [found?.path, found?.q50, found?.q90, found?.q95]) {
      expect(list).toHaveLength(steps)
      expect(list?.every(load => load >= 0 && load < 1000)).toBe(true)
    }
    expect(found?.q90.every((load, i) => load <= (found.q95[i] ?? 0) + 1e-6)).toBe(true)
    const mean = (found?.path ?? []).reduce((sum, load) => sum + load, 0) / steps
    expect(Math.abs(mean - 100)).toBeLessThan(10)
  })

  it('takes the standing chance of a shard only when its past has been read', () => {
    const keeper = lived(300)
    const ask = () =>
      keeper.ask({ ask: 'forecast', subject: { key: VOLUME }, horizonMinutes: 1440 })
    expect(ask()?.chance?.hour).toBe(keeper.forecasts.get(VOLUME)?.chance)
    expect(ask()?.path).toHaveLength(288)
    keeper.tell({ tell: 'subject', key: VOLUME, settings: { ...SETTINGS, zone: 'Asia/Tokyo' } })
    expect(ask()?.path).toHaveLength(288)
  })
})

describe('an import', () => {
  /** Of the last 20 days: the first of them are too old to be minutes. */
  function rowsOf(seed: number, from = START - 20 * 1440, step = 7): LoadRow[] {
    const random = new Random(seed)
    const rows: LoadRow[] = []
    for (let slot = from; slot < START + 30 && rows.length < MAX_ROWS; slot++) {
      if (slot % step === 0) continue
      const reads = Math.round(random.normal() ** 2 * 1e4) / 16
      rows.push({ slot, record: { ...IDLE, reads, writtenBytes: reads * 4096 } })
    }
    return rows
  }

  function grown(before: Map<number, number>, after: Map<number, number>): Map<number, number> {
    return new Map([...after].map(([slot, load]) => [slot, load - (before.get(slot) ?? 0)]))
  }

  function expectSame(node: Map<number, number>, shard: Map<number, number>, least: number): void {
    expect([...shard.values()].filter(load => load > 0).length).toBeGreaterThan(least)
    for (const [slot, load] of shard) {
      const close = 2 + Math.abs(load) * 0.002
      expect(Math.abs((node.get(slot) ?? 0) - load), `slot ${slot}`).toBeLessThan(close)
    }
  }

  it.each([
    ['without', 0],
    ['with', 300]
  ])('into a shard %s records of its own lets the node grow by what the shard took', (_, own) => {
    const keeper = lived(own)
    if (own === 0) keeper.minute(START + 50, new Map([[NODE_KEY, 11]]))
    const before = { shard: loads(keeper, VOLUME), node: loads(keeper, NODE_KEY) }
    const hoursBefore = loads(keeper, NODE_KEY, 'hour')
    const rows = rowsOf(SEED)
    const { taken } = keeper.ask({ ask: 'import', key: VOLUME, rows })
    expect(taken).toBe(rows.filter(({ slot }) => own === 0 || slot < START).length)
    const shard = grown(before.shard, loads(keeper, VOLUME))
    expectSame(grown(before.node, loads(keeper, NODE_KEY)), shard, 10_000)
    const hours = loads(keeper, VOLUME, 'hour')
    const old = new Map([...hours].filter(([hour]) => hour < (START - 16 * 1440) / 60))
    expectSame(grown(hoursBefore, loads(keeper, NODE_KEY, 'hour')), old, 50)
    expect(keeper.state?.warming.left).toBe(2)
    expect(keeper.ask({ ask: 'import', key: VOLUME, rows })).toEqual({ taken: 0 })
  })

  it('of two shards in the same millisecond counts both', () => {
    const keeper = open(new MemorySeriesFiles(), START + 60, [VOLUME, OTHER, NODE_KEY])
    const rows = [{ slot: START, record: { ...IDLE, reads: 64 } }]
    for (const key of [VOLUME, OTHER]) keeper.ask({ ask: 'import', key, rows })
    expect(total(keeper, NODE_KEY)).toBe(128)
    // A later part of the same file.
    const next = [{ slot: START + 1, record: { ...IDLE, reads: 64 } }]
    keeper.ask({ ask: 'import', key: VOLUME, rows: next })
    expect(total(keeper, NODE_KEY)).toBe(192)
  })

  it('that a death cut short is made whole by the same rows', () => {
    const keeper = lived(100)
    const rows = rowsOf(SEED, START - 200)
    const work = () => keeper.ask({ ask: 'import', key: VOLUME, rows })
    const frozen = images(keeper, () => void work())
    const wanted = { shard: total(keeper, VOLUME), node: total(keeper, NODE_KEY) }
    expect(frozen.length).toBeGreaterThan(10)
    for (const image of frozen) {
      const again = open(image, START + 100)
      again.ask({ ask: 'import', key: VOLUME, rows })
      expect(total(again, VOLUME)).toBe(wanted.shard)
      expect(total(again, NODE_KEY)).toBe(wanted.node)
    }
  })
})

describe('history that leaves', () => {
  it('is taken off once and delivered once, whenever the keeper dies', () => {
    const keeper = lived(200)
    const [shard, node] = [total(keeper, VOLUME), total(keeper, NODE_KEY)]
    const frozen = images(keeper, () => void taking(keeper))
    const outcomes = new Set<number>()
    for (const image of frozen) {
      const again = open(image, START + 200)
      const target = open(new MemorySeriesFiles(), START + 200)
      const pieces = again.ask({ ask: 'undelivered' })
      outcomes.add(pieces.length)
      for (const { key, piece } of pieces) target.ask({ ask: 'give', key, piece })
      const moved = total(target, VOLUME)
      expect(Math.abs(total(again, VOLUME) + moved - shard)).toBeLessThan(shard / 1000)
      expect(Math.abs(total(again, NODE_KEY) + moved - node)).toBeLessThan(node / 1000)
      expect(total(target, NODE_KEY)).toBe(moved)
      if (pieces.length > 0) expect(moved / shard).toBeCloseTo(0.5, 2)
      const left = total(again, VOLUME)
      expect(again.ask({ ask: 'undelivered' })).toHaveLength(pieces.length)
      expect(total(again, VOLUME)).toBe(left)
      for (const { id } of pieces) again.tell({ tell: 'delivered', id })
      expect(again.ask({ ask: 'undelivered' })).toEqual([])
    }
    expect(outcomes).toEqual(new Set([0, 1]))
  })

  it('counts once though it arrives twice, at the shard and at the node', () => {
    const { key, piece } = taking(lived(200))
    const target = open(new MemorySeriesFiles(), START + 200)
    expect(target.ask({ ask: 'give', key, piece })).toEqual({ isNew: true })
    const first = [total(target, VOLUME), total(target, NODE_KEY)]
    expect(first[0]).toBeGreaterThan(1000)
    expect(first[1]).toBe(first[0])
    expect(target.ask({ ask: 'give', key, piece })).toEqual({ isNew: false })
    expect([total(target, VOLUME), total(target, NODE_KEY)]).toEqual(first)
  })

  it('by hour of the day goes as each hour says', () => {
    const keeper = lived(1440)
    const before = loads(keeper, VOLUME)
    const byHour = Array.from({ length: 24 }, (_, hour) => (hour < 12 ? 1 : 0))
    const part = { share: 0.5, byHour }
    keeper.ask({ ask: 'take', key: VOLUME, id: ID, to: TARGET, part })
    const after = loads(keeper, VOLUME)
    expect(after.get(START + 6 * 60)).toBeLessThan(1)
    expect(after.get(START + 18 * 60)).toBe(before.get(START + 18 * 60))
  })

  it('of a shard that was never measured is nothing, and makes no series', () => {
    const keeper = open(new MemorySeriesFiles(), START, [NODE_KEY])
    const target = open(new MemorySeriesFiles(), START)
    const { key, piece } = taking(keeper, 1)
    expect(keeper.files.list().filter(name => name.startsWith(VOLUME))).toEqual([])
    target.ask({ ask: 'give', key, piece })
    expect(total(target, VOLUME)).toBe(0)
  })

  it('is refused when it is no piece, and nothing changes', () => {
    const keeper = lived(30)
    const before = total(keeper, VOLUME)
    for (const piece of [new Uint8Array(0), new Uint8Array(500).fill(7), new Uint8Array(1e6)]) {
      expect(() => keeper.ask({ ask: 'give', key: VOLUME, piece })).toThrow(/no piece of history/)
    }
    expect(total(keeper, VOLUME)).toBe(before)
  })
})

describe('the outbox', () => {
  const entry = (n: number) => ({
    id: n.toString(16).padStart(16, '0'),
    key: VOLUME,
    to: TARGET,
    piece: Uint8Array.of(n & 0xff)
  })

  it('keeps every piece up to its bound, and no more', () => {
    const files = new MemorySeriesFiles()
    const outbox = new Outbox(files)
    for (let n = 0; n < MAX_UNDELIVERED_PIECES; n++) {
      outbox.put(entry(n))
      expect(files.list()).toHaveLength(n + 1)
    }
    outbox.put(entry(999))
    expect(outbox.all()).toHaveLength(MAX_UNDELIVERED_PIECES)
    expect(outbox.all().at(-1)).toEqual(entry(999))
  })

  it('drops what is damaged and leaves the rest, and files of others', () => {
    const files = new MemorySeriesFiles()
    const outbox = new Outbox(files)
    outbox.put(entry(1))
    outbox.put(entry(2))
    files.flip(`${entry(1).id}.piece`, 0, 0xff)
    files.write('not-an-id.piece', Uint8Array.of(1, 2), 0)
    files.write('0000000000000009.piece', new Uint8Array(0), 0)
    files.write('models', Uint8Array.of(1), 0)
    expect(outbox.all()).toEqual([entry(2)])
    expect(files.list()).toEqual([`${entry(2).id}.piece`, 'models'])
    outbox.remove('../models')
    outbox.remove(entry(2).id)
    expect(files.list()).toEqual(['models'])
  })
})

describe('models', () => {
  const made = () => {
    const random = new Random(3)
    const series = [Float32Array.from({ length: 900 }, () => 3 + random.normal())]
    const rows = {
      width: 1,
      blocks: [],
      labels: new Uint8Array(0),
      steps: new Uint32Array(0),
      subjects: new Uint16Array(0)
    }
    const training = new Training({
      atMs: START * 60_000,
      seed: 1,
      day: 288,
      rows,
      series,
      present: undefined,
      batches: 2,
      trees: 2
    })
    while (!training.done) training.slice()
    if (training.finished === undefined) throw new Error('a training ends')
    return training.finished
  }
  it('are kept over a restart and in use at once; damaged ones are not there', () => {
    const files = new MemorySeriesFiles()
    const models = made()
    expect(models.weights).toBeDefined()
    saveModels(files, models)
    expect(files.list()).toEqual(['models'])
    expect(loadModels(files)).toEqual(models)
    const keeper = open(files.image(), START + 10)
    expect(keeper.state?.trained).toEqual(models.record)
    files.flip('models', 40, 0x10)
    expect(loadModels(files)).toBe(undefined)
    expect(open(files, START + 10).state?.trained).toBe(undefined)
  })

  it('are the old or the new whenever the process dies', () => {
    const files = new MemorySeriesFiles()
    const [old, next] = [made(), { ...made(), weights: undefined }]
    saveModels(files, old)
    const frozen: MemorySeriesFiles[] = []
    files.beforeStep = ({ bytes, freeze }) => frozen.push(freeze(bytes >> 1))
    saveModels(files, next)
    expect(frozen.length).toBeGreaterThanOrEqual(2)
    for (const image of frozen) expect(loadModels(image)).toEqual(old)
    expect(loadModels(files)).toEqual(next)
  })
})
