/**
 * Small writes into the page cache on the calling thread: a few microseconds, where a hop through
 * libuv's pool costs twenty and a wake-up. The kernel may make such a write wait (it throttles who
 * dirties much, and a journal commit of the file system may be under way): after a slow one, all
 * writes go to the pool for a while, so that one stall is what a slow disk costs.
 */
import * as fs from 'node:fs'
import { KiB } from '../../protocols/limits.ts'

const MAX_BYTES = 64 * KiB
const SLOW_MS = 1
const BACK_OFF_MS = 200

export interface QuickWriter {
  /** Bytes written, or undefined: use the pool. Throws the disk's error. */
  write: (fd: number, bytes: Uint8Array, position: number) => number | undefined
}

export function quickWriter(): QuickWriter {
  let poolUntilMs = 0
  return {
    write: (fd, bytes, position) => {
      if (bytes.length > MAX_BYTES) return undefined
      const startMs = performance.now()
      if (startMs < poolUntilMs) return undefined
      const written = fs.writeSync(fd, bytes, 0, bytes.length, position)
      const endMs = performance.now()
      if (endMs - startMs > SLOW_MS) poolUntilMs = endMs + BACK_OFF_MS
      return written
    }
  }
}
