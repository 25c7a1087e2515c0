/**
 * glibc's malloc, set up for a process that moves megabytes: by default each buffer above 128 KiB is
 * mapped anew and given back when freed, so that every large payload begins with page faults (520,000
 * in two seconds of 1 MiB writes, which then take twice as long).
 */
import koffi from 'koffi'
import { MALLOC_MMAP_BYTES, MALLOC_TOP_PAD_BYTES, MALLOC_TRIM_BYTES } from './limits.ts'
import type { Log } from './ports.ts'

/** Options of mallopt(3). */
const M_TRIM_THRESHOLD = -1
const M_TOP_PAD = -2
const M_MMAP_THRESHOLD = -3

/** For the whole process, once, before it serves. Another libc keeps its own ways. */
export function keepLargeBuffers(log: Log): void {
  try {
    const mallopt = koffi.load('libc.so.6').func('int mallopt(int, int)')
    mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_BYTES)
    mallopt(M_TRIM_THRESHOLD, MALLOC_TRIM_BYTES)
    mallopt(M_TOP_PAD, MALLOC_TOP_PAD_BYTES)
  } catch (error) {
    log.debug({ error: String(error) }, 'the allocator keeps its defaults')
  }
}
