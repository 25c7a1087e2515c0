/**
 * The Disk port in memory, with the habits of a real disk that a store must survive.
 *
 * Everything done to it is kept as a history. `crashImage` gives the disk that a crash after so
 * many steps of that history would leave: what was synced is there; of the rest, each write is
 * kept, lost, or torn at 512-byte sectors, as a seed decides; names (create, rename, remove) that
 * no syncDirectory made durable are kept up to some point of their order in that directory.
 * `loss: 'none'` gives the crash of a process: everything written is there.
 *
 * `faults` makes it fail: a full disk (`limitBytes`), errors on chosen steps, syncs that lie or
 * take as long as a test wants.
 */
import type { Disk, DiskFile } from '../../node/ports.ts'
import { Content, PAGE_BYTES } from './memory-content.ts'
import { type CrashOptions, type Image, imageAfter, parentOf, type Step } from './memory-crash.ts'

export { generator } from './memory-crash.ts'

export interface DiskFaults {
  /** Bytes that all files together may take, in whole pages; beyond it ENOSPC. */
  limitBytes: number
  /** Syncs resolve and make nothing durable: the negative control. */
  syncIsNoOp: boolean
  /** Asked before each step; an error code makes the step fail with it. */
  failing: (step: 'read' | 'write' | 'sync', path: string) => string | undefined
  /** Asked before each sync of a file, which then takes until the promise resolves. */
  delaying: (path: string) => Promise<void> | undefined
  /** Asked before each read of a file, which then waits for the promise. */
  reading: (path: string) => Promise<void> | undefined
}

export class MemoryDisk implements Disk {
  readonly faults: DiskFaults = {
    limitBytes: Number.POSITIVE_INFINITY,
    syncIsNoOp: false,
    failing: () => undefined,
    delaying: () => undefined,
    reading: () => undefined
  }
  readonly history: Step[] = []
  readonly #files = new Map<number, Content>()
  readonly #names = new Map<string, number>()
  readonly #directories = new Set<string>(['.'])
  /** What a crash at step 0 finds. */
  #base: Image
  #nextInode = 1

  constructor(base: Image = { files: new Map(), names: new Map(), directories: new Set(['.']) }) {
    this.#base = base
    for (const [inode, content] of base.files) this.#files.set(inode, content.clone())
    for (const [path, inode] of base.names) this.#names.set(path, inode)
    for (const path of base.directories) this.#directories.add(path)
    this.#nextInode = Math.max(0, ...base.files.keys()) + 1
  }

  async open(path: string, create?: 'new' | 'if-absent'): Promise<DiskFile> {
    await pause()
    let inode = this.#names.get(path)
    if (inode !== undefined && create === 'new') throw diskError('EEXIST', path)
    if (inode === undefined) {
      if (create === undefined) throw diskError('ENOENT', path)
      if (!this.#directories.has(parentOf(path))) throw diskError('ENOENT', path)
      inode = this.#nextInode++
      this.#files.set(inode, new Content())
      this.#names.set(path, inode)
      this.history.push({ is: 'link', path, inode })
    }
    return new MemoryFile(this, path, inode, this.content(inode))
  }

  async list(directory: string): Promise<string[]> {
    await pause()
    if (!this.#directories.has(directory)) throw diskError('ENOENT', directory)
    const paths = [...this.#names.keys(), ...this.#directories]
    const inside = paths.filter(path => path !== '.' && parentOf(path) === directory)
    return inside.map(path => path.slice(path.lastIndexOf('/') + 1)).sort()
  }

  async makeDirectory(path: string): Promise<void> {
    await pause()
    if (this.#directories.has(path)) return
    this.#directories.add(path)
    this.history.push({ is: 'directory', path })
  }

  async rename(from: string, to: string): Promise<void> {
    await pause()
    const inode = this.#names.get(from)
    if (inode === undefined) throw diskError('ENOENT', from)
    this.#names.delete(from)
    this.#names.set(to, inode)
    this.history.push({ is: 'rename', from, to })
  }

  async remove(path: string): Promise<void> {
    await pause()
    if (this.#directories.has(path)) {
      if ((await this.list(path)).length > 0) throw diskError('ENOTEMPTY', path)
      this.#directories.delete(path)
    } else if (!this.#names.delete(path)) throw diskError('ENOENT', path)
    this.history.push({ is: 'remove', path })
  }

  async syncDirectory(path: string): Promise<void> {
    const from = this.history.length
    await pause()
    if (!this.#directories.has(path)) throw diskError('ENOENT', path)
    this.#mayFail('sync', path)
    if (!this.faults.syncIsNoOp) this.history.push({ is: 'sync directory', path, from })
  }

  async space(): Promise<{ totalBytes: number; freeBytes: number }> {
    const totalBytes = Math.min(this.faults.limitBytes, 2 ** 40)
    return { totalBytes, freeBytes: Math.max(0, totalBytes - this.usedBytes()) }
  }

  usedBytes(): number {
    let used = 0
    for (const inode of new Set(this.#names.values())) used += this.content(inode).pages.size
    return used * PAGE_BYTES
  }

  /** Changes bytes of a file behind the store's back. */
  corrupt(path: string, change: (bytes: Buffer) => void): void {
    const inode = this.#names.get(path)
    if (inode === undefined) throw diskError('ENOENT', path)
    const content = this.content(inode)
    const bytes = Buffer.alloc(content.size)
    content.read(bytes, 0)
    change(bytes)
    content.write(bytes, 0)
  }

  paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  /** The disk as a crash after `steps` of the history leaves it. */
  crashImage(options: CrashOptions): MemoryDisk {
    const image = imageAfter(this.#base, this.history, options)
    const disk = new MemoryDisk(image)
    // A dead process leaves its unsynced writes in the page cache: power may take them later.
    if (options.loss === 'none') disk.#inherit(this.#base, this.history.slice(0, options.steps))
    return disk
  }

  #inherit(base: Image, history: readonly Step[]): void {
    this.#base = base
    this.history.push(...history)
    for (const step of history) {
      if ('inode' in step) this.#nextInode = Math.max(this.#nextInode, step.inode + 1)
    }
  }

  content(inode: number): Content {
    const content = this.#files.get(inode)
    if (content === undefined) throw new Error(`no inode ${inode}`)
    return content
  }

  act(step: 'read' | 'write' | 'sync', path: string, change?: Step): void {
    this.#mayFail(step, path)
    if (change === undefined) return
    if (change.is === 'write') this.#mayBeFull(change.inode, change)
    this.history.push(change)
  }

  #mayFail(step: 'read' | 'write' | 'sync', path: string): void {
    const code = this.faults.failing(step, path)
    if (code !== undefined) throw diskError(code, path)
  }

  #mayBeFull(inode: number, write: { position: number; bytes: Uint8Array }): void {
    if (this.faults.limitBytes === Number.POSITIVE_INFINITY) return
    const { pages } = this.content(inode)
    let added = 0
    const last = Math.floor((write.position + write.bytes.length - 1) / PAGE_BYTES)
    for (let page = Math.floor(write.position / PAGE_BYTES); page <= last; page++) {
      if (!pages.has(page)) added++
    }
    if (this.usedBytes() + added * PAGE_BYTES > this.faults.limitBytes) {
      throw diskError('ENOSPC', `inode ${inode}`)
    }
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk
  readonly #path: string
  readonly #inode: number
  readonly #content: Content

  constructor(disk: MemoryDisk, path: string, inode: number, content: Content) {
    this.#disk = disk
    this.#path = path
    this.#inode = inode
    this.#content = content
  }

  async size(): Promise<number> {
    await pause()
    return this.#content.size
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    await (this.#disk.faults.reading(this.#path) ?? pause())
    this.#disk.act('read', this.#path)
    return this.#content.read(target, position)
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = Buffer.concat(parts)
    if (bytes.length === 0) return
    await pause()
    const inode = this.#inode
    this.#disk.act('write', this.#path, { is: 'write', inode, position, bytes })
    this.#content.write(bytes, position)
    await pause()
  }

  async sync(): Promise<void> {
    const from = this.#disk.history.length
    await pause()
    await (this.#disk.faults.delaying(this.#path) ?? pause())
    const isNoOp = this.#disk.faults.syncIsNoOp
    const inode = this.#inode
    this.#disk.act('sync', this.#path, isNoOp ? undefined : { is: 'sync', inode, from })
  }

  async truncate(length: number): Promise<void> {
    await pause()
    if (length === this.#content.size) return
    this.#disk.history.push({ is: 'truncate', inode: this.#inode, length })
    this.#content.truncate(length)
  }

  async punchHole(position: number, length: number): Promise<void> {
    await pause()
    this.#disk.history.push({ is: 'punch', inode: this.#inode, position, length })
    this.#content.punch(position, length)
  }

  async close(): Promise<void> {
    await pause()
  }
}

function diskError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

function pause(): Promise<void> {
  return Promise.resolve()
}
