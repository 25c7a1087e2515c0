/**
 * The ring of recent minutes: each slot is one minute and its active seconds, written at once.
 *
 *    0  the record of the minute (record-block.ts)
 *   32  CRC32C u32 of what follows | minute u32 | sequence u32 | count u32
 *   48  count times: rates 4 x f32 | queue p50 p99 u16 | second u8 | sequential u8
 *
 * A slot is taken as a whole: if one of its checksums fails it is a gap. Its place is its sequence
 * modulo RECENT_SLOTS; the highest was written last, whatever the clock said.
 *
 * Invariants: seconds of a slot ascend; a second that is absent was idle.
 */
import { assert } from '../assert.ts'
import { checksum } from '../checksum.ts'
import { fromCode, toCode } from './float-code.ts'
import type { LoadRecord } from './record.ts'
import { IDLE } from './record.ts'
import { isSound, RECORD_BYTES, RecordBlock } from './record-block.ts'

export const SLOT_BYTES = 1536
const RECORDS = SLOT_BYTES / RECORD_BYTES
const WORDS = SLOT_BYTES / 4
const CRC = 8
const MINUTE = 9
const SEQUENCE = 10
const COUNT = 11
const SECONDS = 12
const SECOND_WORDS = 6
const SECONDS_OF_MINUTE = 60
const BYTE = 0xff

export class MinuteSlots {
  readonly block: RecordBlock

  constructor(count: number) {
    this.block = new RecordBlock(count * RECORDS)
  }

  /** Empties slot `index`. */
  begin(index: number): void {
    this.block.words[index * WORDS + COUNT] = 0
  }

  /** The next second that was not idle, 0 to 59: later than those before it. */
  add(index: number, second: number, record: LoadRecord): void {
    const { words, floats, codes, bytes } = this.block
    const count = words[index * WORDS + COUNT] ?? 0
    assert(isSound(record), 'rates, latencies and queues are finite and not negative')
    assert(count < SECONDS_OF_MINUTE, 'a minute has 60 seconds')
    const word = index * WORDS + SECONDS + count * SECOND_WORDS
    floats[word] = record.reads
    floats[word + 1] = record.writes
    floats[word + 2] = record.readBytes
    floats[word + 3] = record.writtenBytes
    codes[word * 2 + 8] = toCode(record.queue)
    codes[word * 2 + 9] = toCode(record.p50Us)
    codes[word * 2 + 10] = toCode(record.p99Us)
    bytes[word * 4 + 22] = second
    bytes[word * 4 + 23] = Math.round(Math.min(record.sequential, 1) * BYTE)
    words[index * WORDS + COUNT] = count + 1
  }

  /** Completes slot `index`; returns how many bytes of it have to be written. */
  seal(index: number, minute: number, record: LoadRecord, sequence: number): number {
    const { words } = this.block
    const word = index * WORDS
    this.block.set(this.recordOf(index), minute, record)
    words[word + MINUTE] = minute
    words[word + SEQUENCE] = sequence
    words[word + CRC] = this.#checksum(index)
    return (this.#end(index) - word) * 4
  }

  /** The minute of slot `index`; 0: it is torn, rotten or was never written. */
  minuteAt(index: number): number {
    const { words } = this.block
    const word = index * WORDS
    const minute = words[word + MINUTE] ?? 0
    if (minute === 0 || (words[word + COUNT] ?? 0) > SECONDS_OF_MINUTE) return 0
    const isWhole = words[word + CRC] === this.#checksum(index)
    return isWhole && this.block.holds(this.recordOf(index), minute) ? minute : 0
  }

  sequenceAt(index: number): number {
    return this.block.words[index * WORDS + SEQUENCE] ?? 0
  }

  /** Where the record of the minute is in `block`. */
  recordOf(index: number): number {
    return index * RECORDS
  }

  /** The 60 seconds of a slot, or as many as have been: those that are absent are idle. */
  seconds(index: number, length = SECONDS_OF_MINUTE): LoadRecord[] {
    const { words, floats, codes, bytes } = this.block
    const records: LoadRecord[] = new Array(length).fill(IDLE)
    const count = words[index * WORDS + COUNT] ?? 0
    for (let i = 0; i < count; i++) {
      const word = index * WORDS + SECONDS + i * SECOND_WORDS
      const second = bytes[word * 4 + 22] ?? length
      if (second >= length) continue
      records[second] = {
        reads: floats[word] ?? 0,
        writes: floats[word + 1] ?? 0,
        readBytes: floats[word + 2] ?? 0,
        writtenBytes: floats[word + 3] ?? 0,
        sequential: (bytes[word * 4 + 23] ?? 0) / BYTE,
        queue: fromCode(codes[word * 2 + 8] ?? 0),
        p50Us: fromCode(codes[word * 2 + 9] ?? 0),
        p99Us: fromCode(codes[word * 2 + 10] ?? 0)
      }
    }
    return records
  }

  #checksum(index: number): number {
    const from = index * WORDS + MINUTE
    return checksum(this.block.bytes.subarray(from * 4, this.#end(index) * 4))
  }

  /** The word after what is used. */
  #end(index: number): number {
    const word = index * WORDS
    return word + SECONDS + (this.block.words[word + COUNT] ?? 0) * SECOND_WORDS
  }
}
