// Goal: the promises of node/storage/types.ts, one by one, and the answers to a disk that is full,
//   fails, or gives back other bytes than were written.
// Method: a store on the memory disk, with faults switched on at the port.
import { describe, expect, it } from 'vitest'
import { ZERO_BLOCK_CRC } from '../../protocols/checksum.ts'
import type { FaultCode } from '../../protocols/fault.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import {
  chunkKey,
  faultOf,
  freshRig,
  ManualClock,
  NODE,
  OTHER_VOLUME,
  openRig,
  put,
  seededRandom,
  settle,
  shardRecord,
  VOLUME,
  versionsAt
} from '../support/storage-rig.ts'

const DATA = 'shards/abababababababababababababababab/0.0.0.0.data'
const SUM = 'shards/abababababababababababababababab/0.0.0.0.sum'

describe('a read', () => {
  it('sees exactly the changes called before it, answered or not', async () => {
    const { store } = await freshRig()
    const key = chunkKey(0)
    const changes: Promise<void>[] = []
    const reads: Promise<number[]>[] = []
    for (let version = 1; version <= 50; version++) {
      changes.push(put(store, key, 3, version))
      reads.push(versionsAt(store, key, 2, 3))
    }
    await Promise.all(changes)
    const expected = Array.from({ length: 50 }, (_, i) => [0, i + 1, 0])
    expect(await Promise.all(reads)).toEqual(expected)
    await store.close()
  })

  it('keeps to that while changes are applied below it', async () => {
    const { store, clock } = await freshRig()
    const key = chunkKey(0)
    await put(store, key, 0, 1, 32)
    for (let version = 2; version < 40; version++) {
      const before = versionsAt(store, key, 0, 32)
      const change = version % 5 === 0 ? store.trim(key, 0, MiB) : put(store, key, 0, version, 8)
      const after = versionsAt(store, key, 0, 8)
      clock.advance(1000)
      await Promise.all([before, change, after])
      expect(new Set(await after)).toEqual(new Set([version % 5 === 0 ? 0 : version]))
      clock.advance(1000)
    }
    await store.close()
  })

  it('answers zeroes with their checksum where nothing was written', async () => {
    const { store } = await freshRig()
    const { data, crcs } = await store.read(chunkKey(9), 0, 2 * BLOCK_BYTES)
    expect(Buffer.from(data).equals(Buffer.alloc(2 * BLOCK_BYTES))).toBe(true)
    expect([...crcs]).toEqual([ZERO_BLOCK_CRC, ZERO_BLOCK_CRC])
    expect(await faultOf(store.read(chunkKey(0, OTHER_VOLUME), 0, BLOCK_BYTES))).toBe('NO_CHUNK')
    await store.close()
  })

  it('finds a flipped byte in a chunk file: an error, not data', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 7, 4)
    await store.close()
    disk.corrupt(DATA, bytes => {
      bytes[BLOCK_BYTES + 5] = 1
    })
    const again = (await openRig(disk)).store
    expect(await versionsAt(again, chunkKey(0), 0)).toEqual([7])
    expect(await faultOf(versionsAt(again, chunkKey(0), 1))).toBe('BAD_CHECKSUM')
    expect(await faultOf(versionsAt(again, chunkKey(0), 0, 4))).toBe('BAD_CHECKSUM')
    await put(again, chunkKey(0), 1, 8)
    await again.close()
    const healed = (await openRig(disk)).store
    expect(await versionsAt(healed, chunkKey(0), 0, 4)).toEqual([7, 8, 7, 7])
    await healed.close()
  })

  it.each([SUM, DATA])(
    'of a listed chunk whose %s is gone is an error until rewritten',
    async path => {
      const { disk, store } = await freshRig()
      await put(store, chunkKey(0), 0, 7, 4)
      await store.close()
      await disk.remove(path)
      const again = (await openRig(disk)).store
      expect(await faultOf(versionsAt(again, chunkKey(0), 0))).toMatch(/IO_ERROR|BAD_CHECKSUM/)
      await put(again, chunkKey(0), 0, 9)
      expect(await versionsAt(again, chunkKey(0), 0)).toEqual([9])
      await again.close()
    }
  )
})

describe('a change', () => {
  it('gives blocks back by trim, and keeps them by zero', async () => {
    const { disk, store } = await freshRig()
    const key = chunkKey(0)
    await put(store, key, 0, 1, 64)
    await store.trim(key, 8 * BLOCK_BYTES, 16 * BLOCK_BYTES)
    await store.zero(key, 32 * BLOCK_BYTES, 8 * BLOCK_BYTES)
    expect([...(await store.map(key, 0, 80 * BLOCK_BYTES))]).toEqual([8, 16, 40, 16])
    const before = disk.usedBytes()
    await store.close()
    expect(before - disk.usedBytes()).toBeGreaterThanOrEqual(12 * BLOCK_BYTES)
    const again = (await openRig(disk)).store
    expect([...(await again.map(key, 0, 80 * BLOCK_BYTES))]).toEqual([8, 16, 40, 16])
    expect(again.allocatedBytes(VOLUME)).toBe(48 * BLOCK_BYTES)
    expect(await versionsAt(again, key, 30, 12)).toEqual([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    await again.close()
  })

  it('goes past the journal when it is large and its blocks are new, and is read back', async () => {
    const { disk, store, clock } = await freshRig()
    const key = chunkKey(0)
    const writes = [put(store, key, 0, 1, 32), put(store, key, 16, 2, 32)]
    expect(await versionsAt(store, key, 14, 4)).toEqual([1, 1, 2, 2])
    await Promise.all(writes)
    clock.advance(1000)
    await settle()
    expect(await versionsAt(store, key, 14, 4)).toEqual([1, 1, 2, 2])
    const dead = disk.crashImage({ loss: 'none' })
    const again = (await openRig(dead)).store
    expect(await versionsAt(again, key, 14, 4)).toEqual([1, 1, 2, 2])
    await Promise.all([again.close(), store.close()])
  })

  it('has a digest that is equal for equal bytes only', async () => {
    const [a, b] = [await freshRig(), await freshRig({ seed: 2 })]
    for (const { store } of [a, b]) await put(store, chunkKey(0), 0, 5, 40)
    await a.store.trim(chunkKey(0), 0, 2 * BLOCK_BYTES)
    expect(await a.store.digest(chunkKey(0))).not.toBe(await b.store.digest(chunkKey(0)))
    await b.store.trim(chunkKey(0), 0, 2 * BLOCK_BYTES)
    const digest = await a.store.digest(chunkKey(0))
    expect(digest).toBe(await b.store.digest(chunkKey(0)))
    await a.store.close()
    const again = (await openRig(a.disk)).store
    expect(await again.digest(chunkKey(0))).toBe(digest)
    await Promise.all([again.close(), b.store.close()])
  })
})

describe('a shard', () => {
  it('is remembered as removed, and its bytes are gone', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 1, 64)
    await store.removeShard(VOLUME, shardRecord().token)
    expect(store.shard(VOLUME)).toBeUndefined()
    expect(disk.paths().filter(path => path.startsWith('shards/'))).toEqual([])
    await store.close()
    const again = (await openRig(disk)).store
    expect(again.removedAt(VOLUME)).toEqual(shardRecord().token)
    await again.saveShard(shardRecord(VOLUME, 9))
    expect(await versionsAt(again, chunkKey(0), 0, 4)).toEqual([0, 0, 0, 0])
    expect(again.removedAt(VOLUME)).toBeUndefined()
    await again.close()
  })

  it('leaves nothing to the next one of its volume, though its removal failed half-way', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 1, 64)
    const remove = disk.remove.bind(disk)
    disk.remove = () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
    expect(await faultOf(store.removeShard(VOLUME, shardRecord().token))).toBe('IO_ERROR')
    disk.remove = remove
    const from = disk.history.length
    await store.saveShard(shardRecord(VOLUME, 9))
    for (let steps = from; steps <= disk.history.length; steps++) {
      const image = disk.crashImage({ steps, loss: 'none' })
      const again = (await openRig(image, { seed: 2 })).store
      const counter = again.shard(VOLUME)?.token.counter
      expect([steps, counter === undefined || counter === 9]).toEqual([steps, true])
      await again.close()
    }
    expect(disk.paths().filter(path => path.endsWith('.data'))).toEqual([])
    await store.close()
  })

  it('is removed while changes of it are on their way', async () => {
    const { store, clock } = await freshRig()
    const changes = Array.from({ length: 40 }, (_, i) => put(store, chunkKey(i % 3), i, 1, 20))
    const removal = store.removeShard(VOLUME, shardRecord().token)
    clock.advance(1000)
    await Promise.allSettled(changes)
    await removal
    expect(store.failure).toBeUndefined()
    await store.close()
  })

  it('saves its record in the order of the calls', async () => {
    const { disk, store } = await freshRig()
    await Promise.all([2, 3, 4].map(counter => store.saveShard(shardRecord(VOLUME, counter))))
    expect(store.shard(VOLUME)?.token.counter).toBe(4)
    const image = disk.crashImage({ loss: 'all' })
    const again = (await openRig(image)).store
    expect(again.shard(VOLUME)).toEqual(shardRecord(VOLUME, 4))
    await Promise.all([again.close(), store.close()])
  })
})

describe('an incarnation', () => {
  it('grows with every start and is never the same twice', async () => {
    const disk = new MemoryDisk()
    const seen = new Set<string>()
    for (let number = 1; number <= 4; number++) {
      const { store } = await openRig(disk, { seed: number })
      expect(store.incarnation.number).toBe(number)
      seen.add(store.incarnation.nonce)
      await store.close()
    }
    expect(seen.size).toBe(4)
  })
})

describe('a full disk', () => {
  it('refuses what needs room, lets overwrites and trims pass, and recovers', async () => {
    const disk = new MemoryDisk()
    disk.faults.limitBytes = 8 * MiB
    const { store, clock } = await openRig(disk)
    await store.saveShard(shardRecord())
    const answers: Array<FaultCode | undefined> = []
    for (let i = 0; i < 200; i++) {
      answers.push(await faultOf(put(store, chunkKey(0), i * 16, i + 1, 16)))
      clock.advance(400)
      await settle()
    }
    const firstRefused = answers.indexOf('NO_SPACE')
    expect(firstRefused).toBeGreaterThan(20)
    expect(store.failure).toBeUndefined()
    for (let i = 0; i < 100; i++) await put(store, chunkKey(0), i, 1000 + i)
    await store.flush()
    expect(await versionsAt(store, chunkKey(0), 99)).toEqual([1099])
    await store.trim(chunkKey(0), 0, firstRefused * 8 * BLOCK_BYTES)
    for (let i = 0; i < 20; i++) {
      clock.advance(1100)
      await settle()
    }
    await put(store, chunkKey(1), 0, 5, 16)
    expect(await versionsAt(store, chunkKey(1), 0)).toEqual([5])
    await store.close()
  })

  it('refuses by capacity too', async () => {
    const { store } = await freshRig({ capacityBytes: 4 * MiB })
    expect(await faultOf(put(store, chunkKey(0), 0, 1, 256))).toBeUndefined()
    expect(await faultOf(put(store, chunkKey(0), 256, 1, 512))).toBe('NO_SPACE')
    expect(store.space().availableBytes).toBeLessThan(2 * MiB)
    await store.close()
  })

  it('that fills up behind our back answers NO_SPACE and keeps what was promised', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 1)
    disk.faults.limitBytes = disk.usedBytes()
    const refused = await Promise.all(
      Array.from({ length: 10 }, (_, i) => faultOf(put(store, chunkKey(0), i, 2)))
    )
    expect(new Set(refused)).toEqual(new Set(['NO_SPACE']))
    expect(await versionsAt(store, chunkKey(0), 0, 2)).toEqual([1, 0])
    disk.faults.limitBytes = Number.POSITIVE_INFINITY
    await put(store, chunkKey(0), 1, 3)
    await store.close()
    const again = (await openRig(disk)).store
    expect(await versionsAt(again, chunkKey(0), 0, 2)).toEqual([1, 3])
    await again.close()
  })
})

describe('admission', () => {
  it('goes on after a refusal that came before the queue was looked at', async () => {
    class LateClock extends ManualClock {
      override soon(task: () => void): void {
        setImmediate(task)
      }
    }
    const { disk, store } = await freshRig({ clock: new LateClock() })
    await put(store, chunkKey(0), 0, 1)
    await settle()
    const isBypass = (step: string, path: string) => step === 'write' && path === DATA
    disk.faults.failing = (step, path) => (isBypass(step, path) ? 'ENOSPC' : undefined)
    expect(await faultOf(put(store, chunkKey(0), 16, 2, 16))).toBe('NO_SPACE')
    await settle()
    disk.faults.failing = () => undefined
    await put(store, chunkKey(0), 1, 3)
    expect(await versionsAt(store, chunkKey(0), 0, 2)).toEqual([1, 3])
    await store.close()
  })

  it('counts what the journal of a dead process holds, before it is applied', async () => {
    const { disk, store } = await freshRig()
    for (let i = 0; i < 8; i++) await put(store, chunkKey(0), i * 4, 1, 8)
    const before = store.space()
    const image = disk.crashImage({ loss: 'none' })
    const again = await openRig(image, { seed: 2 })
    expect(again.store.allocatedBytes(VOLUME)).toBe(36 * BLOCK_BYTES)
    expect(again.store.space().availableBytes).toBeLessThanOrEqual(before.availableBytes)
    again.clock.advance(1000)
    await settle()
    expect(again.store.allocatedBytes(VOLUME)).toBe(36 * BLOCK_BYTES)
    await again.store.trim(chunkKey(0), 0, MiB)
    await again.store.close()
    const empty = await openRig(image, { seed: 3 })
    expect(empty.store.allocatedBytes(VOLUME)).toBe(0)
    await Promise.all([empty.store.close(), store.close()])
  })

  it('refuses a chunk more than a manifest may list; the others are served', async () => {
    const { disk, store } = await freshRig({ maxShardChunks: 3 })
    for (let i = 0; i < 3; i++) await put(store, chunkKey(i), 0, 1)
    expect(await faultOf(put(store, chunkKey(3), 0, 1))).toBe('NO_SPACE')
    expect(await versionsAt(store, chunkKey(3), 0)).toEqual([0])
    await put(store, chunkKey(2), 0, 2)
    await store.close()
    const again = (await openRig(disk, { maxShardChunks: 3 })).store
    expect(await faultOf(put(again, chunkKey(3), 0, 1))).toBe('NO_SPACE')
    expect(await versionsAt(again, chunkKey(2), 0)).toEqual([2])
    await again.close()
  })

  it('refuses a record that is too long for a manifest, and keeps the one before', async () => {
    const { store } = await freshRig()
    const record = shardRecord(VOLUME, 2)
    const host = 'h'.repeat(32 * MiB)
    const holder = { node: NODE, host, since: 1 }
    expect(await faultOf(store.saveShard({ ...record, holder }))).toBe('NO_SPACE')
    expect(store.shard(VOLUME)).toEqual(shardRecord())
    expect(store.failure).toBeUndefined()
    await store.close()
  })
})

describe('a failing disk', () => {
  it('ends the store at the first failed sync; nothing is tried again', async () => {
    const { disk, store } = await freshRig()
    const failures: Error[] = []
    store.onFailure(error => failures.push(error))
    await put(store, chunkKey(0), 0, 1)
    let syncs = 0
    disk.faults.failing = step => (step === 'sync' && ++syncs === 1 ? 'EIO' : undefined)
    expect(await faultOf(store.flush())).toBe('IO_ERROR')
    expect(await faultOf(store.flush())).toBe('IO_ERROR')
    expect(await faultOf(put(store, chunkKey(0), 1, 1))).toBe('IO_ERROR')
    expect(await faultOf(store.read(chunkKey(0), 0, BLOCK_BYTES))).toBe('IO_ERROR')
    expect(await faultOf(store.saveShard(shardRecord(VOLUME, 3)))).toBe('IO_ERROR')
    expect(syncs).toBe(1)
    expect(failures).toHaveLength(1)
    expect(store.failure).toBe(failures[0])
    await store.close()
    disk.faults.failing = () => undefined
    const again = (await openRig(disk)).store
    expect(await versionsAt(again, chunkKey(0), 0)).toEqual([1])
    await again.close()
  })

  it('answers IO_ERROR for what cannot be read, and goes on', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 1, 20)
    await store.close()
    const again = (await openRig(disk)).store
    disk.faults.failing = (step, path) => (step === 'read' && path === DATA ? 'EIO' : undefined)
    expect(await faultOf(versionsAt(again, chunkKey(0), 0))).toBe('IO_ERROR')
    disk.faults.failing = () => undefined
    expect(await versionsAt(again, chunkKey(0), 0)).toEqual([1])
    await again.close()
  })
})

describe('a damaged store', () => {
  async function journaled() {
    const { disk, store } = await freshRig()
    for (let i = 0; i < 6; i++) {
      await put(store, chunkKey(0), i, i + 1)
      await store.flush()
    }
    await put(store, chunkKey(0), 6, 7)
    const image = disk.crashImage({ loss: 'none' })
    await store.close()
    const journal = image.paths().find(path => path.startsWith('journal/')) ?? ''
    return { image, journal }
  }

  it('reports a damaged record below a proven sync as lost blocks, and keeps the rest', async () => {
    const { image, journal } = await journaled()
    image.corrupt(journal, bytes => bytes.fill(9, 64 + 2 * 4224 + 200, 64 + 2 * 4224 + 210))
    const { store } = await openRig(image)
    expect(await versionsAt(store, chunkKey(0), 0, 2)).toEqual([1, 2])
    expect(await faultOf(versionsAt(store, chunkKey(0), 2))).toBe('IO_ERROR')
    expect(await versionsAt(store, chunkKey(0), 3, 4)).toEqual([4, 5, 6, 7])
    await store.close()
    const again = (await openRig(image)).store
    expect(await faultOf(versionsAt(again, chunkKey(0), 2))).toBe('IO_ERROR')
    await put(again, chunkKey(0), 2, 30)
    expect(await versionsAt(again, chunkKey(0), 2)).toEqual([30])
    await again.close()
  })

  it('refuses to open if not even the head is left, unless the loss is accepted', async () => {
    const { image, journal } = await journaled()
    image.corrupt(journal, bytes => bytes.fill(9, 64 + 2 * 4224, 64 + 2 * 4224 + 10))
    expect(await faultOf(openRig(image))).toBe('DATA_DIR')
    const { store } = await openRig(image, { acceptLoss: true })
    expect(await versionsAt(store, chunkKey(0), 0, 7)).toEqual([1, 2, 0, 4, 5, 6, 7])
    await store.close()
    await (await openRig(image)).store.close()
  })

  it('cuts a torn end that no sync had proven', async () => {
    const { image, journal } = await journaled()
    image.corrupt(journal, bytes => bytes.fill(9, 64 + 6 * 4224, 64 + 6 * 4224 + 10))
    const { store } = await openRig(image)
    expect(await versionsAt(store, chunkKey(0), 0, 7)).toEqual([1, 2, 3, 4, 5, 6, 0])
    await store.close()
  })

  it.each(['root', 'incarnation'])('refuses to open with a damaged %s', async name => {
    const { image } = await journaled()
    image.corrupt(name, bytes => bytes.fill(1))
    expect(await faultOf(openRig(image))).toBe('DATA_DIR')
    const { store } = await openRig(image, { acceptLoss: true })
    expect(store.incarnation.number).toBeGreaterThan(1)
    expect(await versionsAt(store, chunkKey(0), 0, 3)).toEqual([1, 2, 3])
    await store.close()
  })

  it('knows its last sync is proven once it fell idle', async () => {
    const { disk, store, clock } = await freshRig()
    await put(store, chunkKey(0), 0, 1)
    await store.flush()
    clock.advance(1000)
    await settle()
    const image = disk.crashImage({ loss: 'none' })
    await store.close()
    const journal = image.paths().find(path => path.startsWith('journal/')) ?? ''
    image.corrupt(journal, bytes => bytes.fill(9, 64, 80))
    expect(await faultOf(openRig(image))).toBe('DATA_DIR')
  })
})

describe('many chunks', () => {
  it('are served with few open files and bounded journals', async () => {
    const { disk, store, clock } = await freshRig()
    const random = seededRandom(3)
    for (let round = 0; round < 6; round++) {
      const changes = Array.from({ length: 100 }, (_, i) => put(store, chunkKey(i), round, i + 1))
      clock.advance(1000)
      await Promise.all(changes)
      await settle()
    }
    expect(disk.paths().filter(path => path.startsWith('journal/')).length).toBeLessThan(12)
    await store.close()
    const again = (await openRig(disk, { seed: 4 })).store
    for (let i = 0; i < 20; i++) {
      const extent = Math.floor(random.fraction() * 100)
      expect(await versionsAt(again, chunkKey(extent), 0, 7)).toEqual([
        ...Array.from({ length: 6 }, () => extent + 1),
        0
      ])
    }
    expect(again.allocatedBytes(VOLUME)).toBe(600 * BLOCK_BYTES)
    expect(again.space().usedBytes).toBeGreaterThan(2400 * KiB)
    await again.close()
  })
})
