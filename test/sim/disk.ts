/**
 * The disk of a simulated node under its process: a MemoryDisk whose steps take simulated time,
 * fail when told to, and are seen by an observer in the instant in which they happen.
 *
 * A write takes effect somewhere between its call and its answer; a sync covers exactly what was
 * written before its call. A process that dies in between leaves it done, undone, or done in part.
 */
import type { Disk, DiskFile } from '../../node/ports.ts'
import type { MemoryDisk } from '../support/memory-disk.ts'
import type { SimProcess } from './process.ts'
import type { SimRandom } from './random.ts'

export type DiskObserver = (step: string) => void

/** Milliseconds of one step, low and high. */
const READ_MS = [0.04, 0.6] as const
const WRITE_MS = [0.02, 0.4] as const
const SYNC_MS = [0.2, 6] as const
const NAME_MS = [0.05, 0.5] as const

interface Under {
  readonly memory: MemoryDisk
  readonly process: SimProcess
  readonly random: SimRandom
  readonly observe: DiskObserver
  /** Writes under way, so that a death can leave a part of one. */
  readonly writing: Set<{ file: DiskFile; parts: readonly Uint8Array[]; position: number }>
}

export class SimDisk implements Disk {
  readonly #under: Under

  constructor(memory: MemoryDisk, process: SimProcess, random: SimRandom, observe: DiskObserver) {
    this.#under = { memory, process, random, observe, writing: new Set() }
    memory.faults.delaying = () => process.sleep(random.between(...SYNC_MS))
  }

  async open(path: string, create?: 'new' | 'if-absent'): Promise<DiskFile> {
    const file = await this.#name(() => this.#under.memory.open(path, create))
    return new SimFile(file, path, this.#under)
  }

  list(directory: string): Promise<string[]> {
    return this.#name(() => this.#under.memory.list(directory))
  }

  makeDirectory(directory: string): Promise<void> {
    return this.#name(() => this.#under.memory.makeDirectory(directory))
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#name(() => this.#under.memory.rename(from, to), `rename ${kindOf(to)}`)
  }

  async remove(path: string): Promise<void> {
    await this.#name(() => this.#under.memory.remove(path), `remove ${kindOf(path)}`)
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#under.memory.syncDirectory(directory)
    this.#under.observe('sync directory')
    await this.#under.process.sleep(this.#under.random.between(...SYNC_MS))
  }

  space(): Promise<{ totalBytes: number; freeBytes: number }> {
    return this.#name(() => this.#under.memory.space())
  }

  /** The process died: of each write under way the page cache has none, all, or a beginning. */
  async tear(random: SimRandom): Promise<void> {
    for (const { file, parts, position } of this.#under.writing) {
      const bytes = Buffer.concat(parts)
      const kept = random.pick([0, bytes.length, random.below(bytes.length + 1)])
      if (kept > 0) await file.write([bytes.subarray(0, kept)], position).catch(() => {})
    }
    this.#under.writing.clear()
  }

  async #name<T>(act: () => Promise<T>, step?: string): Promise<T> {
    const { process, random } = this.#under
    await process.sleep(random.between(...NAME_MS))
    const result = await act()
    if (step !== undefined) {
      this.#under.observe(step)
      await process.sleep(0)
    }
    return result
  }
}

class SimFile implements DiskFile {
  readonly #file: DiskFile
  readonly #kind: string
  readonly #under: Under

  constructor(file: DiskFile, path: string, under: Under) {
    this.#file = file
    this.#kind = kindOf(path)
    this.#under = under
  }

  async size(): Promise<number> {
    await this.#under.process.sleep(0)
    return this.#file.size()
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    await this.#pause(READ_MS)
    return this.#file.read(target, position)
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const { writing, observe } = this.#under
    const entry = { file: this.#file, parts, position }
    writing.add(entry)
    await this.#pause(WRITE_MS)
    writing.delete(entry)
    await this.#file.write(parts, position)
    observe(`write ${this.#kind}`)
    await this.#pause(WRITE_MS)
  }

  async sync(): Promise<void> {
    await this.#file.sync()
    this.#under.observe(`sync ${this.#kind}`)
    await this.#pause([0, 0.1])
  }

  async truncate(length: number): Promise<void> {
    await this.#pause(NAME_MS)
    await this.#file.truncate(length)
    await this.#pause(NAME_MS)
  }

  async punchHole(position: number, length: number): Promise<void> {
    await this.#pause(WRITE_MS)
    await this.#file.punchHole(position, length)
    this.#under.observe(`punch ${this.#kind}`)
    await this.#pause(WRITE_MS)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  #pause([low, high]: readonly [number, number]): Promise<void> {
    return this.#under.process.sleep(this.#under.random.between(low, high))
  }
}

/** The kind of file that a path names, as steps are counted by it. */
export function kindOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (path.startsWith('map/')) return 'map log'
  if (path.startsWith('journal/')) return 'journal'
  if (name.includes('.data')) return 'chunk'
  if (name.includes('.sum')) return 'table'
  if (name.startsWith('manifest')) return 'manifest'
  if (path.startsWith('shards/')) return 'shard directory'
  return name.replace(/\.(tmp|new)$/, '')
}
