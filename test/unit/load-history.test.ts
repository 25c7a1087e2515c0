// Goal: load belongs to the data. After half of a shard moved, both ends foretell what they hold now
// as well as nodes that never held anything else.
// Method: four keepers live through the same two weeks of eight chunks with days of their own; one
// has all chunks, then four of them pass to another as the daemon passes them on, by heat. Two more
// had the two halves all along: theirs is the error without a move.
import { beforeAll, describe, expect, it } from 'vitest'
import { Carrier } from '../../node/load/carrier.ts'
import { NODE_KEY } from '../../node/load/keeper-messages.ts'
import type { Clock } from '../../node/ports.ts'
import { chunkNumber } from '../../node/shard/chunk-number.ts'
import { HeatMeter } from '../../node/shard/heat.ts'
import { Random } from '../../protocols/forecast/random.ts'
import type { ChunkKey } from '../../protocols/ids.ts'
import { BYTES_PER_UNIT } from '../../protocols/load/record.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { DrivenKeeper } from '../support/load-keeper.ts'
import { MemorySeriesFiles } from '../support/series-memory-files.ts'
import { quietLog, volumeId } from '../support/shard-harness.ts'

const DAY = 1440
const LEARNED_DAYS = 14
const JUDGED_DAYS = 2
const START = Math.floor(Date.UTC(2026, 2, 2) / 60_000)
const VOLUME = volumeId(1)
const TARGET = nodeId('target')
const SEED = Number(process.env.SEED ?? 4)

/** Units per second of each chunk in each minute: a peak at an hour of its own, and noise that lasts. */
class Chunks {
  readonly loads: readonly Float64Array[]

  constructor(seed: number, minutes: number) {
    const random = new Random(seed)
    this.loads = Array.from({ length: 8 }, (_, chunk) => {
      const size = 20 + 15 * chunk
      const peakHour = chunk < 4 ? 13 + chunk / 2 : 2 + chunk / 4
      let lasting = 0
      return Float64Array.from({ length: minutes }, (_, minute) => {
        lasting = 0.97 * lasting + 0.06 * random.normal()
        const away = Math.abs((((minute % DAY) / 60 - peakHour + 36) % 24) - 12) / 12
        const day = 0.1 + (1 - away) ** 3 * 4
        return size * day * 2 ** lasting
      })
    })
  }

  sum(from: number, to: number, minute: number): number {
    let sum = 0
    for (let chunk = from; chunk < to; chunk++) sum += this.loads[chunk]?.[minute] ?? 0
    return sum
  }
}

function keeper(): DrivenKeeper {
  const made = new DrivenKeeper(new MemorySeriesFiles(), START * 60_000)
  const settings = { zone: 'UTC', patterns: [], threshold: 'usual' } as const
  for (const key of [VOLUME, NODE_KEY]) made.tell({ tell: 'subject', key, settings })
  made.catchUp()
  return made
}

function live(of: DrivenKeeper, minute: number, load: number): void {
  of.minute(START + minute, new Map([VOLUME, NODE_KEY].map(key => [key, load])))
}

/** Errors at 15 and 60 minutes ahead. */
class Judge {
  readonly #sums = [0, 0]
  #count = 0

  take(of: DrivenKeeper, key: string, actual: (stepsAhead: number) => number): void {
    const path = of.forecasts.get(key)?.path ?? []
    for (const [i, steps] of [3, 12].entries()) {
      this.#sums[i] = (this.#sums[i] ?? 0) + Math.abs((path[steps - 1] ?? 0) - actual(steps))
    }
    this.#count++
  }

  errors(): number[] {
    return this.#sums.map(sum => sum / this.#count)
  }
}

function chunkAt(number: number): ChunkKey {
  return { volume: VOLUME, extent: number, generation: 0, column: 0, replica: 0 }
}

const minutes = (LEARNED_DAYS + JUDGED_DAYS) * DAY + 120
const chunks = new Chunks(SEED, minutes)
const source = keeper()
const target = keeper()
const firstHalf = keeper()
const secondHalf = keeper()
/** The control: it is given the second half, and nothing of its past. */
const bare = keeper()
const totals = { before: 0, source: 0, target: 0 }

function historyOf(of: DrivenKeeper): number {
  const { loads } = of.ask({ ask: 'history', key: VOLUME, steps: LEARNED_DAYS * 288 })
  return loads.reduce((sum, load) => sum + (Number.isNaN(load) ? 0 : load), 0)
}

beforeAll(async () => {
  const heat = new HeatMeter(0)
  const map = heat.add()
  for (let minute = 0; minute < LEARNED_DAYS * DAY; minute++) {
    for (const [chunk, loads] of chunks.loads.entries()) {
      const bytes = (loads[minute] ?? 0) * 60 * BYTES_PER_UNIT
      heat.touch(map, chunkNumber(chunkAt(chunk)), false, bytes, minute * 60_000 + 30_000)
    }
    heat.minute(START + minute, (minute + 1) * 60_000)
    live(source, minute, chunks.sum(0, 8, minute))
    live(target, minute, 0)
    live(bare, minute, 0)
    live(firstHalf, minute, chunks.sum(0, 4, minute))
    live(secondHalf, minute, chunks.sum(4, 8, minute))
  }
  totals.before = historyOf(source)
  const nowMs = LEARNED_DAYS * DAY * 60_000
  let arrived = 0
  const clock: Clock = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    after: () => ({ cancel() {} }),
    soon() {}
  }
  const carrier = new Carrier({
    clock,
    loadClock: clock,
    random: { bytes: length => new Uint8Array(length).fill(++arrived), fraction: () => 0.5 },
    log: quietLog,
    partOf: chunk => {
      const { now, byHour } = heat.shareOf(map, chunk, nowMs)
      heat.take(map, chunk, nowMs)
      return { share: now, byHour, heat: undefined }
    },
    isEmpty: () => false,
    take: async (key, id, to, part) => source.ask({ ask: 'take', key, id, to, part }),
    undelivered: async () => [],
    give: async ({ key, piece }) => target.ask({ ask: 'give', key, piece }).isNew,
    delivered: id => source.tell({ tell: 'delivered', id })
  })
  for (const number of [4, 5, 6, 7]) carrier.passed(chunkAt(number), TARGET)
  while (source.ask({ ask: 'undelivered' }).length > 0 || arrived < 4) await Promise.resolve()
  source.catchUp()
  target.catchUp()
  totals.source = historyOf(source)
  totals.target = historyOf(target)
}, 120_000)

describe(`history that moves with half of a shard (SEED=${SEED})`, () => {
  it('is all there, in two places', () => {
    expect(totals.source + totals.target).toBeCloseTo(totals.before, -Math.log10(totals.before) + 3)
    expect(totals.target / totals.before).toBeGreaterThan(0.4)
    expect(target.troubles).toEqual([])
    expect(source.troubles).toEqual([])
  })

  it('lets both ends foretell within 10 % of the error without a move', () => {
    const judges = {
      source: new Judge(),
      firstHalf: new Judge(),
      target: new Judge(),
      secondHalf: new Judge(),
      bare: new Judge(),
      sourceNode: new Judge(),
      targetNode: new Judge()
    }
    for (let minute = LEARNED_DAYS * DAY; minute < minutes - 120; minute++) {
      const first = chunks.sum(0, 4, minute)
      const second = chunks.sum(4, 8, minute)
      live(source, minute, first)
      live(firstHalf, minute, first)
      live(target, minute, second)
      live(secondHalf, minute, second)
      live(bare, minute, second)
      if (minute % 5 !== 4) continue
      const meanOf = (from: number, to: number) => (steps: number) => {
        let sum = 0
        for (let m = 0; m < 15; m++) sum += chunks.sum(from, to, minute + steps * 5 - m)
        return sum / 15
      }
      judges.source.take(source, VOLUME, meanOf(0, 4))
      judges.sourceNode.take(source, NODE_KEY, meanOf(0, 4))
      judges.firstHalf.take(firstHalf, VOLUME, meanOf(0, 4))
      judges.target.take(target, VOLUME, meanOf(4, 8))
      judges.targetNode.take(target, NODE_KEY, meanOf(4, 8))
      judges.secondHalf.take(secondHalf, VOLUME, meanOf(4, 8))
      judges.bare.take(bare, VOLUME, meanOf(4, 8))
    }
    const without = { first: judges.firstHalf.errors(), second: judges.secondHalf.errors() }
    const ratios = (judge: Judge, reference: readonly number[]) =>
      judge.errors().map((error, i) => error / (reference[i] ?? 1))
    const found = {
      source: ratios(judges.source, without.first),
      sourceNode: ratios(judges.sourceNode, without.first),
      target: ratios(judges.target, without.second),
      targetNode: ratios(judges.targetNode, without.second)
    }
    for (const [end, list] of Object.entries(found)) {
      for (const ratio of list) expect(ratio, `${end} ${JSON.stringify(found)}`).toBeLessThan(1.1)
    }
    // The control: whoever gets the data without its history does worse than that.
    expect(Math.max(...ratios(judges.bare, without.second))).toBeGreaterThan(1.1)
  })
})
