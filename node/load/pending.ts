/**
 * Seconds that wait for their minute. The next minute may have begun before the last one is
 * complete, so two are kept; when a third begins, the oldest is dropped.
 *
 * Invariant: seconds of a minute come in order; one that is not later than those before is dropped.
 */
import { MinuteSlots } from '../../protocols/load/minute-slots.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'

const MOST = 2

interface PendingMinute {
  minute: number
  /** The second that came last, idle ones too; -1: none. */
  newest: number
  readonly slots: MinuteSlots
}

export class Pending {
  /** By age, the oldest first. */
  readonly #minutes: PendingMinute[] = []
  /** Empty ones, for the next minute. */
  readonly #spare: PendingMinute[] = []

  /** False: it is late. */
  add(minute: number, second: number, record: LoadRecord): boolean {
    const pending = this.#find(minute) ?? this.#begin(minute)
    if (second <= pending.newest) return false
    pending.newest = second
    if (!isIdle(record)) pending.slots.add(0, second, record)
    return true
  }

  /** What is written of this minute: to be sealed, and dropped after that. */
  slotOf(minute: number): MinuteSlots {
    return (this.#find(minute) ?? this.#begin(minute)).slots
  }

  drop(minute: number): void {
    const at = this.#minutes.findIndex(pending => pending.minute === minute)
    if (at !== -1) this.#spare.push(...this.#minutes.splice(at, 1))
  }

  /** Seconds so far; those that did not come before the newest were idle. */
  view(): Array<{ slot: number; record: LoadRecord }> {
    return this.#minutes.flatMap(({ minute, newest, slots }) =>
      slots.seconds(0, newest + 1).map((record, second) => ({ slot: minute * 60 + second, record }))
    )
  }

  #find(minute: number): PendingMinute | undefined {
    for (const pending of this.#minutes) if (pending.minute === minute) return pending
    return undefined
  }

  #begin(minute: number): PendingMinute {
    const dropped = this.#minutes.length >= MOST ? this.#minutes.shift() : undefined
    const pending = dropped ??
      this.#spare.pop() ?? { minute, newest: -1, slots: new MinuteSlots(1) }
    pending.minute = minute
    pending.newest = -1
    pending.slots.begin(0)
    this.#minutes.push(pending)
    return pending
  }
}

function isIdle(record: LoadRecord): boolean {
  return (
    record.reads === 0 &&
    record.writes === 0 &&
    record.readBytes === 0 &&
    record.writtenBytes === 0 &&
    record.queue === 0
  )
}
