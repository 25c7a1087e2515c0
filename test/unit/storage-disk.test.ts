// Goal: the real disk keeps the Disk port's promises: whole reads and writes, atomic names, holes
//   that give space back; and a store on it survives its process.
// Method: a temporary directory on the machine's file system.
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, systemRandom } from '../../node/clock.ts'
import { openDisk } from '../../node/storage/real-disk.ts'
import { openStore } from '../../node/storage/store.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { BLOCK_BYTES, GiB, MiB } from '../../protocols/limits.ts'
import { blocksOf, chunkKey, quiet, shardRecord, VOLUME } from '../support/storage-rig.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-disk-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true })
})

const blocksOnDisk = async (name: string) => (await stat(join(directory, name))).blocks

describe('the real disk', () => {
  it('writes parts in order, reads them back, and reads less only at the end', async () => {
    const disk = openDisk(directory)
    const file = await disk.open('a', 'new')
    await file.write([Buffer.from('one'), Buffer.from('two'), Buffer.alloc(0)], 5)
    const target = Buffer.alloc(20)
    expect(await file.read(target, 5)).toBe(6)
    expect(target.toString('latin1', 0, 6)).toBe('onetwo')
    const many = Array.from({ length: 3000 }, (_, i) => Buffer.alloc(10, i))
    await file.write(many, 0)
    expect(await file.size()).toBe(30_000)
    const all = Buffer.alloc(30_000)
    await file.read(all, 0)
    expect(all.equals(Buffer.concat(many))).toBe(true)
    await file.sync()
    await file.truncate(7)
    expect(await file.size()).toBe(7)
    await file.close()
    await expect(disk.open('a', 'new')).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(disk.open('b')).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('gives space back for a punched hole, which reads as zeroes', async () => {
    const disk = openDisk(directory)
    const file = await disk.open('a', 'new')
    await file.write([Buffer.alloc(MiB, 1)], 0)
    await file.sync()
    const before = await blocksOnDisk('a')
    await file.punchHole(BLOCK_BYTES, MiB / 2)
    await file.sync()
    expect(await blocksOnDisk('a')).toBeLessThanOrEqual(before - MiB / 2 / 512)
    const target = Buffer.alloc(MiB)
    expect(await file.read(target, 0)).toBe(MiB)
    expect(target.subarray(BLOCK_BYTES, BLOCK_BYTES + MiB / 2).every(byte => byte === 0)).toBe(true)
    expect(target[BLOCK_BYTES - 1]).toBe(1)
    await file.close()
  })

  it('renames, lists and removes', async () => {
    const disk = openDisk(directory)
    await disk.makeDirectory('x/y')
    const file = await disk.open('x/y/a', 'if-absent')
    await file.close()
    await disk.rename('x/y/a', 'x/y/b')
    await disk.syncDirectory('x/y')
    expect(await disk.list('x/y')).toEqual(['b'])
    await disk.remove('x/y/b')
    await disk.remove('x/y')
    expect(await disk.list('x')).toEqual([])
    const { totalBytes, freeBytes } = await disk.space()
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes)
    await expect(disk.list('../..')).rejects.toThrow(/below the root/)
  })
})

describe('a store on the real disk', () => {
  it('keeps its data over a restart and gives trimmed space back', async () => {
    const options = {
      disk: openDisk(directory),
      clock: systemClock,
      random: systemRandom,
      log: quiet,
      capacityBytes: GiB
    }
    const store = await openStore(options)
    await store.saveShard(shardRecord())
    const data = blocksOf(5, 256)
    const crcs = blockChecksums(data)
    for (let i = 0; i < 8; i++) await store.write(chunkKey(i % 2), (i >> 1) * MiB, data, crcs)
    await store.write(chunkKey(0), 3 * BLOCK_BYTES, data.subarray(0, BLOCK_BYTES), crcs.slice(0, 1))
    await store.flush()
    await store.trim(chunkKey(0), MiB, 2 * MiB)
    await store.close()
    const again = await openStore(options)
    expect(again.incarnation.number).toBe(2)
    expect([...(await again.map(chunkKey(0), 0, 5 * MiB))]).toEqual([256, 512, 256, 256])
    const read = await again.read(chunkKey(1), 0, 4 * MiB)
    expect(Buffer.from(read.data).equals(blocksOf(5, 1024))).toBe(true)
    expect(again.allocatedBytes(VOLUME)).toBe(6 * MiB)
    const used = await blocksOnDisk(`shards/${VOLUME}/0.0.0.0.data`)
    expect(used * 512).toBeLessThan(2.2 * MiB)
    await again.close()
  })
})
