/**
 * DIR/receipts.log: what this node keeps of its moves and of its score (docs/format-receipts.md).
 *
 *   append -> pending -> one write and one fdatasync for all that waits
 *   too long, damaged, or a failed write:
 *     receipts.log.new with all that is in memory -> sync -> rename -> sync directory
 *
 * Invariants: one write at a time; a file that once failed to write or sync is never appended to
 * again, but replaced; a torn tail is cut before anything is appended; damage that is followed by
 * records is named as a problem, a copy of the file is kept, and its other records are used. Nothing
 * here fails a move: who appends does not wait.
 */

import {
  encodeRecord,
  RECEIPT_LOG,
  type ReceiptEntry,
  readReceipts
} from '../../protocols/balance/receipt-file.ts'
import {
  MAX_RECEIPTS_LOG_BYTES,
  RECEIPTS_LOG_MIN_BYTES
} from '../../protocols/balance/receipt-limits.ts'
import { messageOf } from '../../protocols/fault.ts'
import { encodeHeader, readHeader } from '../../protocols/file-header.ts'
import type { Disk, DiskFile, Log } from '../ports.ts'
import { isAbsent } from '../storage/health.ts'

export const RECEIPTS_FILE = 'receipts.log'
export const KEPT_ASIDE = `${RECEIPTS_FILE}.damaged`
const NEXT = `${RECEIPTS_FILE}.new`
/** Of what is live: a file that is longer than this many times it is written anew. */
const GROWTH = 2

export interface ReceiptLogOptions {
  readonly disk: Disk
  readonly log: Log
  /** Everything that is to be kept; called whenever the file is replaced. */
  readonly snapshot: () => readonly ReceiptEntry[]
}

interface Found {
  readonly file?: DiskFile
  readonly entries: readonly ReceiptEntry[]
  readonly endBytes: number
  readonly mustReplace: boolean
  readonly problem?: string
}

/** Hands every entry that can be read to `replay`, in order. Never rejects. */
export async function openReceiptLog(
  options: ReceiptLogOptions,
  replay: (entry: ReceiptEntry) => void
): Promise<ReceiptLog> {
  const found = await look(options)
  for (const entry of found.entries) replay(entry)
  return new ReceiptLog(options, found)
}

export class ReceiptLog {
  readonly problem: string | undefined
  readonly #options: ReceiptLogOptions
  #file: DiskFile | undefined
  #endBytes: number
  #liveBytes: number
  #pending: ReceiptEntry[] = []
  #mustReplace: boolean
  #running: Promise<void> | undefined
  #isClosed = false

  constructor(options: ReceiptLogOptions, found: Found) {
    this.#options = options
    this.#file = found.file
    this.#endBytes = found.endBytes
    this.#liveBytes = found.endBytes
    this.#mustReplace = found.mustReplace
    this.problem = found.problem
    if (found.problem !== undefined) this.#start()
  }

  get bytes(): number {
    return this.#endBytes
  }

  /** Written soon; a failure is logged, and the next entry tries with all of it. */
  append(entry: ReceiptEntry): void {
    if (this.#isClosed) return
    // A file that is to be replaced takes everything from the snapshot.
    if (!this.#mustReplace) this.#pending.push(entry)
    this.#start()
  }

  /** Resolves once what was appended is durable, or could not be written. */
  async flush(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.flush()
    await this.#file?.close().catch(() => undefined)
    this.#file = undefined
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  async #run(): Promise<void> {
    // One turn later: what the same tick still appends goes along.
    await Promise.resolve()
    try {
      do {
        if (this.#mustReplace || this.#file === undefined || this.#isTooLong())
          await this.#replace()
        else await this.#write(this.#file)
      } while (this.#pending.length > 0)
    } catch (error) {
      this.#mustReplace = true
      this.#pending = []
      this.#options.log.error(
        { error: messageOf(error) },
        `${RECEIPTS_FILE} could not be written: receipts since the last write would be lost with ` +
          'this process'
      )
    }
  }

  #isTooLong(): boolean {
    return this.#endBytes > Math.max(RECEIPTS_LOG_MIN_BYTES, GROWTH * this.#liveBytes)
  }

  async #write(file: DiskFile): Promise<void> {
    const records = this.#pending.map(encodeRecord)
    this.#pending = []
    if (records.length === 0) return
    await file.write(records, this.#endBytes)
    await file.sync()
    this.#endBytes += lengthOf(records)
  }

  async #replace(): Promise<void> {
    const { disk, snapshot } = this.#options
    this.#pending = []
    this.#mustReplace = false
    const parts = [encodeHeader(RECEIPT_LOG), ...snapshot().map(encodeRecord)]
    const file = await disk.open(NEXT, 'if-absent')
    try {
      await file.truncate(0)
      await file.write(parts, 0)
      await file.sync()
      await disk.rename(NEXT, RECEIPTS_FILE)
      await disk.syncDirectory('.')
    } catch (error) {
      await file.close().catch(() => undefined)
      throw error
    }
    await this.#file?.close().catch(() => undefined)
    this.#file = file
    this.#endBytes = lengthOf(parts)
    this.#liveBytes = this.#endBytes
  }
}

async function look(options: ReceiptLogOptions): Promise<Found> {
  const { disk, log } = options
  try {
    const file = await disk.open(RECEIPTS_FILE)
    return await read(options, file)
  } catch (error) {
    if (isAbsent(error)) return { entries: [], endBytes: 0, mustReplace: true }
    const why = messageOf(error)
    log.error({ error: why }, `${RECEIPTS_FILE} cannot be read`)
    await disk.rename(RECEIPTS_FILE, KEPT_ASIDE).catch(() => undefined)
    return { entries: [], endBytes: 0, mustReplace: true, problem: lostAll(why) }
  }
}

async function read({ disk, log }: ReceiptLogOptions, file: DiskFile): Promise<Found> {
  const bytes = new Uint8Array(Math.min(await file.size(), MAX_RECEIPTS_LOG_BYTES))
  await file.read(bytes, 0)
  const header = readHeader(bytes, RECEIPT_LOG)
  if (header === 'foreign') {
    await file.close()
    await keepAside(disk, bytes)
    const problem = lostAll('another version of shoal wrote it')
    return { entries: [], endBytes: 0, mustReplace: true, problem }
  }
  const { entries, endBytes, lostBytes, tornBytes } = readReceipts(bytes)
  const isEmpty = bytes.length === 0
  if (lostBytes > 0 || (header === 'damaged' && !isEmpty)) {
    await file.close()
    await keepAside(disk, bytes)
    log.error({ lostBytes }, `${RECEIPTS_FILE} is damaged; its other records are used`)
    const problem =
      `${RECEIPTS_FILE} was damaged (a copy is kept as ${KEPT_ASIDE}): some receipts of moves, or ` +
      'days of the score, are lost'
    return { entries, endBytes, mustReplace: true, problem }
  }
  // A start that died may have renamed this file and not synced the name.
  await disk.syncDirectory('.')
  if (tornBytes > 0) {
    log.warn({ tornBytes }, `cut the unfinished end of ${RECEIPTS_FILE}`)
    await file.truncate(endBytes)
    await file.sync()
  }
  return { file, entries, endBytes, mustReplace: isEmpty }
}

/** A copy, so that at no moment there is no file. */
async function keepAside(disk: Disk, bytes: Uint8Array): Promise<void> {
  const copy = await disk.open(KEPT_ASIDE, 'if-absent')
  try {
    await copy.truncate(0)
    await copy.write([bytes], 0)
    await copy.sync()
  } finally {
    await copy.close()
  }
}

function lostAll(why: string): string {
  return (
    `${RECEIPTS_FILE} cannot be used (${why}; kept as ${KEPT_ASIDE}): the receipts of earlier moves ` +
    'and the score are not known here any more'
  )
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0)
}
