/**
 * The durable log of the map: every change that took effect, in order, in `map/log-<n>`.
 *
 *   append -> pending -> one write and one fdatasync for all that waits -> flushed
 *   too long, damaged or a failed write:
 *     log-<n+1>.new with a snapshot -> sync -> rename -> sync directory -> remove log-<n>
 *
 * Invariants: the highest numbered log is complete in itself; a file that once failed to write or
 * sync is never appended to again, but replaced by a snapshot of what is in memory; a torn tail is
 * cut before anything is appended; rot (damage that is followed by records) is reported, the file
 * kept aside as `damaged-<n>`, and the rest of it used.
 */
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import { encodeHeader, HEADER_BYTES, readHeader } from '../../protocols/file-header.ts'
import {
  MAP_LOG_GROWTH,
  MAP_LOG_MIN_BYTES,
  MAP_LOG_RETRY_MS,
  MAX_MAP_LOG_BYTES
} from '../limits.ts'
import type { Clock, Disk, DiskFile, Log, Timer } from '../ports.ts'
import type { LogEntry } from './log-format.ts'
import { encodeEntry, MAP_LOG, readLog } from './log-format.ts'

export const MAP_DIRECTORY = 'map'

export interface MapLogOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  /** Everything that must survive, as entries; called whenever the log is replaced. */
  readonly snapshot: () => LogEntry[]
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Opens the map's log and hands every entry to `replay`, in order. */
export async function openMapLog(
  options: MapLogOptions,
  replay: (entry: LogEntry) => void
): Promise<MapLog> {
  const { disk } = options
  await disk.makeDirectory(MAP_DIRECTORY)
  const names = await disk.list(MAP_DIRECTORY)
  const numbers = names.flatMap(name => (/^log-\d+$/.test(name) ? [Number(name.slice(4))] : []))
  const number = Math.max(0, ...numbers)
  const mapLog = new MapLog(options, number)
  for (const name of names) {
    if (/^log-\d+\.new$/.test(name)) await disk.remove(`${MAP_DIRECTORY}/${name}`)
  }
  if (number > 0) await mapLog.load(replay)
  // A start that died may have renamed this file and not synced the name: what is read from it, and
  // appended to it, is promised to be durable.
  if (number > 0) await disk.syncDirectory(MAP_DIRECTORY)
  for (const old of numbers) {
    if (old !== number) await disk.remove(`${MAP_DIRECTORY}/log-${old}`)
  }
  return mapLog
}

export class MapLog {
  readonly #options: MapLogOptions
  #number: number
  #file: DiskFile | undefined
  #endBytes = 0
  #snapshotBytes = 0
  #pending: LogEntry[] = []
  #waiters: Waiter[] = []
  #mustReplace = true
  #isDamaged = false
  #running: Promise<void> | undefined
  #retry: Timer | undefined
  #isClosed = false

  constructor(options: MapLogOptions, number: number) {
    this.#options = options
    this.#number = number
  }

  get bytes(): number {
    return this.#endBytes
  }

  /** Reads the present file and cuts its torn tail. */
  async load(replay: (entry: LogEntry) => void): Promise<void> {
    const { disk, log } = this.#options
    const path = this.#path()
    const file = await disk.open(path)
    const bytes = await readWhole(file)
    const header = readHeader(bytes, MAP_LOG)
    if (header === 'foreign') {
      await file.close()
      const fault = { code: 'DATA_DIR', dir: MAP_DIRECTORY, problem: 'format' } as const
      throw new ShoalError(fault, `${path} was written by another version of shoal`)
    }
    const { entries, endBytes, lostBytes, tornBytes } = readLog(bytes)
    for (const entry of entries) replay(entry)
    if (lostBytes > 0 || header === 'damaged') {
      log.error({ path, lostBytes }, 'the map log is damaged; its other records are used')
      this.#file = file
      this.#isDamaged = true
      this.#start()
      return
    }
    if (tornBytes > 0) {
      log.warn({ path, tornBytes }, 'cut the unfinished end of the map log')
      await file.truncate(endBytes)
      await file.sync()
    }
    this.#file = file
    this.#endBytes = endBytes
    this.#snapshotBytes = endBytes
    this.#mustReplace = false
  }

  /** Queues an entry; durable once a later `flush` resolved. */
  append(entry: LogEntry): void {
    if (this.#isClosed) return
    // A log that is to be replaced takes everything from the snapshot.
    if (!this.#mustReplace) this.#pending.push(entry)
    if (this.#retry === undefined) this.#start()
  }

  /** Resolves once everything appended so far is durable; rejects if it could not be written. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.#start()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#retry?.cancel()
    await this.#running
    await this.#file?.close()
    this.#file = undefined
  }

  #start(): void {
    if (this.#running !== undefined) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#waiters.length > 0 && this.#retry === undefined) this.#start()
    })
  }

  async #run(): Promise<void> {
    this.#retry?.cancel()
    this.#retry = undefined
    // One turn later: what the same tick still appends goes along.
    await Promise.resolve()
    while (this.#pending.length > 0 || this.#waiters.length > 0 || this.#mustReplace) {
      const waiters = this.#waiters
      this.#waiters = []
      try {
        if (this.#mustReplace || this.#isTooLong()) await this.#replace()
        else await this.#write()
      } catch (cause) {
        this.#fail(cause, waiters)
        return
      }
      for (const waiter of waiters) waiter.resolve()
    }
  }

  #isTooLong(): boolean {
    const bound = Math.max(MAP_LOG_MIN_BYTES, MAP_LOG_GROWTH * this.#snapshotBytes)
    return this.#endBytes > Math.min(bound, MAX_MAP_LOG_BYTES)
  }

  async #write(): Promise<void> {
    const batch = this.#pending
    this.#pending = []
    if (batch.length === 0 || this.#file === undefined) return
    const parts = batch.flatMap(encodeEntry)
    await this.#file.write(parts, this.#endBytes)
    await this.#file.sync()
    this.#endBytes += total(parts)
  }

  /** Writes all that is in memory into the next file, which takes the place of this one. */
  async #replace(): Promise<void> {
    const { disk } = this.#options
    const next = this.#path(this.#number + 1)
    const file = await disk.open(`${next}.new`, 'if-absent')
    this.#pending = []
    this.#mustReplace = false
    const parts = [encodeHeader(MAP_LOG), ...this.#options.snapshot().flatMap(encodeEntry)]
    try {
      await file.truncate(0)
      await file.write(parts, 0)
      await file.sync()
      await disk.rename(`${next}.new`, next)
      await disk.syncDirectory(MAP_DIRECTORY)
    } catch (cause) {
      await file.close().catch(() => {})
      throw cause
    }
    const old = this.#file
    const oldPath = this.#path()
    const aside = this.#isDamaged ? `${MAP_DIRECTORY}/damaged-${this.#number}` : undefined
    this.#file = file
    this.#number += 1
    this.#endBytes = total(parts)
    this.#snapshotBytes = this.#endBytes
    this.#isDamaged = false
    if (old === undefined) return
    // Leftovers are removed at the next start too.
    await old.close().catch(() => {})
    const tidied = aside === undefined ? disk.remove(oldPath) : disk.rename(oldPath, aside)
    await tidied.catch(() => {})
  }

  #fail(cause: unknown, waiters: readonly Waiter[]): void {
    this.#options.log.error({ error: messageOf(cause) }, 'the map log could not be written')
    this.#mustReplace = true
    this.#pending = []
    const error = faultOf(cause)
    for (const waiter of [...waiters, ...this.#waiters]) waiter.reject(error)
    this.#waiters = []
    if (this.#isClosed) return
    this.#retry = this.#options.clock.after(MAP_LOG_RETRY_MS, () => {
      this.#retry = undefined
      this.#start()
    })
  }

  #path(number = this.#number): string {
    return `${MAP_DIRECTORY}/log-${number}`
  }
}

async function readWhole(file: DiskFile): Promise<Uint8Array> {
  const size = await file.size()
  if (size > 2 * MAX_MAP_LOG_BYTES) {
    throw new ShoalError({ code: 'LIMIT', limit: 'MAX_MAP_LOG_BYTES' }, 'the map log is too long')
  }
  const bytes = new Uint8Array(size)
  const read = await file.read(bytes, 0)
  return bytes.subarray(0, Math.max(read, Math.min(size, HEADER_BYTES)))
}

function total(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0)
}

function faultOf(cause: unknown): ShoalError {
  if (isFault(cause)) return cause
  const isFull = cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC'
  const fault = isFull ? ({ code: 'NO_SPACE' } as const) : ({ code: 'IO_ERROR' } as const)
  return new ShoalError(fault, `the map could not be stored: ${messageOf(cause)}`, { cause })
}
