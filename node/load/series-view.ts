/** What is read of a series: columns of records, and loads alone for forecasts. */
import { assert } from '../../protocols/assert.ts'
import { LOAD_FIELDS, type LoadRecord } from '../../protocols/load/record.ts'
import { RECORD_BYTES, RecordBlock } from '../../protocols/load/record-block.ts'
import type { Ring } from '../../protocols/load/series-file.ts'
import type { SeriesFiles } from './series-files.ts'

/** What is there, by ascending slot; each field has as many values as there are slots. */
export type Columns = Readonly<Record<keyof LoadRecord, Float64Array>> & {
  /** Seconds, minutes or hours since 1970. */
  readonly slots: Uint32Array
}

/** The records of the slots `from` to `to` (not included) of a ring: slot s at index s - from. */
export function readRing(
  files: SeriesFiles,
  name: string,
  ring: Ring,
  from: number,
  to: number
): RecordBlock {
  assert(to - from <= ring.slots, 'a ring is read once around at most')
  const block = new RecordBlock(Math.max(to - from, 0))
  let done = 0
  while (done < block.count) {
    const place = (from + done) % ring.slots
    const count = Math.min(block.count - done, ring.slots - place)
    const target = block.bytes.subarray(done * RECORD_BYTES, (done + count) * RECORD_BYTES)
    files.read(name, target, ring.at + place * RECORD_BYTES)
    done += count
  }
  return block
}

export function columnsOf(block: RecordBlock, from: number): Columns {
  const found: number[] = []
  for (let i = 0; i < block.count; i++) if (block.holds(i, from + i)) found.push(i)
  const columns = emptyColumns(found.length)
  for (const [i, index] of found.entries()) {
    setColumns(columns, i, from + index, block.get(index))
  }
  return columns
}

/** The load of each slot, NaN where none is known. */
export function loadsOf(block: RecordBlock, from: number): Float64Array {
  const loads = new Float64Array(block.count)
  for (let i = 0; i < block.count; i++) {
    loads[i] = block.holds(i, from + i) ? block.loadAt(i) : Number.NaN
  }
  return loads
}

export function emptyColumns(length: number): Columns {
  return {
    slots: new Uint32Array(length),
    reads: new Float64Array(length),
    writes: new Float64Array(length),
    readBytes: new Float64Array(length),
    writtenBytes: new Float64Array(length),
    sequential: new Float64Array(length),
    queue: new Float64Array(length),
    p50Us: new Float64Array(length),
    p99Us: new Float64Array(length)
  }
}

export function setColumns(columns: Columns, i: number, slot: number, record: LoadRecord): void {
  columns.slots[i] = slot
  for (const field of LOAD_FIELDS) columns[field][i] = record[field]
}

/**
 * Means of steps: of the minutes where an hour has any, else the value of the hour; NaN where
 * nothing is known. `minutes` and `hours` begin with the first minute and hour of the first step.
 */
export function stepsOf(
  minutes: Float64Array,
  hours: Float64Array,
  stepMinutes: number,
  firstMinute: number
): Float64Array {
  assert(60 % stepMinutes === 0, 'an hour is whole steps')
  const steps = new Float64Array(minutes.length / stepMinutes)
  const firstHour = Math.floor(firstMinute / 60)
  const measured = hoursWithMinutes(minutes, firstMinute, hours.length)
  for (let step = 0; step < steps.length; step++) {
    const hour = Math.floor((firstMinute + step * stepMinutes) / 60) - firstHour
    steps[step] =
      measured[hour] === 1
        ? meanOf(minutes, step * stepMinutes, stepMinutes)
        : (hours[hour] ?? Number.NaN)
  }
  return steps
}

function hoursWithMinutes(minutes: Float64Array, firstMinute: number, hours: number): Uint8Array {
  const measured = new Uint8Array(hours)
  const offset = firstMinute % 60
  for (let i = 0; i < minutes.length; i++) {
    if (!Number.isNaN(minutes[i])) measured[Math.floor((offset + i) / 60)] = 1
  }
  return measured
}

/** Of those that are numbers; NaN if none is. */
function meanOf(values: Float64Array, from: number, length: number): number {
  let sum = 0
  let count = 0
  for (let i = from; i < from + length; i++) {
    const value = values[i] ?? Number.NaN
    if (Number.isNaN(value)) continue
    sum += value
    count++
  }
  return count === 0 ? Number.NaN : sum / count
}
