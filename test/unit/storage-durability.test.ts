// Goal: a flush means durable, whoever else flushes at that moment; and what was durable is never
//   taken for something that never was, however the store was left.
// Method: the memory disk with syncs held back or steps that fail at the wanted moment, then the
//   image of a crash right there, opened again.
import { describe, expect, it } from 'vitest'
import type { MemoryDisk } from '../support/memory-disk.ts'
import {
  chunkKey,
  faultOf,
  freshRig,
  openRig,
  put,
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
