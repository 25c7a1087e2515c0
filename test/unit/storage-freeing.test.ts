// Goal: a freed chunk gives everything back, disturbs nobody who reads it, works where trims work,
//   and never takes a write with it; what is reserved for chunks on their way here is theirs.
// Method: a store on the memory disk; checkpoints happen when the test moves the clock.
import { describe, expect, it } from 'vitest'
import type { ShardRecord } from '../../node/storage/types.ts'
import type { HandoffId } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MiB } from '../../protocols/limits.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import {
  chunkKey,
  faultOf,
  freshRig,
  type ManualClock,
  NODE,
  openRig,
  put,
  settle,
  shardRecord,
  VOLUME,
  versionsAt
} from '../support/storage-rig.ts'

/** What a block takes: its data, its state and its checksum. */
const PER_BLOCK = BLOCK_BYTES + 5
const DIRECTORY = `shards/${VOLUME}`
const DATA = `${DIRECTORY}/0.0.0.0.data`

/** Everything called so far is applied, and checkpointed. */
async function checkpoint(clock: ManualClock): Promise<void> {
  for (const ms of [1000, 10_000]) {
    clock.advance(ms)
    await settle()
  }
}

function filesOf(disk: MemoryDisk): string[] {
  return disk.paths().filter(path => path.startsWith(`${DIRECTORY}/`) && !path.endsWith('manifest'))
}

function receivingOf(extent: number, reservedBytes: number): ShardRecord {
  const epoch = { token: shardRecord().token, counter: 1 }
  const run = { from: extent, to: extent + 1, generation: 0, column: 0, replica: 0, epoch }
  const handoff = 'aabbccddeeff0011' as HandoffId
  const entry = { run, from: NODE, handoff, isPrepared: false, reservedBytes }
  return { ...shardRecord(), receiving: [entry] }
}

describe('a freed chunk', () => {
  it('leaves files, list and count at the next checkpoint, and not before it is applied', async () => {
    const { disk, store, clock } = await freshRig()
    await put(store, chunkKey(0), 0, 1, 32)
    await put(store, chunkKey(1), 0, 2, 4)
    await checkpoint(clock)
    const usedBytes = disk.usedBytes()
    await store.freeChunk(chunkKey(0))
    expect(store.chunks(VOLUME)).toEqual([chunkKey(0), chunkKey(1)])
    await checkpoint(clock)
    expect(store.chunks(VOLUME)).toEqual([chunkKey(1)])
    expect(filesOf(disk).map(path => path.slice(DIRECTORY.length + 1))).toEqual([
      '1.0.0.0.data',
      '1.0.0.0.sum'
    ])
    expect(store.allocatedBytes(VOLUME)).toBe(4 * BLOCK_BYTES)
    expect(disk.usedBytes()).toBeLessThan(usedBytes - 31 * BLOCK_BYTES)
    const next = (await openRig(disk.crashImage({ loss: 'all' }))).store
    expect(next.chunks(VOLUME)).toEqual([chunkKey(1)])
    expect(await versionsAt(next, chunkKey(0), 0, 2)).toEqual([0, 0])
    await next.close()
    await store.close()
  })

  it('is read to the end by those who began before', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 1, 32)
    await store.close()
    const { store: again, clock } = await openRig(disk)
    let goOn = () => {}
    const held = new Promise<void>(resolve => {
      goOn = resolve
    })
    disk.faults.reading = path => (path === DATA ? held : undefined)
    const reading = versionsAt(again, chunkKey(0), 0, 32)
    await settle()
    await again.freeChunk(chunkKey(0))
    await checkpoint(clock)
    expect(again.chunks(VOLUME)).toEqual([chunkKey(0)])
    expect(await versionsAt(again, chunkKey(0), 0, 2)).toEqual([0, 0])
    goOn()
    expect(new Set(await reading)).toEqual(new Set([1]))
    await checkpoint(clock)
    expect(again.chunks(VOLUME)).toEqual([])
    await again.close()
  })

  it('is given back on a disk that has no room for writes', async () => {
    const disk = new MemoryDisk()
    disk.faults.limitBytes = 8 * MiB
    const { store, clock } = await openRig(disk)
    await store.saveShard(shardRecord())
    const refused: unknown[] = []
    for (let i = 0; i < 200 && refused.length === 0; i++) {
      const code = await faultOf(put(store, chunkKey(i % 2), (i >> 1) * 16, i + 1, 16))
      if (code !== undefined) refused.push(code)
      clock.advance(400)
      await settle()
    }
    expect(refused).toEqual(['NO_SPACE'])
    await store.freeChunk(chunkKey(0))
    for (let i = 0; i < 20; i++) await checkpoint(clock)
    expect(store.chunks(VOLUME)).toEqual([chunkKey(1)])
    await put(store, chunkKey(0), 0, 5, 16)
    expect(await versionsAt(store, chunkKey(0), 0)).toEqual([5])
    await store.close()
  })

  it('ceases to exist although damage took its checksums', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 1, 8)
    await store.close()
    disk.corrupt(`${DIRECTORY}/0.0.0.0.sum`, bytes => {
      bytes[20] = (bytes[20] ?? 0) ^ 1
    })
    const again = await openRig(disk)
    const { states } = await again.store.blocks(chunkKey(0), 0, 3)
    expect([...states]).toEqual([2, 2, 2])
    await again.store.trim(chunkKey(0), 0, 8 * BLOCK_BYTES)
    await checkpoint(again.clock)
    expect(await faultOf(versionsAt(again.store, chunkKey(0), 8))).toBe('IO_ERROR')
    expect(again.store.chunks(VOLUME)).toEqual([chunkKey(0)])
    await again.store.freeChunk(chunkKey(0))
    await checkpoint(again.clock)
    expect(again.store.chunks(VOLUME)).toEqual([])
    await again.store.close()
  })

  it('takes what a refused write left of a chunk that never held anything', async () => {
    const { disk, store, clock } = await freshRig()
    disk.faults.failing = (step, path) => (step === 'write' && path === DATA ? 'ENOSPC' : undefined)
    expect(await faultOf(put(store, chunkKey(0), 0, 1, 16))).toBe('NO_SPACE')
    disk.faults.failing = () => undefined
    expect(store.chunks(VOLUME)).toEqual([chunkKey(0)])
    await store.freeChunk(chunkKey(0))
    await checkpoint(clock)
    expect([store.chunks(VOLUME), filesOf(disk)]).toEqual([[], []])
    expect(await store.forgetShard(VOLUME)).toBe(true)
    expect(disk.paths().filter(path => path.startsWith('shards/'))).toEqual([])
    await store.close()
  })

  it('goes when the disk has room for its manifest again', async () => {
    const { disk, store, clock } = await freshRig()
    await put(store, chunkKey(0), 0, 1, 4)
    await checkpoint(clock)
    await store.freeChunk(chunkKey(0))
    const manifest = `${DIRECTORY}/manifest.tmp`
    disk.faults.failing = (_step, path) => (path === manifest ? 'ENOSPC' : undefined)
    await checkpoint(clock)
    expect(store.failure).toBeUndefined()
    expect(filesOf(disk)).toContain(DATA)
    await put(store, chunkKey(0), 2, 7)
    disk.faults.failing = () => undefined
    for (let i = 0; i < 3; i++) await checkpoint(clock)
    expect(await versionsAt(store, chunkKey(0), 0, 4)).toEqual([0, 0, 7, 0])
    await store.freeChunk(chunkKey(0))
    for (let i = 0; i < 3; i++) await checkpoint(clock)
    expect(filesOf(disk)).toEqual([])
    await store.close()
  })
})

describe('room that is reserved', () => {
  it('is refused to others and there for its chunk, whatever else fills the disk', async () => {
    const { disk, store, clock } = await freshRig({ capacityBytes: 8 * MiB })
    const room = store.space().availableBytes
    await store.saveShard(receivingOf(5, 2 * MiB))
    expect(store.space().availableBytes).toBe(room - 512 * PER_BLOCK)
    let written = 0
    while ((await faultOf(put(store, chunkKey(0), written, 1, 16))) === undefined) written += 16
    expect((written + 512) * PER_BLOCK).toBeLessThanOrEqual(room)
    expect((written + 512 + 16) * PER_BLOCK).toBeGreaterThan(room)
    for (let block = 0; block < 512; block += 16) {
      await put(store, chunkKey(5), block, 2, 16)
      if (block === 128) await checkpoint(clock)
    }
    expect(store.space().availableBytes).toBeLessThan(16 * PER_BLOCK)
    await store.close()
    const again = (await openRig(disk, { capacityBytes: 8 * MiB })).store
    expect(await versionsAt(again, chunkKey(5), 511)).toEqual([2])
    await again.close()
  })

  it('comes from the records alone: after a restart, less what has arrived', async () => {
    const { disk, store } = await freshRig({ capacityBytes: 32 * MiB })
    await store.saveShard(receivingOf(5, 2 * MiB))
    await put(store, chunkKey(5), 0, 1, 128)
    await store.close()
    const again = await openRig(disk, { capacityBytes: 32 * MiB })
    const before = again.store.space().availableBytes
    await again.store.saveShard(shardRecord())
    const left = (512 - 128) * PER_BLOCK
    expect(again.store.space().availableBytes).toBe(before + left)
    await again.store.saveShard(receivingOf(5, 2 * MiB))
    expect(again.store.space().availableBytes).toBe(before)
    await again.store.freeChunk(chunkKey(5))
    await checkpoint(again.clock)
    expect(again.store.chunks(VOLUME)).toEqual([])
    await again.store.saveShard(shardRecord())
    const free = again.store.space().availableBytes
    await again.store.saveShard(receivingOf(5, 2 * MiB))
    expect(again.store.space().availableBytes).toBe(free - 512 * PER_BLOCK)
    await again.store.removeShard(VOLUME, shardRecord().token)
    expect(again.store.space().availableBytes).toBe(free)
    await again.store.close()
  })
})
