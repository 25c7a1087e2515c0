/**
 * DIR/calibration: room for the scratch store of a calibration, on the disk of the real one. Nothing
 * in it is worth anything: it goes at the end, and at the next start after a crash.
 *
 * Reads are measured from the disk and not from memory: the page cache of these files is dropped
 * with posix_fadvise, after a sync, because only clean pages go. Where there is no such call, or
 * the files live in memory anyway (tmpfs), `dropCaches` says so.
 */
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import koffi from 'koffi'
import type { Disk } from '../ports.ts'
import { isAbsent } from '../storage/health.ts'
import { openDisk } from '../storage/real-disk.ts'

export interface Scratch {
  /** An empty directory. */
  open: () => Promise<Disk>
  /** True if nothing of the files is in memory any more, but for what was written meanwhile. */
  dropCaches: () => Promise<boolean>
  /** Of the file system. */
  freeBytes: () => Promise<number>
  /** Everything, if there is anything. */
  remove: () => Promise<void>
}

const POSIX_FADV_DONTNEED = 4
const TMPFS_MAGIC = 0x0102_1994
const RAMFS_MAGIC = 0x8584_58f6

/** `parent` is an existing directory. */
export function scratchIn(parent: string): Scratch {
  const root = join(parent, 'calibration')
  const remove = () => fs.rm(root, { recursive: true, force: true })
  return {
    remove,
    open: async () => {
      await remove()
      await fs.mkdir(root, { mode: 0o700 })
      return openDisk(root)
    },
    dropCaches: () => dropCaches(root),
    freeBytes: async () => {
      const { bavail, bsize } = await fs.statfs(parent)
      return bavail * bsize
    }
  }
}

async function dropCaches(root: string): Promise<boolean> {
  const { type } = await fs.statfs(root)
  const advise = loadFadvise()
  if (advise === undefined || type === TMPFS_MAGIC || type === RAMFS_MAGIC) return false
  let isDropped = true
  for (const entry of await fs.readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    isDropped = (await dropFile(join(entry.parentPath, entry.name), advise)) && isDropped
  }
  return isDropped
}

/** A file that the store removed meanwhile has no cache. */
async function dropFile(path: string, advise: Fadvise): Promise<boolean> {
  try {
    const file = await fs.open(path, 'r')
    try {
      await file.datasync()
      return (await advise(file.fd)) === 0
    } finally {
      await file.close()
    }
  } catch (error) {
    if (isAbsent(error)) return true
    throw error
  }
}

type Fadvise = (fd: number) => Promise<number>
let loaded: { readonly fadvise: Fadvise | undefined } | undefined

/** Off the main thread; answers the errno. Undefined where libc has no such call. */
function loadFadvise(): Fadvise | undefined {
  loaded ??= { fadvise: findFadvise() }
  return loaded.fadvise
}

function findFadvise(): Fadvise | undefined {
  for (const name of ['libc.so.6', 'libc.so']) {
    try {
      const call = koffi.load(name).func('int posix_fadvise(int, int64_t, int64_t, int)')
      return fd =>
        new Promise((resolve, reject) => {
          call.async(fd, 0, 0, POSIX_FADV_DONTNEED, (error: unknown, errno: number) => {
            if (error) reject(error)
            else resolve(errno)
          })
        })
    } catch {}
  }
  return undefined
}
