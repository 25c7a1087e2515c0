/**
 * Memory, set up for a process through which megabytes pass every millisecond. Both defaults are
 * made for programs that allocate little outside the JavaScript heap.
 *
 * - glibc maps each buffer above 128 KiB anew and gives it back when freed, so that every large
 *   payload begins with page faults (520,000 in two seconds of 1 MiB writes).
 * - V8 counts buffers to the heap's size and marks the whole heap each time it has grown by a
 *   little: nine times a second under sequential I/O, more than half of the process's CPU.
 */
import { setFlagsFromString } from 'node:v8'
import koffi from 'koffi'
import {
  HEAP_GROWING_PERCENT,
  MALLOC_MMAP_BYTES,
  MALLOC_TOP_PAD_BYTES,
  MALLOC_TRIM_BYTES
} from './limits.ts'
import type { Log } from './ports.ts'

/** Options of mallopt(3). */
const M_TRIM_THRESHOLD = -1
const M_TOP_PAD = -2
const M_MMAP_THRESHOLD = -3

/** For the whole process, once, before it serves. Another libc keeps its own ways. */
export function prepareMemory(log: Log): void {
  // Read anew at each garbage collection, so that it may be set after the start.
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)
  try {
    const mallopt = koffi.load('libc.so.6').func('int mallopt(int, int)')
    mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_BYTES)
    mallopt(M_TRIM_THRESHOLD, MALLOC_TRIM_BYTES)
    mallopt(M_TOP_PAD, MALLOC_TOP_PAD_BYTES)
  } catch (error) {
    log.debug({ error: String(error) }, 'the allocator keeps its defaults')
  }
}
