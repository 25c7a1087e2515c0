/**
 * A Disk in memory that knows what is durable: bytes after `sync`, names after `syncDirectory`.
 * `crash` gives the disk as the next start finds it: unsynced bytes survive up to a random point,
 * or not at all. Writes can be made to fail.
 */
import type { Disk, DiskFile } from '../../node/ports.ts'

interface Inode {
  bytes: Uint8Array
  durable: Uint8Array
}

export class MapDisk implements Disk {
  /** Set: every write and sync fails with this code. */
  failWith: string | undefined
  readonly #now = new Map<string, Inode>()
  #durable = new Map<string, Inode>()

  async open(path: string, create?: 'new' | 'if-absent'): Promise<DiskFile> {
    let inode = this.#now.get(path)
    if (inode !== undefined && create === 'new') throw coded('EEXIST')
    if (inode === undefined) {
      if (create === undefined) throw coded('ENOENT')
      this.#check()
      inode = { bytes: new Uint8Array(0), durable: new Uint8Array(0) }
      this.#now.set(path, inode)
    }
    return this.#file(inode)
  }

  async list(directory: string): Promise<string[]> {
    const names = [...this.#now.keys()].filter(path => path.startsWith(`${directory}/`))
    return names.map(path => path.slice(directory.length + 1)).sort()
  }

  async makeDirectory(): Promise<void> {}

  async rename(from: string, to: string): Promise<void> {
    this.#check()
    const inode = this.#now.get(from)
    if (inode === undefined) throw coded('ENOENT')
    this.#now.delete(from)
    this.#now.set(to, inode)
  }

  async remove(path: string): Promise<void> {
    if (!this.#now.delete(path)) throw coded('ENOENT')
  }

  async syncDirectory(): Promise<void> {
    this.#check()
    this.#durable = new Map(this.#now)
  }

  async space(): Promise<{ totalBytes: number; freeBytes: number }> {
    return { totalBytes: 2 ** 30, freeBytes: 2 ** 29 }
  }

  /** The disk after a loss of power; `keep` in [0, 1] of each file's unsynced bytes survive. */
  crash(keep = 0): MapDisk {
    const after = new MapDisk()
    for (const [path, inode] of this.#durable) {
      const { bytes, durable } = inode
      const length = durable.length + Math.floor(keep * Math.max(0, bytes.length - durable.length))
      const kept = bytes.length > durable.length ? bytes.slice(0, length) : durable.slice()
      const copy = { bytes: kept, durable: kept.slice() }
      after.#now.set(path, copy)
      after.#durable.set(path, copy)
    }
    return after
  }

  /** Spoils a byte of a file, at rest. */
  rot(path: string, at: number): void {
    const inode = this.#now.get(path)
    if (inode === undefined || at >= inode.bytes.length) throw coded('ENOENT')
    inode.bytes[at] = (inode.bytes[at] ?? 0) ^ 0xff
  }

  size(path: string): number | undefined {
    return this.#now.get(path)?.bytes.length
  }

  #check(): void {
    if (this.failWith !== undefined) throw coded(this.failWith)
  }

  #file(inode: Inode): DiskFile {
    return {
      size: async () => inode.bytes.length,
      read: async (target, position) => {
        const part = inode.bytes.subarray(position, position + target.length)
        target.set(part)
        return part.length
      },
      write: async (parts, position) => {
        this.#check()
        const data = Buffer.concat(parts)
        const bytes = new Uint8Array(Math.max(inode.bytes.length, position + data.length))
        bytes.set(inode.bytes)
        bytes.set(data, position)
        inode.bytes = bytes
      },
      sync: async () => {
        this.#check()
        inode.durable = inode.bytes.slice()
      },
      truncate: async length => {
        const bytes = new Uint8Array(length)
        bytes.set(inode.bytes.subarray(0, length))
        inode.bytes = bytes
      },
      punchHole: async (position, length) => {
        inode.bytes.fill(0, position, position + length)
      },
      close: async () => {}
    }
  }
}

function coded(code: string): Error {
  return Object.assign(new Error(code), { code })
}
