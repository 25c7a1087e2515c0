// Goal: the checker that end-to-end tests rest on notices every kind of loss.
// Method: a disk in memory that loses, mixes up or invents blocks on purpose.
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { type CheckedDisk, Checker } from '../support/process-checker.ts'
import { SeededRandom } from '../support/process-random.ts'

const BLOCKS = 16

describe('the checker', () => {
  it('finds nothing wrong with a disk that keeps what it was given', async () => {
    const disk = new MemoryDisk()
    const checker = new Checker(1, BLOCKS)
    let left = 200
    const until = (): boolean => left-- <= 0
    const random = new SeededRandom(1)
    const load = { random, inFlight: 4, readPercent: 50, flushEvery: 10, until }
    expect((await checker.load(disk, load)).errors).toEqual([])
    expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
  })

  it('finds a block that went back to an older write', async () => {
    const { disk, checker } = await written()
    const old = disk.bytes.slice()
    await checker.write(disk, 3)
    disk.bytes.set(old)
    expect(await checker.checkAll(disk, 'acknowledged')).toHaveLength(1)
    expect(await checker.checkAll(disk, 'flushed')).toEqual([])
  })

  it('finds a flushed block that went back, even where only flushes count', async () => {
    const { disk, checker } = await written()
    const old = disk.bytes.slice()
    await checker.write(disk, 3)
    await checker.flush(disk)
    disk.bytes.set(old)
    expect(await checker.checkAll(disk, 'flushed')).toHaveLength(1)
  })

  it('finds zeroes, a torn block, and a block in the wrong place', async () => {
    const { disk, checker } = await written()
    disk.bytes.fill(0, 0, BLOCK_BYTES)
    disk.bytes.fill(7, 2 * BLOCK_BYTES - 100, 2 * BLOCK_BYTES)
    disk.bytes.copyWithin(2 * BLOCK_BYTES, 5 * BLOCK_BYTES, 6 * BLOCK_BYTES)
    expect(await checker.checkAll(disk, 'acknowledged')).toHaveLength(3)
  })

  it('accepts either outcome of a write that was never answered', async () => {
    const { disk, checker } = await written()
    const before = disk.bytes.slice()
    disk.failAfterWrite = true
    await expect(checker.write(disk, 3)).rejects.toThrow()
    expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
    disk.bytes.set(before)
    expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
  })
})

class MemoryDisk implements CheckedDisk {
  readonly bytes = new Uint8Array(BLOCKS * BLOCK_BYTES)
  failAfterWrite = false

  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return this.bytes.slice(offsetBytes, offsetBytes + lengthBytes)
  }

  async write(offsetBytes: number, data: Uint8Array): Promise<void> {
    this.bytes.set(data, offsetBytes)
    if (this.failAfterWrite) throw new Error('no answer')
  }

  async flush(): Promise<void> {}
}

async function written(): Promise<{ disk: MemoryDisk; checker: Checker }> {
  const disk = new MemoryDisk()
  const checker = new Checker(1, BLOCKS)
  await checker.writeAll(disk)
  await checker.flush(disk)
  return { disk, checker }
}
