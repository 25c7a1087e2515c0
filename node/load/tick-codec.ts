/**
 * A second's records as they go to the keeper's thread: keys in one text, numbers in one array. A
 * busy node has one for every shard and second, and cloning them as objects would cost more than
 * keeping them does.
 */
import { LOAD_FIELDS, type LoadRecord } from '../../protocols/load/record.ts'
import type { KeeperTell, KeyedRecord } from './keeper-messages.ts'
import type { ToKeeper } from './keeper-port.ts'

type Tick = KeeperTell & { readonly tell: 'tick' }

interface Packed {
  /** Keys have no blanks. */
  readonly keys: string
  /** By record, in the order of LOAD_FIELDS. */
  readonly values: Float64Array
}

interface PackedTick {
  readonly tell: 'packed'
  readonly second: number
  readonly seconds: Packed
  readonly count: number | undefined
  readonly minute:
    | { readonly slot: number; readonly records: Packed; readonly count: number | undefined }
    | undefined
}

/** What goes over the wire. */
export type OnWire = Exclude<ToKeeper, Tick> | PackedTick

export function packed(message: ToKeeper): OnWire {
  if (!('tell' in message) || message.tell !== 'tick') return message
  const { second, seconds, count, minute } = message
  const packedMinute = minute && {
    slot: minute.slot,
    records: pack(minute.records),
    count: minute.count
  }
  return { tell: 'packed', second, seconds: pack(seconds), count, minute: packedMinute }
}

export function unpacked(message: OnWire): ToKeeper {
  if (!('tell' in message) || message.tell !== 'packed') return message
  const { second, minute } = message
  const tick: Tick = {
    tell: 'tick',
    second,
    seconds: unpack(message.seconds),
    ...some(message.count)
  }
  if (minute === undefined) return tick
  const { slot, records, count } = minute
  return { ...tick, minute: { slot, records: unpack(records), ...some(count) } }
}

function some(count: number | undefined): { readonly count?: number } {
  return count === undefined ? {} : { count }
}

function pack(records: readonly KeyedRecord[]): Packed {
  const values = new Float64Array(records.length * LOAD_FIELDS.length)
  let at = 0
  for (const { record } of records) {
    values[at++] = record.reads
    values[at++] = record.writes
    values[at++] = record.readBytes
    values[at++] = record.writtenBytes
    values[at++] = record.sequential
    values[at++] = record.queue
    values[at++] = record.p50Us
    values[at++] = record.p99Us
  }
  return { keys: records.map(({ key }) => key).join(' '), values }
}

function unpack({ keys, values }: Packed): KeyedRecord[] {
  if (keys === '') return []
  return keys.split(' ').map((key, i) => ({ key, record: recordAt(values, i) }))
}

function recordAt(values: Float64Array, index: number): LoadRecord {
  const at = index * LOAD_FIELDS.length
  return {
    reads: values[at] ?? 0,
    writes: values[at + 1] ?? 0,
    readBytes: values[at + 2] ?? 0,
    writtenBytes: values[at + 3] ?? 0,
    sequential: values[at + 4] ?? 0,
    queue: values[at + 5] ?? 0,
    p50Us: values[at + 6] ?? 0,
    p99Us: values[at + 7] ?? 0
  }
}
