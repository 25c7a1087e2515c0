/**
 * The files of the series of a node: one directory, no folders, everything at once and nothing in
 * the background. The store runs in a worker of its own, so waiting for a write costs nobody.
 *
 * Invariants: at most MAX_OPEN_SERIES_FILES descriptors, the least recently used is closed first; a
 * descriptor always is of the file that has the name now; what fails is a fault that names the file.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { assert } from '../../protocols/assert.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import { MAX_OPEN_SERIES_FILES } from '../limits.ts'

export interface SeriesFiles {
  list(): string[]
  /** 0 for a file that is not there. */
  size(name: string): number
  /** What it takes on the medium: holes are free. */
  allocated(name: string): number
  /** Fills `target` as far as the file goes; returns how far. A file that is not there is empty. */
  read(name: string, target: Uint8Array, at: number): number
  /** Makes the file if it is not there. Safe against the death of the process once it returns. */
  write(name: string, bytes: Uint8Array, at: number): void
  /** Safe against loss of power. */
  sync(name: string): void
  /** Replaces what had the other name, durably. */
  rename(from: string, to: string): void
  /** Of a file that is not there: nothing. */
  remove(name: string): void
  close(): void
}

/** The files in `directory`, which is made if it is not there. */
export function openSeriesFiles(
  directory: string,
  maxOpen: number = MAX_OPEN_SERIES_FILES
): SeriesFiles {
  return new RealFiles(directory, maxOpen)
}

class RealFiles implements SeriesFiles {
  readonly #directory: string
  readonly #maxOpen: number
  /** In order of use, the least recent first. */
  readonly #open = new Map<string, number>()

  constructor(directory: string, maxOpen: number) {
    this.#directory = directory
    this.#maxOpen = maxOpen
    this.#try(directory, () => fs.mkdirSync(directory, { recursive: true }))
  }

  list(): string[] {
    return this.#try(this.#directory, () => fs.readdirSync(this.#directory)).sort()
  }

  size(name: string): number {
    return this.#stat(name)?.size ?? 0
  }

  allocated(name: string): number {
    return (this.#stat(name)?.blocks ?? 0) * 512
  }

  read(name: string, target: Uint8Array, at: number): number {
    return this.#try(name, () => {
      const fd = this.#descriptor(name, false)
      if (fd === undefined) return 0
      let done = 0
      while (done < target.length) {
        const bytes = fs.readSync(fd, target, done, target.length - done, at + done)
        if (bytes === 0) break
        done += bytes
      }
      return done
    })
  }

  write(name: string, bytes: Uint8Array, at: number): void {
    this.#try(name, () => {
      const fd = this.#descriptor(name, true)
      assert(fd !== undefined, 'a file that is written exists')
      let done = 0
      while (done < bytes.length) {
        done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done)
      }
    })
  }

  sync(name: string): void {
    this.#try(name, () => {
      const fd = this.#descriptor(name, false)
      if (fd !== undefined) fs.fdatasyncSync(fd)
    })
  }

  rename(from: string, to: string): void {
    this.#forget(from)
    this.#forget(to)
    this.#try(from, () => {
      fs.renameSync(join(this.#directory, from), join(this.#directory, to))
      this.#syncDirectory()
    })
  }

  remove(name: string): void {
    this.#forget(name)
    this.#try(name, () => fs.rmSync(join(this.#directory, name), { force: true }))
  }

  close(): void {
    for (const name of [...this.#open.keys()]) this.#forget(name)
  }

  #descriptor(name: string, create: boolean): number | undefined {
    const known = this.#open.get(name)
    if (known !== undefined) {
      this.#open.delete(name)
      this.#open.set(name, known)
      return known
    }
    const [oldest] = this.#open.keys()
    if (this.#open.size >= this.#maxOpen && oldest !== undefined) this.#forget(oldest)
    const fd = openFd(join(this.#directory, name), create)
    if (fd !== undefined) this.#open.set(name, fd)
    return fd
  }

  #forget(name: string): void {
    const fd = this.#open.get(name)
    this.#open.delete(name)
    if (fd !== undefined) fs.closeSync(fd)
  }

  #stat(name: string): fs.Stats | undefined {
    return this.#try(name, () =>
      fs.statSync(join(this.#directory, name), { throwIfNoEntry: false })
    )
  }

  #syncDirectory(): void {
    const fd = fs.openSync(this.#directory, 'r')
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  }

  #try<T>(name: string, action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw isErrno(error) ? weather(join(this.#directory, name), error) : error
    }
  }
}

/** Undefined: there is no such file, and none was to be made. */
function openFd(path: string, create: boolean): number | undefined {
  const { O_RDWR, O_CREAT } = fs.constants
  try {
    return fs.openSync(path, create ? O_RDWR | O_CREAT : O_RDWR, 0o600)
  } catch (error) {
    if (!create && isErrno(error) && error.code === 'ENOENT') return undefined
    throw error
  }
}

function isErrno(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}

function weather(path: string, error: NodeJS.ErrnoException): ShoalError {
  const isFull = error.code === 'ENOSPC' || error.code === 'EDQUOT'
  const message = `series of load, ${path}: ${messageOf(error)}`
  return new ShoalError({ code: isFull ? 'NO_SPACE' : 'IO_ERROR' }, message, { cause: error })
}
