// Goal: what a calibration measured becomes costs that foretell loads it did not measure, and is read
// back from its file or refused, whatever became of the file.
// Method: cells made from known costs, with and without noise; a file spoiled byte by byte. SEED=
// repeats a run.
import { describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../protocols/limits.ts'
import {
  type CalibrationRecord,
  type CostModel,
  capacityAtReferenceMix,
  decodeCalibration,
  encodeCalibration,
  fitCosts,
  type MeasuredCell,
  ratesOf,
  shareOfTime
} from '../../protocols/load/capacity.ts'
import { loadOf } from '../../protocols/load/record.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const PLANS = [1, 0.7, 0].flatMap(readPart =>
  [4 * KiB, 64 * KiB, MiB].map(sizeBytes => ({ sizeBytes, readPart }))
)

/** What a node of such costs would have measured. */
function cellsOf(costs: CostModel, noise: () => number = () => 1): MeasuredCell[] {
  return PLANS.map(plan => {
    const share = shareOfTime(costs, ratesOf({ ...plan, requestsPerSecond: 1 }))
    return { ...plan, requestsPerSecond: noise() / share }
  })
}

const DISK: CostModel = {
  perRead: 90e-6,
  perWrite: 40e-6,
  perReadByte: 1.5e-9,
  perWrittenByte: 5e-9
}

function fitted(cells: readonly MeasuredCell[]): CostModel {
  const costs = fitCosts(cells)
  if (costs === undefined) throw new Error('the cells say nothing')
  return costs
}

describe('the costs', () => {
  it.each([
    ['of a disk', DISK],
    ['where bytes are free', { ...DISK, perReadByte: 0, perWrittenByte: 0 }],
    ['where only bytes cost', { ...DISK, perRead: 0, perWrite: 0 }],
    ['where writes cost no request', { ...DISK, perWrite: 0 }]
  ])('%s are found again', (_name, costs) => {
    const found = fitted(cellsOf(costs))
    for (const key of ['perRead', 'perWrite', 'perReadByte', 'perWrittenByte'] as const) {
      expect(found[key], key).toBeCloseTo(costs[key], 12)
    }
  })

  it('foretell every cell within what noise there was, and are never negative', () => {
    const random = new SeededRandom(SEED)
    for (let n = 0; n < 200; n++) {
      // Costs of 0, which noise would take below it.
      const free = n % 2 === 0 ? {} : { perWrite: 0, perReadByte: 0 }
      const cells = cellsOf({ ...DISK, ...free }, () => 0.9 + random.below(200) / 1000)
      const costs = fitted(cells)
      for (const value of Object.values(costs)) expect(value).toBeGreaterThanOrEqual(0)
      for (const cell of cells) {
        const share = shareOfTime(costs, ratesOf(cell))
        expect(share).toBeGreaterThan(0.75)
        expect(share).toBeLessThan(1.25)
      }
    }
  })

  it('are none where nothing was read, or nothing written, or nothing answered', () => {
    const cells = cellsOf(DISK)
    expect(fitCosts([])).toBeUndefined()
    expect(fitCosts(cells.filter(cell => cell.readPart === 1))).toBeUndefined()
    expect(fitCosts(cells.filter(cell => cell.readPart === 0))).toBeUndefined()
    expect(fitCosts(cells.map(cell => ({ ...cell, requestsPerSecond: 0 })))).toBeUndefined()
  })

  it('come from what is left when some cells are no measurement', () => {
    const cells = cellsOf(DISK)
    const spoiled = cells.map((cell, index) => {
      const rate = [Number.NaN, 0, Number.POSITIVE_INFINITY, cell.requestsPerSecond][index % 4]
      return { ...cell, requestsPerSecond: index < 4 ? (rate ?? 0) : cell.requestsPerSecond }
    })
    expect(fitted(spoiled).perRead).toBeCloseTo(DISK.perRead, 9)
  })

  it('are found although one size cannot tell requests from bytes', () => {
    const cells = cellsOf(DISK).filter(cell => cell.sizeBytes === 64 * KiB)
    const costs = fitted(cells)
    for (const cell of cells) expect(shareOfTime(costs, ratesOf(cell))).toBeCloseTo(1, 6)
  })
})

describe('the share', () => {
  it('of shards together is the sum of theirs, and 1 at what was measured', () => {
    const [one, two] = PLANS.map(plan => ratesOf({ ...plan, requestsPerSecond: 100 }))
    if (one === undefined || two === undefined) throw new Error('there are nine cells')
    const both = {
      reads: one.reads + two.reads,
      writes: one.writes + two.writes,
      readBytes: one.readBytes + two.readBytes,
      writtenBytes: one.writtenBytes + two.writtenBytes
    }
    const sum = shareOfTime(DISK, one) + shareOfTime(DISK, two)
    expect(shareOfTime(DISK, both)).toBeCloseTo(sum, 12)
    for (const cell of cellsOf(DISK)) expect(shareOfTime(DISK, ratesOf(cell))).toBeCloseTo(1, 9)
  })

  it('is 1 at the capacity, for requests of the reference mix', () => {
    const one = ratesOf({ sizeBytes: 16 * KiB, readPart: 0.7, requestsPerSecond: 1 })
    const requests = capacityAtReferenceMix(DISK) / loadOf(one)
    const rates = ratesOf({ sizeBytes: 16 * KiB, readPart: 0.7, requestsPerSecond: requests })
    expect(shareOfTime(DISK, rates)).toBeCloseTo(1, 9)
    expect(loadOf(rates)).toBeCloseTo(1.5 * requests, 6)
  })
})

describe('the file', () => {
  const record: CalibrationRecord = {
    at: 1_790_000_000_000,
    tookMs: 19_000,
    isQuick: false,
    coldReads: true,
    cells: cellsOf(DISK)
  }

  it('gives back what was written', () => {
    expect(decodeCalibration(encodeCalibration(record))).toEqual(record)
  })

  it('is refused with a reason, never read as something else, wherever a byte is spoiled', () => {
    const bytes = encodeCalibration(record)
    for (let at = 0; at < bytes.length; at++) {
      const spoiled = Uint8Array.from(bytes)
      spoiled[at] = (spoiled[at] ?? 0) ^ 0x10
      expect(typeof decodeCalibration(spoiled), `byte ${at}`).toBe('string')
      expect(typeof decodeCalibration(bytes.subarray(0, at)), `${at} bytes`).toBe('string')
    }
    expect(decodeCalibration(Buffer.concat([bytes, Buffer.alloc(65_536)]))).toBe('it is too long')
  })

  it('is refused if it was written by a newer version, or claims what cannot be', () => {
    const newer = Buffer.from(encodeCalibration(record))
    newer.writeUInt32LE(2, 8)
    expect(decodeCalibration(newer)).toBe('it was written by a newer Shoal')
    const absurd = { ...record, cells: [{ sizeBytes: 4096, readPart: 2, requestsPerSecond: 1 }] }
    expect(() => encodeCalibration(absurd)).toThrow(/can be read/)
  })
})
