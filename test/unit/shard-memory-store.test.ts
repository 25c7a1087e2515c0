// Goal: the store in memory that other tests stand on keeps the promises of the real one, and loses
// what a real one may lose.
// Method: the suite of the port; then what is only true in memory.
import { expect, it } from 'vitest'
import { blockChecksums } from '../../protocols/checksum.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { createCall, FIRST_TOKEN, volumeId } from '../support/shard-harness.ts'
import { MemoryChunkStore, MemoryMedium } from '../support/shard-memory-store.ts'
import { describeChunkStore } from '../support/shard-store-suite.ts'

const V = volumeId(1)
const CHUNK = { volume: V, extent: 0, generation: 1, column: 0, replica: 0 }

describeChunkStore('memory', async () => {
  const medium = new MemoryMedium()
  return {
    open: async () => new MemoryChunkStore(medium),
    reopen: async (after, store) => {
      if (store instanceof MemoryChunkStore) store.hold()
      if (after === 'kill') medium.crash()
      else medium.losePower()
      return new MemoryChunkStore(medium)
    }
  }
})

it('loses unflushed changes with the power, all or all but the first few', async () => {
  for (const kept of [0, 1, 2]) {
    const medium = new MemoryMedium()
    const store = new MemoryChunkStore(medium)
    const { spec, sizeBytes, runs } = createCall(V)
    const none = { holder: undefined, mover: undefined, released: [], receiving: [] }
    const tokens = { token: FIRST_TOKEN, writer: FIRST_TOKEN }
    await store.saveShard({ spec, sizeBytes, runs, ...tokens, ...none })
    for (let block = 0; block < 3; block++) {
      const data = Buffer.alloc(BLOCK_BYTES, 1)
      await store.write(CHUNK, block * BLOCK_BYTES, data, blockChecksums(data))
    }
    medium.losePower(kept)
    const next = new MemoryChunkStore(medium)
    expect(next.allocatedBytes(V)).toBe(kept * BLOCK_BYTES)
  }
})
