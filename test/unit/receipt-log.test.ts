// Goal: receipts that were flushed are there after any crash, also one in the middle of writing the
//   file anew; damage is named, kept aside, and costs what it hit; the bytes stay what
//   docs/format-receipts.md says.
// Method: a disk in memory that crashes after each of its steps; bytes that the first version wrote.
import { describe, expect, it } from 'vitest'
import {
  KEPT_ASIDE,
  openReceiptLog,
  RECEIPTS_FILE,
  type ReceiptLog
} from '../../node/balance/receipt-log.ts'
import type { Disk } from '../../node/ports.ts'
import {
  encodeRecord,
  RECEIPT_LOG,
  type ReceiptEntry,
  readReceipts
} from '../../protocols/balance/receipt-file.ts'
import { RECEIPTS_LOG_MIN_BYTES } from '../../protocols/balance/receipt-limits.ts'
import { NO_SCORE } from '../../protocols/balance/score.ts'
import { encodeHeader } from '../../protocols/file-header.ts'
import { MapDisk } from '../support/map-disk.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { outcomeMade, receiptMade } from '../support/receipts-made.ts'
import { quiet } from '../support/storage-rig.ts'

/** A log whose snapshot is the last word on each move, as of Receipts. */
async function open(disk: Disk): Promise<{
  log: ReceiptLog
  known: Map<string, ReceiptEntry>
  add: (id: number, bytes?: number) => void
}> {
  const known = new Map<string, ReceiptEntry>()
  const keep = (entry: ReceiptEntry) => void known.set(entry.receipt?.id ?? '', entry)
  const log = await openReceiptLog({ disk, log: quiet, snapshot: () => [...known.values()] }, keep)
  const add = (id: number, bytes = 1) => {
    const receipt = receiptMade({ id: id.toString(16).padStart(12, '0'), bytes })
    keep({ receipt })
    log.append({ receipt })
  }
  return { log, known, add }
}

const bytesOf = (known: Map<string, ReceiptEntry>) =>
  [...known].map(([id, { receipt }]) => [Number.parseInt(id, 16), receipt?.bytes])

describe('the log of receipts', () => {
  it('has what was flushed, and nothing else than was said, after a crash at any step', async () => {
    const disk = new MemoryDisk()
    const { log, add } = await open(disk)
    /** How many steps the disk had made when so many moves were flushed. */
    const flushed: number[] = []
    for (let id = 0; id < 4; id++) {
      add(id)
      await log.flush()
      flushed.push(disk.history.length)
    }
    for (let steps = 0; steps <= disk.history.length; steps++) {
      const promised = flushed.filter(at => at <= steps).length
      for (const loss of ['none', 'all', 'some'] as const) {
        const image = disk.crashImage({ loss, steps, seed: steps })
        const { known, log, add } = await open(image)
        const ids = bytesOf(known).map(([id]) => id)
        expect(ids).toEqual([0, 1, 2, 3].slice(0, ids.length))
        expect(ids.length).toBeGreaterThanOrEqual(promised)
        add(9)
        await log.flush()
        const after = await open(image.crashImage({ loss: 'all' }))
        expect(bytesOf(after.known).map(([id]) => id)).toEqual([...ids, 9])
      }
    }
  })

  it('is written anew when most of it is outdated, and loses nothing by that', async () => {
    const disk = new MapDisk()
    const { log, known, add } = await open(disk)
    for (let round = 1; round <= 1_600; round++) {
      add(round % 8, round)
      if (round % 100 === 0) await log.flush()
    }
    await log.flush()
    expect(log.bytes).toBeLessThan(RECEIPTS_LOG_MIN_BYTES)
    const after = await open(disk.crash())
    expect(bytesOf(after.known)).toEqual(bytesOf(known))
    expect(bytesOf(known)).toContainEqual([0, 1_600])
  })

  it('names damage, keeps a copy, uses the rest, and is whole again', async () => {
    const disk = new MapDisk()
    const first = await open(disk)
    for (let id = 0; id < 4; id++) first.add(id)
    await first.log.close()
    const size = disk.size(RECEIPTS_FILE) ?? 0
    disk.rot(RECEIPTS_FILE, Math.floor(size * 0.4))
    const second = await open(disk)
    expect(second.log.problem).toMatch(/receipts\.log was damaged .*some receipts .* are lost/)
    expect([...second.known]).toHaveLength(3)
    await second.log.flush()
    expect(disk.size(KEPT_ASIDE)).toBe(size)
    const third = await open(disk.crash())
    expect(third.log.problem).toBeUndefined()
    expect([...third.known]).toHaveLength(3)
  })

  it('begins anew beside what another version wrote', async () => {
    const disk = new MapDisk()
    const file = await disk.open(RECEIPTS_FILE, 'new')
    await file.write([await otherVersion()], 0)
    const { log, known, add } = await open(disk)
    expect(log.problem).toMatch(/another version of shoal wrote it; kept as receipts\.log\.damaged/)
    add(1)
    await log.close()
    expect([...known]).toHaveLength(1)
    expect([...(await open(disk)).known]).toHaveLength(1)
  })

  it('writes everything again once a disk that failed works', async () => {
    const disk = new MapDisk()
    const { log, add } = await open(disk)
    add(1)
    await log.flush()
    disk.failWith = 'ENOSPC'
    add(2)
    await log.flush()
    disk.failWith = undefined
    add(3)
    await log.flush()
    const after = await open(disk.crash())
    expect(bytesOf(after.known).map(([id]) => id)).toEqual([1, 2, 3])
  })
})

/** A header of version 2 whose checksum is right. */
async function otherVersion(): Promise<Uint8Array> {
  const { checksum } = await import('../../protocols/checksum.ts')
  const header = encodeHeader(RECEIPT_LOG)
  const view = new DataView(header.buffer)
  view.setUint32(8, 2, true)
  view.setUint32(12, checksum(header.subarray(0, 12)), true)
  return header
}

describe('the bytes of receipts', () => {
  const day = { day: 20_468, ...NO_SCORE, measuredMinutes: 60, avoidedMinutes: 25, needed: 1 }
  const entry: ReceiptEntry = {
    receipt: receiptMade({ outcome: outcomeMade() }),
    ranges: [{ generation: 0, column: 1, replica: 0, from: 4, to: 7 }],
    isTold: false,
    day
  }

  it('are those of the first version', () => {
    const bytes = Buffer.concat([encodeHeader(RECEIPT_LOG), encodeRecord(entry)])
    expect(bytes.toString('base64')).toBe(FIRST_FILE)
    const read = readReceipts(Buffer.from(FIRST_FILE, 'base64'))
    expect(read).toEqual({ entries: [entry], endBytes: bytes.length, lostBytes: 0, tornBytes: 0 })
  })
})

/** A header and one record: a receipt with its outcome, a range, a day of the score. */
const FIRST_FILE = [
  'U0hPQUxSQ1QBAAAAhs+5D1JSRUPDBAAAL4HlK6RjZGF5qmNkYXkZT/RmbWlzc2VkAGZuZWVkZWQBaGNhbWVUcnVl',
  'AGh1bmp1ZGdlZABodW5uZWVkZWQAaXByZWRpY3RlZABuYXZvaWRlZE1pbnV0ZXMYGW9tZWFzdXJlZE1pbnV0ZXMY',
  'PG9zdWZmZXJlZE1pbnV0ZXMAZmlzVG9sZPRmcmFuZ2VzgaVidG8HZGZyb20EZmNvbHVtbgFncmVwbGljYQBqZ2Vu',
  'ZXJhdGlvbgBncmVjZWlwdLNiaWRsM2ZhOWMyZDAxYjdlY3doeWBkY29zdKNkY29zdBkkVGZjb3B5TXMZnEBnYmVu',
  'ZWZpdBoAAczwZWJ5dGVzGgwAAABlc3RhdGVkZG9uZWZjaHVua3MDZmtlcHRCeWZzb3VyY2VmcmVhc29uaXByZWRp',
  'Y3RlZGZzb3VyY2V4MDEyRDNLb29XaG9zdG9hMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMWZ0YXJn',
  'ZXR4MDEyRDNLb29XaG9zdG9iMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMWZ2b2x1bWV4IDAwMDAw',
  'MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxZ2VuZGVkQXQbAAABm8HXJMhnb3V0Y29tZatoanVkZ2VkQXQbAAAB',
  'm8IQMkBpd2FzTmVlZGVk9Wpzb3VyY2VQZWFrGQKAanRhcmdldFBlYWsZAf5uYXZvaWRlZE1pbnV0ZXMYGW5sb25n',
  'ZXN0UGF1c2VNcwxvc291cmNlVGhyZXNob2xkGQMgb3N1ZmZlcmVkTWludXRlcwBvdGFyZ2V0VGhyZXNob2xkGQOE',
  'cHRhcmdldFN0YXllZFdlbGz1cXNvdXJjZVBlYWtXaXRob3V0GQRMaWRlY2lkZWRBdBsAAAGbwcJgYGlwcmVkaWN0',
  'ZWSrZm92ZXJNcxoAIAsgZnZvbHVtZRoAAdTAZ3N1YmplY3Rkbm9kZWhoaWdoQXRNcxsAAAGbweuTQGhoaWdoUGVh',
  'axkE2Glob3Jpem9uTXMaADbugGl0aHJlc2hvbGQZAyBsZXhwZWN0ZWRBdE1zGwAAAZvB8CcgbGV4cGVjdGVkUGVh',
  'axkDom1tb3ZlZEhpZ2hQZWFrGQGacW1vdmVkRXhwZWN0ZWRQZWFrGQFAaXN0YXJ0ZWRBdBsAAAGbwdaEoGttb3Zl',
  'ZENodW5rcwNsYWx0ZXJuYXRpdmVzgqViaXNmY2hvc2VuY2JpZKRlcnR0TXP7QADMzMzMzM1oaGVhZHJvb20ZAYZp',
  'ZnJlZUJ5dGVzGwAAABAAAAAAa2FkZGVkRXhjZXNzAGN3aHlgZG5vZGV4MDEyRDNLb29XaG9zdG9iMTExMTExMTEx',
  'MTExMTExMTExMTExMTExMTExMTExMTExMWVzY29yZfk+AKViaXNmb3V0YmlkY2JpZKNoaGVhZHJvb20YKGlmcmVl',
  'Qnl0ZXMbAAAACAAAAABrYWRkZWRFeGNlc3MZASxjd2h5bWxlc3MgaGVhZHJvb21kbm9kZXgwMTJEM0tvb1dob3N0',
  'b2MxMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExZXNjb3JlB25sb25nZXN0UGF1c2VNcww='
].join('')
