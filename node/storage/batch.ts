/**
 * One append as bytes: the records of some changes, and where their data lives afterwards. Small
 * data is copied beside its head; the overlay then keeps that copy, and the receive buffer that
 * the data was a view of is free.
 */
import { assert } from '../../protocols/assert.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { KiB } from '../../protocols/limits.ts'
import type { Change } from './change.ts'
import { Kind } from './change.ts'
import { RECORD_HEAD_BYTES, recordHeadBytes, recordTemplate, writeRecord } from './record.ts'

/** Data up to this long is copied beside its head: cheaper than one more part, and it frees the
 *  receive buffer that it is a view of. */
const COPY_BYTES = 32 * KiB
const MARK_TEMPLATE = recordTemplate({
  volume: '0'.repeat(32) as VolumeId,
  extent: 0,
  generation: 0,
  column: 0,
  replica: 0
})

export interface Batch {
  readonly bytes: number
  /** Where the data of each change now lives, if it was copied. */
  readonly data: ReadonlyArray<Uint8Array | undefined>
  /** The parts to write, for the segment with this nonce. */
  write: (nonce: Uint8Array) => Uint8Array[]
}

/** The records of `changes`, which get the lsns after `lastLsn`. */
export function encodeBatch(changes: readonly Change[], lastLsn: number, provenLsn: number): Batch {
  let ownBytes = 0
  let bytes = 0
  for (const { kind, count, data } of changes) {
    const dataBytes = kind === Kind.write ? data.length : 0
    const headBytes = recordHeadBytes(kind, count)
    ownBytes += headBytes + (dataBytes <= COPY_BYTES ? dataBytes : 0)
    bytes += headBytes + dataBytes
  }
  const copies: Array<Uint8Array | undefined> = []
  const write = (nonce: Uint8Array) => {
    const own = Buffer.allocUnsafeSlow(ownBytes)
    const parts: Uint8Array[] = []
    let at = 0
    let from = 0
    let lsn = lastLsn
    for (const change of changes) {
      const { kind, first, count, crcs, data } = change
      const fields = { kind, first, count, crcs, lsn: ++lsn, provenLsn, nonce }
      at = writeRecord(own, at, templateOf(change), fields)
      let copy: Uint8Array | undefined
      if (kind === Kind.write && data.length <= COPY_BYTES) {
        own.set(data, at)
        copy = own.subarray(at, at + data.length)
        at += data.length
      } else if (kind === Kind.write) {
        parts.push(own.subarray(from, at), data)
        from = at
      }
      copies.push(copy)
    }
    if (at > from) parts.push(own.subarray(from, at))
    assert(at === own.length, 'a batch is as long as was reckoned')
    return parts
  }
  return { bytes, data: copies, write }
}

function templateOf(change: Change): Buffer {
  const { chunk } = change
  if (chunk === undefined) return MARK_TEMPLATE
  chunk.recordHead ??= recordTemplate(chunk.key)
  assert(chunk.recordHead.length === RECORD_HEAD_BYTES, 'a template is one head')
  return chunk.recordHead
}
