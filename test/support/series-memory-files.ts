/**
 * The files of series in memory. Pages are never changed in place, so an image of all files costs
 * nothing; `beforeStep` sees each change before it is made and may freeze what a crash would leave:
 * everything before it, and of the write under way as much as the test wants.
 */
import type { SeriesFiles } from '../../node/load/series-files.ts'

const PAGE_BYTES = 4096

interface MemoryFile {
  length: number
  readonly pages: Map<number, Uint8Array>
}

/** A change that is about to be made; `bytes` of a write may be made in part. */
export interface Step {
  readonly what: 'write' | 'rename' | 'remove'
  readonly bytes: number
  /** The files if the process died now, the first `torn` bytes of this write being made. */
  readonly freeze: (torn?: number) => MemorySeriesFiles
}

export class MemorySeriesFiles implements SeriesFiles {
  #files = new Map<string, MemoryFile>()
  beforeStep: ((step: Step) => void) | undefined
  readBytes = 0
  writes = 0

  list(): string[] {
    return [...this.#files.keys()].sort()
  }

  size(name: string): number {
    return this.#files.get(name)?.length ?? 0
  }

  allocated(name: string): number {
    return (this.#files.get(name)?.pages.size ?? 0) * PAGE_BYTES
  }

  read(name: string, target: Uint8Array, at: number): number {
    const file = this.#files.get(name)
    const length = Math.max(Math.min(target.length, (file?.length ?? 0) - at), 0)
    let done = 0
    while (file !== undefined && done < length) {
      const offset = (at + done) % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - offset, length - done)
      const page = file.pages.get(Math.floor((at + done) / PAGE_BYTES))
      if (page === undefined) target.fill(0, done, done + count)
      else target.set(page.subarray(offset, offset + count), done)
      done += count
    }
    this.readBytes += length
    return length
  }

  write(name: string, bytes: Uint8Array, at: number): void {
    this.#step('write', bytes.length, (image, torn) => {
      image.#put(name, bytes.subarray(0, torn), at)
    })
    this.#put(name, bytes, at)
    this.writes++
  }

  sync(): void {}

  rename(from: string, to: string): void {
    this.#step('rename', 0)
    const file = this.#files.get(from)
    if (file === undefined) throw new Error(`there is no ${from}`)
    this.#files.delete(from)
    this.#files.set(to, file)
  }

  remove(name: string): void {
    if (!this.#files.has(name)) return
    this.#step('remove', 0)
    this.#files.delete(name)
  }

  close(): void {}

  image(): MemorySeriesFiles {
    const image = new MemorySeriesFiles()
    for (const [name, { length, pages }] of this.#files) {
      image.#files.set(name, { length, pages: new Map(pages) })
    }
    return image
  }

  /** Changes one byte, as rot does. */
  flip(name: string, at: number, value: number): void {
    const byte = new Uint8Array(1)
    this.read(name, byte, at)
    this.#put(name, Uint8Array.of((byte[0] ?? 0) ^ value), at)
  }

  #put(name: string, bytes: Uint8Array, at: number): void {
    const file = this.#files.get(name) ?? { length: 0, pages: new Map<number, Uint8Array>() }
    this.#files.set(name, file)
    file.length = Math.max(file.length, at + bytes.length)
    let done = 0
    while (done < bytes.length) {
      const number = Math.floor((at + done) / PAGE_BYTES)
      const offset = (at + done) % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - offset, bytes.length - done)
      const page = file.pages.get(number)?.slice() ?? new Uint8Array(PAGE_BYTES)
      page.set(bytes.subarray(done, done + count), offset)
      file.pages.set(number, page)
      done += count
    }
  }

  #step(
    what: Step['what'],
    bytes: number,
    tear: (image: MemorySeriesFiles, torn: number) => void = () => {}
  ): void {
    const freeze = (torn = 0): MemorySeriesFiles => {
      const image = this.image()
      if (torn > 0) tear(image, torn)
      return image
    }
    this.beforeStep?.({ what, bytes, freeze })
  }
}
