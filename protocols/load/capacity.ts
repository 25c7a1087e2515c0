/**
 * What a node can do, out of what a calibration measured of it: a cost, in seconds of the node's
 * time, for every request and every byte, apart for reads and writes. A node whose requests cost a
 * second each second is at its capacity.
 *
 *   cells (size, mix, requests/s)  --fit-->  4 costs  -->  share of a load, capacity at one mix
 *
 * The fit is by least squares of relative errors under costs that are not negative; with four
 * unknowns every set of costs above zero is tried, which is exact (Lawson and Hanson describe the
 * problem in Solving Least Squares Problems, chapter 23).
 *
 *   file   0   8  "SHOALCAL"
 *          8   4  version, 1
 *         12   4  CRC32C of the payload
 *         16      payload: CBOR of a CalibrationRecord
 *
 * Invariants: costs are finite and not negative; decoding is total.
 */
import { z } from 'zod'
import { assert } from '../assert.ts'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import { checksum } from '../checksum.ts'
import {
  KiB,
  MAX_CALIBRATION_CELLS,
  MAX_CALIBRATION_FILE_BYTES,
  MAX_CELL_RATE,
  MAX_COUNTER,
  MAX_IO_BYTES
} from '../limits.ts'
import type { LoadRecord } from './record.ts'
import { loadOf } from './record.ts'

type Rates = Pick<LoadRecord, 'reads' | 'writes' | 'readBytes' | 'writtenBytes'>

/** Seconds of the node's time. */
export interface CostModel {
  readonly perRead: number
  readonly perWrite: number
  readonly perReadByte: number
  readonly perWrittenByte: number
}

export interface MeasuredCell {
  readonly sizeBytes: number
  /** Part of the requests that are reads, 0 to 1. */
  readonly readPart: number
  readonly requestsPerSecond: number
}

export interface CalibrationRecord {
  /** Wall ms of its end. */
  readonly at: number
  readonly tookMs: number
  readonly isQuick: boolean
  /** Reads went to the disk: what the page cache held of them had been dropped. */
  readonly coldReads: boolean
  readonly cells: readonly MeasuredCell[]
}

const cost = z.number().min(0).max(MAX_COUNTER)
/** As messages carry it. */
export const costModelSchema: z.ZodType<CostModel> = z.strictObject({
  perRead: cost,
  perWrite: cost,
  perReadByte: cost,
  perWrittenByte: cost
})

const MAGIC = Buffer.from('SHOALCAL')
const VERSION = 1
const HEAD_BYTES = 16
const amount = z.number().min(0).max(MAX_COUNTER)
const recordSchema: z.ZodType<CalibrationRecord> = z.strictObject({
  at: amount,
  tookMs: amount,
  isQuick: z.boolean(),
  coldReads: z.boolean(),
  cells: z
    .array(
      z.strictObject({
        sizeBytes: z.number().int().min(1).max(MAX_IO_BYTES),
        readPart: z.number().min(0).max(1),
        requestsPerSecond: z.number().min(0).max(MAX_CELL_RATE)
      })
    )
    .max(MAX_CALIBRATION_CELLS)
})

/** What the capacity of a node is said for. */
const REFERENCE_BYTES = 16 * KiB
const REFERENCE_READ_PART = 0.7
/** Costs of bytes are fitted by this many, so that all four unknowns are of a size. */
const FIT_BYTES = 64 * KiB
const UNKNOWNS = 4
/** A set of unknowns that the cells cannot tell apart has a pivot that is smaller, relatively. */
const LEAST_PIVOT = 1e-9

/** Undefined unless some cell has reads, and some has writes. */
export function fitCosts(cells: readonly MeasuredCell[]): CostModel | undefined {
  const rows = cells.filter(isUsable).map(rowOf)
  const hasReads = rows.some(row => (row[0] ?? 0) > 0)
  const hasWrites = rows.some(row => (row[1] ?? 0) > 0)
  if (!hasReads || !hasWrites) return undefined
  let best: { costs: number[]; error: number } | undefined
  for (let set = 1; set < 1 << UNKNOWNS; set++) {
    const costs = leastSquares(rows, set)
    if (costs === undefined || costs.some(value => value < 0)) continue
    const error = errorOf(rows, costs)
    if (best === undefined || error < best.error) best = { costs, error }
  }
  if (best === undefined) return undefined
  const [perRead = 0, perWrite = 0, perReadUnit = 0, perWrittenUnit = 0] = best.costs
  const perReadByte = perReadUnit / FIT_BYTES
  const perWrittenByte = perWrittenUnit / FIT_BYTES
  return { perRead, perWrite, perReadByte, perWrittenByte }
}

/** The part of the node's time that these rates take: 1 is all of it, and more cannot be. */
export function shareOfTime(costs: CostModel, rates: Rates): number {
  return (
    rates.reads * costs.perRead +
    rates.writes * costs.perWrite +
    rates.readBytes * costs.perReadByte +
    rates.writtenBytes * costs.perWrittenByte
  )
}

/** Units per second (`loadOf`) of 16 KiB requests, seven reads to three writes. */
export function capacityAtReferenceMix(costs: CostModel): number {
  const one = ratesOf({
    sizeBytes: REFERENCE_BYTES,
    readPart: REFERENCE_READ_PART,
    requestsPerSecond: 1
  })
  const seconds = shareOfTime(costs, one)
  return seconds > 0 ? loadOf(one) / seconds : 0
}

export function ratesOf({ sizeBytes, readPart, requestsPerSecond }: MeasuredCell): Rates {
  const reads = requestsPerSecond * readPart
  const writes = requestsPerSecond - reads
  return { reads, writes, readBytes: reads * sizeBytes, writtenBytes: writes * sizeBytes }
}

export function encodeCalibration(record: CalibrationRecord): Uint8Array {
  const payload = encodeCbor(record)
  const head = Buffer.alloc(HEAD_BYTES)
  MAGIC.copy(head)
  head.writeUInt32LE(VERSION, 8)
  head.writeUInt32LE(checksum(payload), 12)
  const bytes = Buffer.concat([head, payload])
  assert(typeof decodeCalibration(bytes) !== 'string', 'what is written can be read')
  return bytes
}

/** The record, or why these bytes are none. */
export function decodeCalibration(bytes: Uint8Array): CalibrationRecord | string {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.length > MAX_CALIBRATION_FILE_BYTES) return 'it is too long'
  if (view.length < HEAD_BYTES || !view.subarray(0, 8).equals(MAGIC)) return 'it has no head'
  if (view.readUInt32LE(8) !== VERSION) return 'it was written by a newer Shoal'
  const payload = view.subarray(HEAD_BYTES)
  if (view.readUInt32LE(12) !== checksum(payload)) return 'its checksum does not match'
  const parsed = recordSchema.safeParse(decodeCbor(payload)?.value)
  return parsed.success ? parsed.data : 'its content is not understood'
}

// -- the fit

function isUsable({ requestsPerSecond, sizeBytes, readPart }: MeasuredCell): boolean {
  const isPart = readPart >= 0 && readPart <= 1
  return isPart && Number.isFinite(requestsPerSecond) && requestsPerSecond > 0 && sizeBytes > 0
}

/** The unknowns times these are the share of the cell, which is 1. */
function rowOf(cell: MeasuredCell): number[] {
  const { reads, writes, readBytes, writtenBytes } = ratesOf(cell)
  return [reads, writes, readBytes / FIT_BYTES, writtenBytes / FIT_BYTES]
}

function errorOf(rows: ReadonlyArray<readonly number[]>, costs: readonly number[]): number {
  let sum = 0
  for (const row of rows) {
    let share = 0
    for (let i = 0; i < UNKNOWNS; i++) share += (row[i] ?? 0) * (costs[i] ?? 0)
    sum += (share - 1) ** 2
  }
  return sum
}

/** With only the unknowns of the set, the others 0; undefined if the rows do not determine them. */
function leastSquares(rows: ReadonlyArray<readonly number[]>, set: number): number[] | undefined {
  const chosen = Array.from({ length: UNKNOWNS }, (_, i) => i).filter(i => ((set >> i) & 1) === 1)
  // Columns of length 1, so that a pivot says how much of it the others do not explain.
  const lengths = chosen.map(i => Math.sqrt(rows.reduce((sum, row) => sum + (row[i] ?? 0) ** 2, 0)))
  if (lengths.some(length => length === 0)) return undefined
  const column = (at: number, row: readonly number[]) =>
    (row[chosen[at] ?? 0] ?? 0) / (lengths[at] ?? 1)
  const system = chosen.map((_, a) => [
    ...chosen.map((__, b) => rows.reduce((sum, row) => sum + column(a, row) * column(b, row), 0)),
    rows.reduce((sum, row) => sum + column(a, row), 0)
  ])
  const solved = solve(system)
  if (solved === undefined) return undefined
  const costs = new Array<number>(UNKNOWNS).fill(0)
  for (const [at, i] of chosen.entries()) costs[i] = (solved[at] ?? 0) / (lengths[at] ?? 1)
  return costs
}

/** Gauss's elimination of a symmetric positive system; rows end in the right side. */
function solve(system: number[][]): number[] | undefined {
  const size = system.length
  for (const [at, pivotRow] of system.entries()) {
    const pivot = pivotRow[at] ?? 0
    if (!(pivot > LEAST_PIVOT)) return undefined
    for (const row of system) {
      if (row === pivotRow) continue
      const factor = (row[at] ?? 0) / pivot
      for (let i = at; i <= size; i++) row[i] = (row[i] ?? 0) - factor * (pivotRow[i] ?? 0)
    }
  }
  return system.map((row, at) => (row[size] ?? 0) / (row[at] ?? 1))
}
