/**
 * What one shard, or a node, was asked in an interval and how it answered: the unit in which load is
 * measured, kept and passed on.
 *
 * Rates and not counts, so that seconds, minutes and hours are compared as they are. `loadOf` makes
 * the one number that is forecast: requests per second, and one more for every 32 KiB per second. It
 * is the same everywhere in the mesh, so loads of shards add up, and history keeps its meaning when
 * it moves to another node.
 */
import { assert } from '../assert.ts'
import { KiB } from '../limits.ts'

export interface LoadRecord {
  /** Requests per second; trim and write-zeroes are writes. */
  readonly reads: number
  readonly writes: number
  /** Bytes per second. */
  readonly readBytes: number
  readonly writtenBytes: number
  /** The part of the requests that went on where an earlier one of its chunk had ended, 0 to 1. */
  readonly sequential: number
  /** Requests that waited or were served at a time, on average. */
  readonly queue: number
  /** From the arrival of a request to its answer, in microseconds, 1 at least; 0 if there was none. */
  readonly p50Us: number
  readonly p99Us: number
}

/** The fields of a record, in the order of the series file and of messages. */
export const LOAD_FIELDS = [
  'reads',
  'writes',
  'readBytes',
  'writtenBytes',
  'sequential',
  'queue',
  'p50Us',
  'p99Us'
] as const satisfies ReadonlyArray<keyof LoadRecord>

export const IDLE: LoadRecord = {
  reads: 0,
  writes: 0,
  readBytes: 0,
  writtenBytes: 0,
  sequential: 0,
  queue: 0,
  p50Us: 0,
  p99Us: 0
}

/** So many bytes weigh as much as the request that carries them. */
export const BYTES_PER_UNIT = 32 * KiB

/** Units per second: one for a request, one for every 32 KiB that it moves. */
export function loadOf(
  record: Pick<LoadRecord, 'reads' | 'writes' | 'readBytes' | 'writtenBytes'>
): number {
  return record.reads + record.writes + (record.readBytes + record.writtenBytes) / BYTES_PER_UNIT
}

/**
 * Several intervals of the same length as one of their whole length: means of the rates, and of what
 * describes a request the mean over requests; of p99 the greatest. `length`: how many intervals there
 * were, those without a record were idle.
 */
export function overTime(records: readonly LoadRecord[], length: number): LoadRecord {
  assert(records.length <= length && length > 0, 'an interval has at most one record')
  return combine(records, 1 / length)
}

/** Several shards in the same interval as one: sums, and the same means over requests. */
export function together(records: readonly LoadRecord[]): LoadRecord {
  return combine(records, 1)
}

function combine(records: readonly LoadRecord[], scale: number): LoadRecord {
  let reads = 0
  let writes = 0
  let readBytes = 0
  let writtenBytes = 0
  let queue = 0
  let sequential = 0
  let p50Us = 0
  let p99Us = 0
  for (const record of records) {
    const requests = record.reads + record.writes
    reads += record.reads
    writes += record.writes
    readBytes += record.readBytes
    writtenBytes += record.writtenBytes
    queue += record.queue
    sequential += requests * record.sequential
    p50Us += requests * record.p50Us
    p99Us = Math.max(p99Us, record.p99Us)
  }
  const requests = Math.max(reads + writes, Number.MIN_VALUE)
  return {
    reads: reads * scale,
    writes: writes * scale,
    readBytes: readBytes * scale,
    writtenBytes: writtenBytes * scale,
    sequential: sequential / requests,
    queue: queue * scale,
    p50Us: p50Us / requests,
    p99Us
  }
}
