/**
 * The last minutes of a series in memory: the record of minute m at m modulo RECENT_SLOTS. What is
 * read of the ring of minutes is completed by these.
 *
 * On disk a minute goes where the one lies that was written RECENT_SLOTS writes before, whatever the
 * clock did: a torn write never costs one that is needed.
 */
import { FOLD_MINUTES, MINUTE_SLOTS, RECENT_SLOTS } from '../../protocols/load/limits.ts'
import { MinuteSlots, SLOT_BYTES } from '../../protocols/load/minute-slots.ts'
import { RECORD_BYTES, RecordBlock } from '../../protocols/load/record-block.ts'
import { MINUTE_RING, RECENT_AT } from '../../protocols/load/series-file.ts'
import type { SeriesFiles } from './series-files.ts'

export interface Tail {
  readonly block: RecordBlock
  /** The minute measured last; 0: none was. */
  last: number
  sequence: number
}

export function readRecent(files: SeriesFiles, name: string): MinuteSlots {
  const slots = new MinuteSlots(RECENT_SLOTS)
  files.read(name, slots.block.bytes, RECENT_AT)
  return slots
}

/** The places of recent slots that are whole, in the order in which they were written. */
export function recentPlaces(slots: MinuteSlots): number[] {
  const places: number[] = []
  for (let place = 0; place < RECENT_SLOTS; place++) {
    const isThere = slots.minuteAt(place) !== 0 && slots.sequenceAt(place) % RECENT_SLOTS === place
    if (isThere) places.push(place)
  }
  return places.sort((a, b) => slots.sequenceAt(a) - slots.sequenceAt(b))
}

export function readTail(files: SeriesFiles, name: string): Tail {
  const slots = readRecent(files, name)
  const tail: Tail = { block: new RecordBlock(RECENT_SLOTS), last: 0, sequence: 0 }
  for (const place of recentPlaces(slots)) {
    tail.last = slots.minuteAt(place)
    tail.sequence = slots.sequenceAt(place)
    tail.block.copy(tail.last % RECENT_SLOTS, slots.block, slots.recordOf(place))
  }
  return tail
}

/** The next minute, from a slot that was sealed with `tail.sequence + 1`. */
export function writeMinute(
  files: SeriesFiles,
  name: string,
  tail: Tail,
  minute: number,
  sealed: { slots: MinuteSlots; bytes: number }
): void {
  const place = (tail.sequence + 1) % RECENT_SLOTS
  const { block } = sealed.slots
  files.write(name, block.bytes.subarray(0, sealed.bytes), RECENT_AT + place * SLOT_BYTES)
  tail.block.copy(minute % RECENT_SLOTS, block, 0)
  tail.last = minute
  tail.sequence++
}

/** The group of minutes from `first` into the ring of minutes, in one write unless it has gaps. */
export function foldGroup(files: SeriesFiles, name: string, tail: Tail, first: number): void {
  const place = first % RECENT_SLOTS
  const at = MINUTE_RING.at + (first % MINUTE_SLOTS) * RECORD_BYTES
  let start = 0
  for (let i = 0; i <= FOLD_MINUTES; i++) {
    if (i < FOLD_MINUTES && tail.block.holds(place + i, first + i)) continue
    const { bytes } = tail.block
    const run = bytes.subarray((place + start) * RECORD_BYTES, (place + i) * RECORD_BYTES)
    if (run.length > 0) files.write(name, run, at + start * RECORD_BYTES)
    start = i + 1
  }
}
