/** A store on a memory disk with a clock that moves only when a test says so. */
import { MAX_SHARD_CHUNKS } from '../../node/limits.ts'
import type { Clock, Disk, Log, Random } from '../../node/ports.ts'
import type { SpaceLimits } from '../../node/storage/space.ts'
import { openStore } from '../../node/storage/store.ts'
import type { ChunkStore, ShardRecord } from '../../node/storage/types.ts'
import { assert } from '../../protocols/assert.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { FaultCode } from '../../protocols/fault.ts'
import { isFault } from '../../protocols/fault.ts'
import type { ChunkKey, NodeId, Nonce, VolumeId } from '../../protocols/ids.ts'
import { BLOCK_BYTES, GiB, KiB, MiB } from '../../protocols/limits.ts'
import { generator, MemoryDisk } from './memory-disk.ts'

export const VOLUME = 'ab'.repeat(16) as VolumeId
export const OTHER_VOLUME = 'cd'.repeat(16) as VolumeId
export const ATTACH = '1122334455667788' as Nonce
export const NODE = `12D3KooW${'a'.repeat(44)}` as NodeId

/** Small enough that a short run rotates, applies and checkpoints. */
export const SMALL: SpaceLimits = {
  journalBytes: 2 * MiB,
  segmentBytes: 256 * KiB,
  reserveBytes: 64 * KiB
}

export class ManualClock implements Clock {
  #nowMs = 0
  #timers: Array<{ atMs: number; task: () => void }> = []

  now(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, task: () => void) {
    const timer = { atMs: this.#nowMs + delayMs, task }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter(other => other !== timer)
      }
    }
  }

  soon(task: () => void): void {
    queueMicrotask(task)
  }

  advance(ms: number): void {
    this.#nowMs += ms
    const due = this.#timers.filter(timer => timer.atMs <= this.#nowMs)
    this.#timers = this.#timers.filter(timer => timer.atMs > this.#nowMs)
    for (const timer of due) timer.task()
  }
}

export function seededRandom(seed: number): Random {
  const next = generator(seed)
  return {
    bytes: length => Uint8Array.from({ length }, () => Math.floor(next() * 256)),
    fraction: next
  }
}

export const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export interface Rig {
  readonly store: ChunkStore
  readonly clock: ManualClock
}

export async function openRig(
  disk: Disk,
  options: {
    seed?: number
    limits?: Partial<SpaceLimits>
    acceptLoss?: boolean
    capacityBytes?: number
    maxShardChunks?: number
    clock?: ManualClock
  } = {}
): Promise<Rig> {
  const clock = options.clock ?? new ManualClock()
  const store = await openStore({
    disk,
    clock,
    random: seededRandom(options.seed ?? 1),
    log: quiet,
    capacityBytes: options.capacityBytes ?? 100 * GiB,
    limits: options.limits ?? SMALL,
    acceptLoss: options.acceptLoss ?? false,
    maxShardChunks: options.maxShardChunks ?? MAX_SHARD_CHUNKS
  })
  return { store, clock }
}

export function shardRecord(volume: VolumeId = VOLUME, counter = 1): ShardRecord {
  const spec = { id: volume, extentBytes: 64 * MiB, stripeUnitBytes: 64 * KiB, generation: 0 }
  return {
    spec: { ...spec, columns: 1, copies: 1 },
    sizeBytes: GiB,
    token: { counter, attach: ATTACH },
    writer: { counter, attach: ATTACH },
    holder: { node: NODE, host: 'host', since: 1 },
    mover: undefined,
    runs: [],
    released: [],
    receiving: []
  }
}

export function chunkKey(extent: number, volume: VolumeId = VOLUME): ChunkKey {
  return { volume, extent, generation: 0, column: 0, replica: 0 }
}

/** Blocks whose every word says which version they are. */
export function blocksOf(version: number, count: number): Uint8Array {
  return new Uint8Array(new Uint32Array((count * BLOCK_BYTES) / 4).fill(version).buffer)
}

/** Lets everything that needs no timer run to its end. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise<void>(resolve => setImmediate(resolve))
}

/** A store that keeps one shard, on a new disk. */
export async function freshRig(options: Parameters<typeof openRig>[1] = {}) {
  const disk = new MemoryDisk()
  const rig = await openRig(disk, options)
  await rig.store.saveShard(shardRecord())
  return { disk, ...rig }
}

/** Writes `count` blocks that say `version`. */
export function put(store: ChunkStore, key: ChunkKey, block: number, version: number, count = 1) {
  const data = blocksOf(version, count)
  return store.write(key, block * BLOCK_BYTES, data, blockChecksums(data))
}

/** What the blocks say; 0 for a hole. */
export async function versionsAt(store: ChunkStore, key: ChunkKey, block: number, count = 1) {
  const { data, crcs } = await store.read(key, block * BLOCK_BYTES, count * BLOCK_BYTES)
  assert(
    Buffer.compare(crcBytes(crcs), crcBytes(blockChecksums(data))) === 0,
    'a read has its CRCs'
  )
  const versions: number[] = []
  for (let i = 0; i < count; i++) versions.push(Buffer.from(data).readUInt32LE(i * BLOCK_BYTES))
  return versions
}

/** The code of its fault; undefined if it succeeds. */
export async function faultOf(work: Promise<unknown>): Promise<FaultCode | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    return isFault(error) ? error.fault.code : 'BAD_INPUT'
  }
}

function crcBytes(crcs: Uint32Array): Buffer {
  return Buffer.from(crcs.buffer, crcs.byteOffset, crcs.byteLength)
}
