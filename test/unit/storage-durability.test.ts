// Goal: a flush means durable, whoever else flushes at that moment; and what was durable is never
//   taken for something that never was, however the store was left.
// Method: the memory disk with syncs held back or steps that fail at the wanted moment, then the
//   image of a crash right there, opened again.
import { describe, expect, it } from 'vitest'
import { ChunkFiles } from '../../node/storage/files.ts'
import { Health } from '../../node/storage/health.ts'
import { SEGMENT_HEAD_BYTES } from '../../node/storage/record.ts'
import { ShardState } from '../../node/storage/shards.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import {
  chunkKey,
  faultOf,
  freshRig,
  OTHER_VOLUME,
  openRig,
  put,
  quiet,
  settle,
  shardRecord,
  VOLUME,
  versionsAt
} from '../support/storage-rig.ts'

const SHARD = `shards/${VOLUME}`
const BYPASS_BLOCKS = 16

/** Holds back every sync of files with this ending until the returned function is called. */
function holdSyncs(disk: MemoryDisk, ending: string): () => void {
  let release = () => {}
  const isReleased = new Promise<void>(resolve => {
    release = resolve
  })
  const earlier = disk.faults.delaying
  disk.faults.delaying = path => (path.endsWith(ending) ? isReleased : earlier(path))
  return release
}

/** A store whose first chunk exists and is durable. */
async function warmRig() {
  const rig = await freshRig()
  await put(rig.store, chunkKey(0), 4000, 1)
  await rig.store.flush()
  await settle()
  return rig
}

describe('a flush', () => {
  it('waits for the data of every bypass before it, whoever else flushes', async () => {
    const { disk, store } = await warmRig()
    const releaseJournal = holdSyncs(disk, '.log')
    await put(store, chunkKey(0), 3000, 1)
    const first = store.flush()
    // Its client flushes again in the very moment in which the waiting flush may begin.
    const again = first.then(() => store.flush())
    await settle()
    await put(store, chunkKey(0), 0, 7, BYPASS_BLOCKS)
    let isFlushed = false
    const second = store.flush().then(() => {
      isFlushed = true
    })
    const releaseData = holdSyncs(disk, '.data')
    releaseJournal()
    await settle()
    expect(isFlushed).toBe(false)
    releaseData()
    await Promise.all([first, again, second])
    const after = await openRig(disk.crashImage({ loss: 'all' }), { seed: 2 })
    expect(await versionsAt(after.store, chunkKey(0), 0, 2)).toEqual([7, 7])
    await Promise.all([after.store.close(), store.close()])
  })

  it('covers a bypass, at whatever moment of it another flush began', async () => {
    for (let hops = 0; hops < 80; hops++) {
      const { disk, store } = await warmRig()
      const small = put(store, chunkKey(0), 3000, 2)
      const bypass = put(store, chunkKey(0), 0, 7, BYPASS_BLOCKS)
      for (let hop = 0; hop < hops; hop++) await Promise.resolve()
      await Promise.all([small, bypass, store.flush()])
      await store.flush()
      const after = await openRig(disk.crashImage({ loss: 'all' }), { seed: 2 })
      expect([hops, ...(await versionsAt(after.store, chunkKey(0), 0))]).toEqual([hops, 7])
    }
  })
})

describe('a token that a start found', () => {
  it('survives loss of power, wherever in its saving the start before was killed', async () => {
    const { disk, store } = await freshRig()
    const from = disk.history.length
    await store.saveShard(shardRecord(VOLUME, 2))
    for (let steps = from; steps <= disk.history.length; steps++) {
      const killed = disk.crashImage({ loss: 'none', steps })
      const found = (await openRig(killed)).store.shard(VOLUME)?.token.counter
      const dark = killed.crashImage({ loss: 'all' })
      const kept = (await openRig(dark)).store.shard(VOLUME)?.token.counter
      expect([steps, kept]).toEqual([steps, found])
    }
  })
})

describe('a write that was never flushed', () => {
  it('survives what a flush after a killed recovery promises, wherever that was killed', async () => {
    const { disk, store } = await warmRig()
    await put(store, chunkKey(0), 0, 7)
    const killed = disk.crashImage({ loss: 'none' })
    const from = killed.history.length
    await openRig(killed)
    for (let steps = from; steps <= killed.history.length; steps++) {
      const again = killed.crashImage({ loss: 'none', steps })
      const { store: second } = await openRig(again)
      await second.flush()
      const dark = await openRig(again.crashImage({ loss: 'all' }))
      expect([steps, await versionsAt(dark.store, chunkKey(0), 0)]).toEqual([steps, [7]])
    }
  })
})

describe('a shard without its manifest', () => {
  it('is damage if it holds chunks: they are kept, and the operator decides', async () => {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 7, BYPASS_BLOCKS)
    await store.close()
    await disk.remove(`${SHARD}/manifest`)
    const before = disk.paths().filter(path => path.startsWith(SHARD))
    expect(before.length).toBeGreaterThan(0)
    expect(await faultOf(openRig(disk, { seed: 2 }))).toBe('DATA_DIR')
    const accepted = await openRig(disk, { seed: 3, acceptLoss: true })
    expect(accepted.store.shard(VOLUME)).toBeUndefined()
    await accepted.store.close()
    expect(disk.paths().filter(path => path.startsWith(SHARD))).toEqual(before)
  })

  it('is cleared away if it was never completed', async () => {
    const { disk, store } = await freshRig()
    await store.close()
    await disk.rename(`${SHARD}/manifest`, `${SHARD}/manifest.tmp`)
    const again = await openRig(disk, { seed: 2 })
    expect(disk.paths().filter(path => path.startsWith(SHARD))).toEqual([])
    await again.store.saveShard(shardRecord())
    await again.store.close()
  })
})

describe('a flushed bypass', () => {
  async function flushedImage() {
    const { disk, store } = await freshRig()
    await put(store, chunkKey(0), 0, 7, BYPASS_BLOCKS)
    await store.flush()
    const image = disk.crashImage({ loss: 'none' })
    await store.close()
    return image
  }

  it('that the next start cannot read is an error until it can be read, never zeroes', async () => {
    const image = await flushedImage()
    const isData = (step: string, path: string) => step === 'read' && path.endsWith('.data')
    image.faults.failing = (step, path) => (isData(step, path) ? 'EIO' : undefined)
    const { store, clock } = await openRig(image, { seed: 2 })
    expect(await faultOf(versionsAt(store, chunkKey(0), 3))).toBe('IO_ERROR')
    clock.advance(1000)
    await settle()
    expect(await faultOf(versionsAt(store, chunkKey(0), 3))).toBe('IO_ERROR')
    await store.close()
    image.faults.failing = () => undefined
    const healed = await openRig(image, { seed: 3 })
    expect(await versionsAt(healed.store, chunkKey(0), 0, 2)).toEqual([7, 7])
    await healed.store.close()
  })

  it('loses at the next start only the blocks that cannot be read', async () => {
    const image = await flushedImage()
    let reads = 0
    const failing = new Set([1, 2 + 5]) // the whole at once, then the sixth block alone
    image.faults.failing = (step, path) =>
      step === 'read' && path.endsWith('.data') && failing.has(++reads) ? 'EIO' : undefined
    const { store } = await openRig(image, { seed: 2 })
    image.corrupt(`${SHARD}/0.0.0.0.data`, bytes => bytes.fill(9, 5 * 4096, 5 * 4096 + 10))
    expect(await versionsAt(store, chunkKey(0), 4)).toEqual([7])
    expect(await faultOf(versionsAt(store, chunkKey(0), 5))).toBe('BAD_CHECKSUM')
    expect(await versionsAt(store, chunkKey(0), 6, 10)).toEqual(Array(10).fill(7))
    await store.close()
  })

  it('whose file is gone though its manifest lists it is an error, not a hole', async () => {
    const { disk, store } = await warmRig()
    await store.close()
    const again = await openRig(disk, { seed: 2 })
    // A write goes past the journal only if the chunk's table is known.
    expect(await versionsAt(again.store, chunkKey(0), 4000)).toEqual([1])
    await put(again.store, chunkKey(0), 0, 7, BYPASS_BLOCKS)
    await again.store.flush()
    const image = disk.crashImage({ loss: 'none' })
    await again.store.close()
    await image.remove(`${SHARD}/0.0.0.0.data`)
    const after = await openRig(image, { seed: 3 })
    expect(await faultOf(versionsAt(after.store, chunkKey(0), 0))).toMatch(/IO_ERROR|BAD_CHECKSUM/)
    await after.store.close()
  })

  it('keeps the store from starting while its file cannot even be opened', async () => {
    const image = await flushedImage()
    const open = image.open.bind(image)
    image.open = (path, create) => {
      if (!path.endsWith('.data')) return open(path, create)
      return Promise.reject(Object.assign(new Error('too many open files'), { code: 'EMFILE' }))
    }
    await expect(openRig(image, { seed: 2 })).rejects.toThrow('too many open files')
    image.open = open
    const after = await openRig(image, { seed: 3 })
    expect(await versionsAt(after.store, chunkKey(0), 0)).toEqual([7])
    await after.store.close()
  })
})

describe('a store that died with a full journal', () => {
  /** As full as it gets, because its syncs are held back; no change waits for room in it. */
  async function fullJournal() {
    const { disk, store, clock } = await freshRig()
    await store.saveShard(shardRecord(OTHER_VOLUME))
    let release = () => {}
    const isReleased = new Promise<void>(resolve => {
      release = resolve
    })
    disk.faults.delaying = async path => {
      const isLog = path.endsWith('.log')
      const size = isLog ? await (await disk.open(path)).size() : 0
      if (size > SEGMENT_HEAD_BYTES) await isReleased
    }
    const writes = Array.from({ length: 55 }, (_, i) => put(store, chunkKey(0), i * 8, 7, 8))
    await settle()
    return { disk, store, clock, writes, release }
  }

  /** Of the images of crashes at these steps, those in which a new store takes no write. */
  async function stuckAt(disk: MemoryDisk, steps: readonly number[]): Promise<number[]> {
    const stuck: number[] = []
    for (const step of steps) {
      const image = disk.crashImage({ steps: step, loss: 'none' })
      const { store, clock } = await openRig(image, { seed: 3 })
      let isAnswered = false
      put(store, chunkKey(0, OTHER_VOLUME), 0, 9, 8).then(() => {
        isAnswered = true
      })
      for (let i = 0; i < 20 && !isAnswered; i++) {
        await settle()
        clock.advance(1000)
      }
      if (!isAnswered) stuck.push(step)
    }
    return stuck
  }

  it('takes writes again, wherever in the removal of old segments it died', async () => {
    const { disk, store, writes, release } = await fullJournal()
    const closing = store.close()
    await settle()
    release()
    await Promise.all([closing, ...writes])
    const removals = disk.history.flatMap((step, i) =>
      step.is === 'remove' && step.path.startsWith('journal/') ? [i] : []
    )
    expect(removals.length).toBeGreaterThan(4)
    expect(await stuckAt(disk, removals)).toEqual([])
  })

  it('takes writes again if all that its journal holds is of a removed shard', async () => {
    const { disk, store, clock, writes, release } = await fullJournal()
    const from = disk.history.length
    const removal = store.removeShard(VOLUME, shardRecord().token)
    await settle()
    release()
    await Promise.allSettled([removal, ...writes])
    clock.advance(1000)
    await settle()
    const steps = Array.from({ length: disk.history.length - from }, (_, i) => from + i)
    expect(await stuckAt(disk, steps)).toEqual([])
    await store.close()
  })
})

describe('a chunk file', () => {
  it('is not closed between its opening and its first use, whoever gives another back', async () => {
    for (let hops = 0; hops < 20; hops++) {
      const disk = new MemoryDisk()
      await disk.makeDirectory('shards')
      await disk.makeDirectory(SHARD)
      const files = new ChunkFiles(disk, new Health(quiet), 1)
      const shard = new ShardState(shardRecord())
      const [one, two] = [shard.addChunk(chunkKey(0)), shard.addChunk(chunkKey(1))]
      const other = await files.acquire(one, true)
      const opening = files.acquire(two, true)
      for (let hop = 0; hop < hops; hop++) await Promise.resolve()
      files.release(other)
      const open = await opening
      expect([hops, two.open === open, open.users]).toEqual([hops, true, 1])
      files.release(open)
      await files.closeAll()
    }
  })
})
