// Goal: no receipt fails a move, whatever its words and numbers; no byte of the file reads as a
//   receipt that was not written; a crash or a flipped bit costs what it hit and nothing else.
// Method: careless receipts, a disk that ends at any byte, rot at any byte (fast-check).
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openReceiptLog, RECEIPTS_FILE } from '../../node/balance/receipt-log.ts'
import {
  encodeRecord,
  RECEIPT_LOG,
  type ReceiptEntry,
  readReceipts
} from '../../protocols/balance/receipt-file.ts'
import { MAX_RECORD_BYTES } from '../../protocols/balance/receipt-limits.ts'
import { fitReceipt, forTarget, readReceipt } from '../../protocols/balance/receipt-schema.ts'
import { encodeHeader, HEADER_BYTES, readHeader } from '../../protocols/file-header.ts'
import { MapDisk } from '../support/map-disk.ts'
import { anyEntry, anyReceipt } from '../support/receipts-made.ts'
import { quiet } from '../support/storage-rig.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const options = { seed: SEED, numRuns: 60 }
const entries = fc.array(anyEntry(anyReceipt.map(fitReceipt)), { minLength: 1, maxLength: 5 })

function fileOf(list: readonly ReceiptEntry[]): { bytes: Uint8Array; ends: number[] } {
  const parts = [encodeHeader(RECEIPT_LOG), ...list.map(encodeRecord)]
  let at = 0
  const ends = parts.map(part => {
    at += part.length
    return at
  })
  return { bytes: Uint8Array.from(Buffer.concat(parts)), ends }
}

describe(`receipts (SEED=${SEED})`, () => {
  it('are made to fit, whatever they say, and then stay as they are', () => {
    fc.assert(
      fc.property(anyReceipt, receipt => {
        const fitted = fitReceipt(receipt)
        expect(readReceipt(fitted)).toEqual(fitted)
        expect(fitReceipt(fitted)).toEqual(fitted)
        expect(readReceipt(forTarget(fitted))).toEqual(forTarget(fitted))
        expect(encodeRecord({ receipt: fitted }).length).toBeLessThan(MAX_RECORD_BYTES)
      }),
      options
    )
  })

  it('are read again as they were written', () => {
    fc.assert(
      fc.property(entries, list => {
        const { bytes } = fileOf(list)
        const read = readReceipts(bytes)
        expect(read).toEqual({ entries: list, endBytes: bytes.length, lostBytes: 0, tornBytes: 0 })
      }),
      options
    )
  })

  it('are found as far as they were written, wherever the file ends', () => {
    fc.assert(
      fc.property(entries, fc.double({ min: 0, max: 1, noNaN: true }), (list, part) => {
        const { bytes, ends } = fileOf(list)
        const length = Math.floor(part * bytes.length)
        const read = readReceipts(bytes.subarray(0, length))
        const whole = ends.slice(1).filter(end => end <= length).length
        expect(read.entries).toEqual(list.slice(0, whole))
        expect(read.lostBytes).toBe(0)
        expect(read.endBytes + read.tornBytes).toBe(length)
      }),
      options
    )
  })

  it('beside a flipped bit are all there but the one it hit', () => {
    fc.assert(
      fc.property(entries, fc.nat(), fc.nat(7), (list, place, bit) => {
        const { bytes, ends } = fileOf(list)
        const at = place % bytes.length
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
        const read = readReceipts(bytes)
        const hit = ends.findIndex(end => at < end)
        expect(read.entries).toEqual(list.filter((_, i) => i !== hit - 1))
        if (hit === 0) expect(readHeader(bytes, RECEIPT_LOG)).not.toBe('ours')
        else expect(read.lostBytes + read.tornBytes).toBeGreaterThan(0)
      }),
      options
    )
  })

  it('are never made of bytes that are none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), bytes => {
        const read = readReceipts(bytes)
        expect(read.entries).toEqual([])
        expect(read.endBytes).toBeLessThanOrEqual(Math.min(HEADER_BYTES, bytes.length))
      }),
      options
    )
  })

  it('survive a crash at any write: what was flushed is there, and can be added to', async () => {
    await fc.assert(
      fc.asyncProperty(entries, entries, fc.double({ min: 0, max: 1, noNaN: true }), crashed),
      { ...options, numRuns: 30 }
    )
  })
})

async function crashed(
  first: readonly ReceiptEntry[],
  second: readonly ReceiptEntry[],
  keep: number
): Promise<void> {
  const disk = new MapDisk()
  const written: ReceiptEntry[] = []
  const log = await openReceiptLog({ disk, log: quiet, snapshot: () => written }, () => undefined)
  const add = (list: readonly ReceiptEntry[]) => {
    for (const entry of list) {
      written.push(entry)
      log.append(entry)
    }
  }
  add(first)
  await log.flush()
  // What is on its way when the power goes may be there in part.
  const before = disk.crash(keep)
  disk.failWith = 'EIO'
  add(second)
  await log.flush()
  disk.failWith = undefined
  for (const image of [before, disk.crash(keep)]) {
    const found: ReceiptEntry[] = []
    const options = { disk: image, log: quiet, snapshot: () => [...found, ...second] }
    const again = await openReceiptLog(options, entry => found.push(entry))
    expect(found).toEqual(first)
    expect(again.problem).toBeUndefined()
    for (const entry of second) again.append(entry)
    await again.close()
    const all: ReceiptEntry[] = []
    await openReceiptLog({ disk: image, log: quiet, snapshot: () => [] }, one => all.push(one))
    expect(all).toEqual([...first, ...second])
    expect(image.size(`${RECEIPTS_FILE}.new`)).toBeUndefined()
  }
}
