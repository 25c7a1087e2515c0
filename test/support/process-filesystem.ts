/**
 * File systems of their own for a node's data directory (root only): one that can lose power, and
 * one that can be full.
 *
 * Loss of power is ext4's shutdown ioctl on a loop mount: from that moment nothing reaches the
 * medium, and after a new mount only what was synced (or happened to be written back) is there.
 */
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync } from 'node:fs'
import koffi from 'koffi'
import { MiB } from '../../protocols/limits.ts'
import { findTool } from './process-packages.ts'
import { run, runOk } from './process-spawn.ts'

const EXT4_IOC_SHUTDOWN = 0x8004587d
/** Do not even write the file system's own log. */
const EXT4_GOING_FLAGS_NOLOGFLUSH = 2

export class PowerlessDisk {
  readonly directory: string
  readonly #image: string

  private constructor(image: string, directory: string) {
    this.#image = image
    this.directory = directory
  }

  static async create(image: string, directory: string, bytes: number): Promise<PowerlessDisk> {
    writeFileSync(image, '')
    truncateSync(image, bytes)
    mkdirSync(directory, { recursive: true })
    const mkfs = findTool('mkfs.ext4') ?? 'mkfs.ext4'
    // Everything laid out at once: no background writes that would sync by accident.
    await runOk(mkfs, ['-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image])
    const disk = new PowerlessDisk(image, directory)
    await disk.mount()
    return disk
  }

  /** A long commit interval: what nobody synced does not become durable by itself. */
  async mount(): Promise<void> {
    await runOk('mount', ['-o', 'loop,commit=300', this.#image, this.directory])
  }

  losePower(): void {
    const ioctl = koffi.load('libc.so.6').func('int ioctl(int, unsigned long, void *)')
    const flags = Buffer.alloc(4)
    flags.writeUInt32LE(EXT4_GOING_FLAGS_NOLOGFLUSH)
    const directory = openSync(this.directory, 'r')
    const failed = ioctl(directory, EXT4_IOC_SHUTDOWN, flags) !== 0
    closeSync(directory)
    if (failed) throw new Error(`cannot shut down the file system of ${this.directory}`)
  }

  async unmount(): Promise<void> {
    await runOk('umount', [this.directory])
  }

  /** For clean-up: whatever its state. */
  async discard(): Promise<void> {
    await run('umount', ['-l', this.directory])
  }
}

/** A memory file system of `bytes`; the returned function takes it away. */
export async function mountSmall(directory: string, bytes: number): Promise<() => Promise<void>> {
  mkdirSync(directory, { recursive: true })
  await runOk('mount', ['-t', 'tmpfs', '-o', `size=${Math.ceil(bytes / MiB)}m`, 'tmpfs', directory])
  return async () => {
    await run('umount', ['-l', directory])
  }
}
