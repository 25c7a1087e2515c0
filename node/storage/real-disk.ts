/**
 * The Disk port on a real directory. Callbacks of node:fs, not promises: a FileHandle costs three
 * times as much per read. Hole punching goes to libc's fallocate, off the main thread; a file
 * system that cannot punch gets zeroes instead, so that the range always reads as zeroes.
 *
 * Assumed of the medium: see docs/format.md ("What is assumed").
 */
import * as fs from 'node:fs'
import { constants } from 'node:os'
import { join, normalize } from 'node:path'
import koffi from 'koffi'
import { assert } from '../../protocols/assert.ts'
import { MiB } from '../../protocols/limits.ts'
import type { Disk, DiskFile } from '../ports.ts'
import { type CachedReader, cachedReader } from './cached-read.ts'
import { type QuickWriter, quickWriter } from './quick-write.ts'

const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2
const ZEROES = new Uint8Array(MiB)

interface Ways {
  readonly cached: CachedReader
  readonly quick: QuickWriter
}

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void

/** The store below `root`, an existing directory. */
export function openDisk(root: string): Disk {
  const full = (path: string) => {
    assert(!normalize(path).startsWith('..') && !path.startsWith('/'), 'paths stay below the root')
    return join(root, path)
  }
  const ways = { cached: cachedReader(), quick: quickWriter() }
  return {
    open: async (path, create) => new RealFile(await openFd(full(path), create), ways),
    list: async path => (await call<string[]>(done => fs.readdir(full(path), done))).sort(),
    makeDirectory: async path => {
      await call(done => fs.mkdir(full(path), { recursive: true }, done))
    },
    rename: (from, to) => run(done => fs.rename(full(from), full(to), done)),
    remove: path => removePath(full(path)),
    syncDirectory: path => syncDirectory(full(path)),
    space: async () => {
      const stats = await call<fs.StatsFs>(done => fs.statfs(root, done))
      return { totalBytes: stats.blocks * stats.bsize, freeBytes: stats.bavail * stats.bsize }
    }
  }
}

class RealFile implements DiskFile {
  readonly #fd: number
  readonly #ways: Ways

  constructor(fd: number, ways: Ways) {
    this.#fd = fd
    this.#ways = ways
  }

  async size(): Promise<number> {
    return (await call<fs.Stats>(done => fs.fstat(this.#fd, done))).size
  }

  read(target: Uint8Array, position: number): Promise<number> {
    if (this.#ways.cached.read(this.#fd, target, position)) return Promise.resolve(target.length)
    return new Promise((resolve, reject) => {
      fs.read(this.#fd, target, 0, target.length, position, (error, bytes) => {
        if (error !== null) reject(error)
        else if (bytes === target.length || bytes === 0) resolve(bytes)
        else this.#readRest(target, position, bytes).then(resolve, reject)
      })
    })
  }

  write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const [first] = parts
    if (first === undefined) return Promise.resolve()
    if (parts.length === 1) return this.#writeOne(first, position)
    return new Promise((resolve, reject) => {
      const done = (error: NodeJS.ErrnoException | null, written: number) => {
        if (error !== null) reject(error)
        else this.#writeRest(parts, written, position).then(resolve, reject)
      }
      fs.writev(this.#fd, parts, position, done)
    })
  }

  #writeOne(bytes: Uint8Array, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error: NodeJS.ErrnoException | null, written: number) => {
        if (error !== null) reject(error)
        else if (written === bytes.length) resolve()
        else this.#writeRest([bytes], written, position).then(resolve, reject)
      }
      const written = this.#ways.quick.write(this.#fd, bytes, position)
      if (written !== undefined) done(null, written)
      else fs.write(this.#fd, bytes, 0, bytes.length, position, done)
    })
  }

  sync(): Promise<void> {
    return run(done => fs.fdatasync(this.#fd, done))
  }

  truncate(length: number): Promise<void> {
    return run(done => fs.ftruncate(this.#fd, length, done))
  }

  async punchHole(position: number, length: number): Promise<void> {
    const errno = await punch(this.#fd, position, length)
    if (errno === 0) return
    if (errno !== constants.errno.EOPNOTSUPP && errno !== constants.errno.ENOSYS) {
      throw Object.assign(new Error(`fallocate failed: errno ${errno}`), {
        errno,
        code: code(errno)
      })
    }
    const end = Math.min(position + length, await this.size())
    for (let at = position; at < end; at += ZEROES.length) {
      await this.write([ZEROES.subarray(0, Math.min(ZEROES.length, end - at))], at)
    }
  }

  close(): Promise<void> {
    return run(done => fs.close(this.#fd, done))
  }

  async #readRest(target: Uint8Array, position: number, done: number): Promise<number> {
    let total = done
    while (total < target.length) {
      const at = total
      const bytes = await call<number>(next =>
        fs.read(this.#fd, target, at, target.length - at, position + at, next)
      )
      if (bytes === 0) break
      total += bytes
    }
    return total
  }

  /** A short write is no error yet; the next one says why. */
  async #writeRest(parts: readonly Uint8Array[], written: number, position: number): Promise<void> {
    let skip = written
    let at = position
    for (const part of parts) {
      let from = Math.min(skip, part.length)
      skip -= from
      at += from
      while (from < part.length) {
        const start = from
        const where = at
        const bytes = await call<number>(next =>
          fs.write(this.#fd, part, start, part.length - start, where, next)
        )
        if (bytes === 0) throw Object.assign(new Error('write made no progress'), { code: 'EIO' })
        from += bytes
        at += bytes
      }
    }
  }
}

async function openFd(path: string, create: 'new' | 'if-absent' | undefined): Promise<number> {
  const { O_RDWR, O_CREAT, O_EXCL } = fs.constants
  const extra = create === undefined ? 0 : create === 'new' ? O_CREAT | O_EXCL : O_CREAT
  return call(done => fs.open(path, O_RDWR | extra, 0o600, done))
}

async function removePath(path: string): Promise<void> {
  const stats = await call<fs.Stats>(done => fs.lstat(path, done))
  await run(done => (stats.isDirectory() ? fs.rmdir(path, done) : fs.unlink(path, done)))
}

async function syncDirectory(path: string): Promise<void> {
  const fd = await call<number>(done => fs.open(path, fs.constants.O_RDONLY, done))
  try {
    await run(done => fs.fsync(fd, done))
  } finally {
    // Nothing was written through it: nobody has to wait for its close.
    fs.close(fd, () => {})
  }
}

type Fallocate = { async: (...args: unknown[]) => void }
let fallocate: Fallocate | undefined

/** 0, or the errno. */
function punch(fd: number, position: number, length: number): Promise<number> {
  fallocate ??= loadFallocate()
  const libc = fallocate
  return new Promise((resolve, reject) => {
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    libc.async(fd, mode, position, length, (error: unknown, result: number) => {
      if (error) reject(error)
      else resolve(result === 0 ? 0 : koffi.errno())
    })
  })
}

/** musl has one libc under another name; without either, zeroes are written instead. */
function loadFallocate(): Fallocate {
  for (const name of ['libc.so.6', 'libc.so']) {
    try {
      return koffi.load(name).func('int fallocate(int, int, int64_t, int64_t)')
    } catch {}
  }
  return {
    async: (...args) => {
      const done = args.at(-1) as (error: unknown, result: number) => void
      setImmediate(() => {
        koffi.errno(constants.errno.ENOSYS)
        done(null, -1)
      })
    }
  }
}

function code(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? 'EIO'
}

function run(start: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start(error => (error === null ? resolve() : reject(error)))
  })
}

function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(error)))
  })
}
