/**
 * What every ChunkStore must do (node/storage/types.ts), as tests to run against an implementation:
 * the one in memory and the real one. `make` gives a fresh medium; `reopen` starts its next
 * incarnation after the process died or the host lost power.
 */
import { describe, expect, it } from 'vitest'
import type { ChunkStore, ShardRecord } from '../../node/storage/types.ts'
import { blockChecksums, ZERO_BLOCK_CRC } from '../../protocols/checksum.ts'
import { isFault } from '../../protocols/fault.ts'
import type { ChunkKey, HandoffId } from '../../protocols/ids.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { FIRST_TOKEN, run, SHARD_NODE, spec, token, volumeId } from './shard-harness.ts'

export interface StoreBench {
  open: () => Promise<ChunkStore>
  reopen: (after: 'kill' | 'power', store: ChunkStore) => Promise<ChunkStore>
}

const V = volumeId(1)
const CHUNK: ChunkKey = { volume: V, extent: 0, generation: 1, column: 0, replica: 0 }
const RECORD: ShardRecord = {
  spec: spec(V),
  sizeBytes: 4 * MiB,
  token: FIRST_TOKEN,
  writer: FIRST_TOKEN,
  holder: undefined,
  mover: undefined,
  runs: [run(0, 4)],
  released: [],
  receiving: []
}

function blocks(byte: number, count = 1): Buffer {
  return Buffer.alloc(count * BLOCK_BYTES, byte)
}

function put(store: ChunkStore, byte: number, at: number, count = 1): Promise<void> {
  const data = blocks(byte, count)
  return store.write(CHUNK, at * BLOCK_BYTES, data, blockChecksums(data))
}

/** First byte of each of the blocks. */
async function look(store: ChunkStore, at: number, count: number): Promise<number[]> {
  const { data, crcs } = await store.read(CHUNK, at * BLOCK_BYTES, count * BLOCK_BYTES)
  expect(data.length).toBe(count * BLOCK_BYTES)
  expect(crcs).toEqual(blockChecksums(data))
  return Array.from({ length: count }, (_, block) => data[block * BLOCK_BYTES] ?? -1)
}

async function fresh(bench: StoreBench): Promise<ChunkStore> {
  const store = await bench.open()
  await store.saveShard(RECORD)
  return store
}

export function describeChunkStore(name: string, make: () => Promise<StoreBench>): void {
  describe(`${name} as a chunk store`, () => {
    it('reads holes as zeroes and what was written as it was', async () => {
      const store = await fresh(await make())
      await put(store, 7, 2, 3)
      expect(await look(store, 0, 8)).toEqual([0, 0, 7, 7, 7, 0, 0, 0])
      await store.close()
    })

    it('orders effects by the calls, whatever settles first', async () => {
      const store = await fresh(await make())
      const before = look(store, 0, 4)
      const first = put(store, 1, 0, 4)
      const between = look(store, 0, 4)
      const settling = [
        put(store, 2, 1, 2),
        store.trim(CHUNK, 2 * BLOCK_BYTES, BLOCK_BYTES),
        put(store, 3, 3)
      ]
      const after = look(store, 0, 4)
      await Promise.all([first, ...settling])
      expect(await before).toEqual([0, 0, 0, 0])
      expect(await between).toEqual([1, 1, 1, 1])
      expect(await after).toEqual([1, 2, 0, 3])
      await store.close()
    })

    it('gives trimmed blocks back and keeps zeroed ones', async () => {
      const bench = await make()
      const store = await fresh(bench)
      const span = { at: 16, count: 32 }
      await put(store, 5, 0, 64)
      await store.trim(CHUNK, span.at * BLOCK_BYTES, span.count * BLOCK_BYTES)
      expect([...(await store.map(CHUNK, 0, 64 * BLOCK_BYTES))]).toEqual([16, 32, 16])
      await store.zero(CHUNK, span.at * BLOCK_BYTES, BLOCK_BYTES)
      expect([...(await store.map(CHUNK, 0, 64 * BLOCK_BYTES))]).toEqual([17, 31, 16])
      expect(await look(store, 15, 3)).toEqual([5, 0, 0])
      // A store may count a little later than it gives and takes, but not after an orderly end.
      await store.close()
      const next = await bench.reopen('kill', store)
      expect(next.allocatedBytes(V)).toBe(33 * BLOCK_BYTES)
      expect(next.chunkBytes(CHUNK)).toBe(33 * BLOCK_BYTES)
      expect(next.chunkBytes({ ...CHUNK, extent: CHUNK.extent + 1 })).toBe(0)
      await next.close()
    })

    it('keeps what it acknowledged when the process dies', async () => {
      const bench = await make()
      const store = await fresh(bench)
      await put(store, 1, 0, 2)
      await store.trim(CHUNK, 0, BLOCK_BYTES)
      await put(store, 3, 5)
      const next = await bench.reopen('kill', store)
      expect(await look(next, 0, 6)).toEqual([0, 1, 0, 0, 0, 3])
      expect(next.incarnation.number).toBeGreaterThan(store.incarnation.number)
      expect(next.incarnation.nonce).not.toBe(store.incarnation.nonce)
      await next.close()
    })

    it('keeps what was flushed when the power fails', async () => {
      const bench = await make()
      const store = await fresh(bench)
      await put(store, 1, 0, 2)
      await store.flush()
      const next = await bench.reopen('power', store)
      expect(await look(next, 0, 2)).toEqual([1, 1])
      await next.close()
    })

    it('keeps a saved record and a removal whatever happens, and drops the bytes', async () => {
      const bench = await make()
      const store = await fresh(bench)
      await put(store, 1, 0)
      await store.saveShard({ ...RECORD, token: token(9) })
      const second = await bench.reopen('power', store)
      expect(second.shard(V)).toEqual({ ...RECORD, token: token(9) })
      expect(second.shards()).toEqual([{ ...RECORD, token: token(9) }])
      await second.removeShard(V, token(10))
      expect(second.shard(V)).toBeUndefined()
      const third = await bench.reopen('power', second)
      expect(third.shards()).toEqual([])
      expect(third.removedAt(V)).toEqual(token(10))
      expect(third.allocatedBytes(V)).toBe(0)
      await third.close()
    })

    it('tells states and checksums of blocks without their data, as they were at the call', async () => {
      const store = await fresh(await make())
      const settling = [put(store, 3, 1, 2)]
      const before = store.blocks(CHUNK, 0, 6)
      settling.push(store.trim(CHUNK, BLOCK_BYTES, BLOCK_BYTES))
      settling.push(store.zero(CHUNK, 4 * BLOCK_BYTES, BLOCK_BYTES))
      const after = store.blocks(CHUNK, 0, 6)
      await Promise.all(settling)
      const [crc = 0] = blockChecksums(blocks(3))
      expect([...(await before).states]).toEqual([0, 1, 1, 0, 0, 0])
      expect([...(await before).crcs]).toEqual([0, crc, crc, 0, 0, 0])
      expect([...(await after).states]).toEqual([0, 0, 1, 0, 1, 0])
      expect([...(await after).crcs]).toEqual([0, 0, crc, 0, ZERO_BLOCK_CRC, 0])
      const nothing = await store.blocks({ ...CHUNK, extent: 3 }, 7, 2)
      expect(nothing).toEqual({ states: new Uint8Array(2), crcs: new Uint32Array(2) })
      await store.close()
    })

    it('frees a chunk in the order of the calls, and it comes back with new bytes only', async () => {
      const bench = await make()
      const store = await fresh(bench)
      const settling = [put(store, 1, 0, 40)]
      expect(store.chunks(V)).toEqual([CHUNK])
      settling.push(store.freeChunk(CHUNK))
      const freed = look(store, 0, 40)
      settling.push(put(store, 2, 20, 2))
      await Promise.all(settling)
      expect(new Set(await freed)).toEqual(new Set([0]))
      expect(await look(store, 19, 4)).toEqual([0, 2, 2, 0])
      const next = await bench.reopen('kill', store)
      expect(await look(next, 19, 4)).toEqual([0, 2, 2, 0])
      expect(next.chunks(V)).toEqual([CHUNK])
      await next.freeChunk(CHUNK)
      await next.freeChunk(CHUNK)
      await next.close()
      const last = await bench.reopen('power', next)
      expect(last.chunks(V)).toEqual([])
      expect(last.allocatedBytes(V)).toBe(0)
      expect(await look(last, 0, 40)).toEqual(new Array(40).fill(0))
      await last.freeChunk(CHUNK)
      await last.close()
    })

    it('forgets only a shard that keeps nothing, for good until it is saved again', async () => {
      const bench = await make()
      const store = await fresh(bench)
      const empty = { ...RECORD, runs: [] }
      expect(await store.forgetShard(volumeId(2))).toBe(false)
      expect(await store.forgetShard(V)).toBe(false)
      await put(store, 1, 0)
      await store.saveShard(empty)
      expect(await store.forgetShard(V)).toBe(false)
      expect(store.shard(V)).toEqual(empty)
      await store.freeChunk(CHUNK)
      await store.close()
      const second = await bench.reopen('power', store)
      expect(await second.forgetShard(V)).toBe(true)
      expect([second.shard(V), second.removedAt(V)]).toEqual([undefined, undefined])
      const third = await bench.reopen('power', second)
      expect(third.shards()).toEqual([])
      await third.saveShard(empty)
      const outcomes = [third.forgetShard(V), third.saveShard(RECORD), third.forgetShard(V)]
      expect(await Promise.all(outcomes)).toEqual([true, undefined, false])
      const last = await bench.reopen('power', third)
      expect(last.shard(V)).toEqual(RECORD)
      expect(await look(last, 0, 1)).toEqual([0])
      await last.close()
    })

    it('keeps room for chunks on their way here, and they use it up', async () => {
      const bench = await make()
      const store = await fresh(bench)
      const handoff = '00000000000000aa' as HandoffId
      const entry = { run: run(2, 3), from: SHARD_NODE, handoff, isPrepared: false }
      const receiving = [{ ...entry, reservedBytes: MiB }]
      const { availableBytes } = store.space()
      await store.saveShard({ ...RECORD, receiving })
      const kept = availableBytes - store.space().availableBytes
      expect(kept).toBeGreaterThanOrEqual(MiB)
      expect(kept).toBeLessThan(MiB + 16 * KiB)
      await store.close()
      const next = await bench.reopen('power', store)
      const before = next.space().availableBytes
      const data = blocks(9, 32)
      await next.write({ ...CHUNK, extent: 2 }, 0, data, blockChecksums(data))
      // The journal takes its share of what is free; the room was taken off already.
      expect(before - next.space().availableBytes).toBeLessThan(data.length)
      await next.saveShard(RECORD)
      expect(next.space().availableBytes).toBeGreaterThan(before)
      await next.close()
    })

    it('digests equal content alike, and other content or allocation differently', async () => {
      const store = await fresh(await make())
      const other = { ...CHUNK, extent: 1 }
      const data = blocks(4)
      await put(store, 4, 0)
      await store.write(other, 0, data, blockChecksums(data))
      const digest = await store.digest(CHUNK)
      expect(await store.digest(other)).toBe(digest)
      await store.zero(other, 8 * BLOCK_BYTES, BLOCK_BYTES)
      expect(await store.digest(other)).not.toBe(digest)
      await store.close()
    })

    it('tells what it may use and refuses nothing that fits a whole chunk', async () => {
      const store = await fresh(await make())
      const { capacityBytes, availableBytes } = store.space()
      expect(availableBytes).toBeLessThanOrEqual(capacityBytes)
      const data = blocks(8, (512 * KiB) / BLOCK_BYTES)
      await store.write(CHUNK, 0, data, blockChecksums(data))
      expect(await look(store, 127, 1)).toEqual([8])
      await store.close()
    })

    it('settles what it was given before it closes, and refuses what comes after', async () => {
      const bench = await make()
      const store = await fresh(bench)
      const last = put(store, 6, 1)
      await store.close()
      await last
      const error = await put(store, 7, 1).catch((caught: unknown) => caught)
      expect(isFault(error)).toBe(true)
      const next = await bench.reopen('power', store)
      expect(await look(next, 1, 1)).toEqual([6])
      await next.close()
    })
  })
}
