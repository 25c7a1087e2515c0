/**
 * The load of the last seconds, of every shard and of the node: what is shown as the load of now.
 *
 * Invariant: a key is remembered only while it had requests in the last SHOWN_SECONDS.
 */
import { IDLE, type LoadRecord, overTime } from '../../protocols/load/record.ts'
import { SHOWN_SECONDS } from '../limits.ts'
import type { KeyedRecord } from './keeper-messages.ts'

export class Recent {
  readonly #seconds: Array<{ second: number; records: ReadonlyMap<string, LoadRecord> }> = []

  add(second: number, records: readonly KeyedRecord[]): void {
    this.#seconds.push({ second, records: new Map(records.map(one => [one.key, one.record])) })
    if (this.#seconds.length > SHOWN_SECONDS) this.#seconds.shift()
  }

  of(key: string): LoadRecord {
    const found: LoadRecord[] = []
    for (const { records } of this.#seconds) {
      const record = records.get(key)
      if (record !== undefined) found.push(record)
    }
    return found.length === 0 ? IDLE : overTime(found, this.#seconds.length)
  }
}
