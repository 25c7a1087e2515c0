/**
 * Records of load as they lie in a series file, 32 bytes each:
 *
 *   slot u32 | reads writes readBytes writtenBytes f32 | sequential queue p50 p99 u16 | CRC32C u32
 *
 * The highest bit of the slot says that the record was not measured here: it was given or imported.
 * A record whose checksum fails, or whose slot is another than the one asked for (an earlier lap of
 * its ring, or never written), is not there.
 *
 * Invariants: what `get` returns was `set` for that slot; bytes are little endian.
 */
import { assert } from '../assert.ts'
import { fromCode, toCode } from './float-code.ts'
import { BYTES_PER_UNIT, type LoadRecord } from './record.ts'
import { wordChecksum } from './word-checksum.ts'

export const RECORD_BYTES = 32
const WORDS = RECORD_BYTES / 4
const CODES = RECORD_BYTES / 2
const FOREIGN = 0x8000_0000
const SLOT_MASK = 0x7fff_ffff
const PART = 0xffff

/** The fields that add up between shards: what travels. */
export interface Rates {
  reads: number
  writes: number
  readBytes: number
  writtenBytes: number
}

export class RecordBlock {
  readonly count: number
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  readonly floats: Float32Array
  readonly codes: Uint16Array

  constructor(count: number) {
    const buffer = new ArrayBuffer(count * RECORD_BYTES)
    this.count = count
    this.bytes = new Uint8Array(buffer)
    this.words = new Uint32Array(buffer)
    this.floats = new Float32Array(buffer)
    this.codes = new Uint16Array(buffer)
  }

  /** Whether record `index` is there and is of this slot. */
  holds(index: number, slot: number): boolean {
    const word = this.words[index * WORDS] ?? 0
    return (word & SLOT_MASK) === slot && slot !== 0 && this.#isWhole(index)
  }

  /** The slot of record `index`; 0: there is none. */
  slotAt(index: number): number {
    const slot = (this.words[index * WORDS] ?? 0) & SLOT_MASK
    return slot !== 0 && this.#isWhole(index) ? slot : 0
  }

  isForeign(index: number): boolean {
    return (this.words[index * WORDS] ?? 0) >= FOREIGN
  }

  set(index: number, slot: number, record: LoadRecord, isForeign = false): void {
    assert(isSound(record), 'rates, latencies and queues are finite and not negative')
    assert(slot > 0 && slot <= SLOT_MASK, 'a slot is a time after 1970')
    const word = index * WORDS
    this.words[word] = isForeign ? (slot | FOREIGN) >>> 0 : slot
    this.floats[word + 1] = record.reads
    this.floats[word + 2] = record.writes
    this.floats[word + 3] = record.readBytes
    this.floats[word + 4] = record.writtenBytes
    const code = index * CODES + 10
    this.codes[code] = Math.round(Math.min(record.sequential, 1) * PART)
    this.codes[code + 1] = toCode(record.queue)
    this.codes[code + 2] = toCode(record.p50Us)
    this.codes[code + 3] = toCode(record.p99Us)
    this.#seal(index)
  }

  get(index: number): LoadRecord {
    const word = index * WORDS
    const code = index * CODES + 10
    return {
      reads: this.floats[word + 1] ?? 0,
      writes: this.floats[word + 2] ?? 0,
      readBytes: this.floats[word + 3] ?? 0,
      writtenBytes: this.floats[word + 4] ?? 0,
      sequential: (this.codes[code] ?? 0) / PART,
      queue: fromCode(this.codes[code + 1] ?? 0),
      p50Us: fromCode(this.codes[code + 2] ?? 0),
      p99Us: fromCode(this.codes[code + 3] ?? 0)
    }
  }

  /** `loadOf` of the record, without making one. */
  loadAt(index: number): number {
    const word = index * WORDS
    return (
      (this.floats[word + 1] ?? 0) +
      (this.floats[word + 2] ?? 0) +
      ((this.floats[word + 3] ?? 0) + (this.floats[word + 4] ?? 0)) / BYTES_PER_UNIT
    )
  }

  /** The four rates into `rates`, which is reused. */
  ratesInto(index: number, rates: Rates): void {
    const word = index * WORDS
    rates.reads = this.floats[word + 1] ?? 0
    rates.writes = this.floats[word + 2] ?? 0
    rates.readBytes = this.floats[word + 3] ?? 0
    rates.writtenBytes = this.floats[word + 4] ?? 0
  }

  /** Other rates for a record that is there; its queue times `queueScale`, the rest as it was. */
  setRates(index: number, rates: Rates, queueScale = 1): void {
    const word = index * WORDS
    const queue = index * CODES + 11
    this.floats[word + 1] = rates.reads
    this.floats[word + 2] = rates.writes
    this.floats[word + 3] = rates.readBytes
    this.floats[word + 4] = rates.writtenBytes
    if (queueScale !== 1) {
      this.codes[queue] = toCode(fromCode(this.codes[queue] ?? 0) * queueScale)
    }
    this.#seal(index)
  }

  copy(index: number, from: RecordBlock, fromIndex: number): void {
    const word = fromIndex * WORDS
    for (let i = 0; i < WORDS; i++) this.words[index * WORDS + i] = from.words[word + i] ?? 0
  }

  #seal(index: number): void {
    const word = index * WORDS
    this.words[word + 7] = wordChecksum(this.words, word, word + 7)
  }

  #isWhole(index: number): boolean {
    const word = index * WORDS
    return this.words[word + 7] === wordChecksum(this.words, word, word + 7)
  }
}

/** Whether a record can be kept: no field is negative, infinite or not a number. */
export function isSound(record: LoadRecord): boolean {
  return (
    isAmount(record.reads) &&
    isAmount(record.writes) &&
    isAmount(record.readBytes) &&
    isAmount(record.writtenBytes) &&
    isAmount(record.sequential) &&
    isAmount(record.queue) &&
    isAmount(record.p50Us) &&
    isAmount(record.p99Us)
  )
}

/** Up to what a 32-bit float holds. */
function isAmount(value: number): boolean {
  return value >= 0 && value <= 3e38
}

assert(
  new Uint8Array(Uint32Array.of(1).buffer)[0] === 1,
  'series files are little endian, and so is every machine that Shoal runs on'
)
