/**
 * A seeded run of a store, and the judgement of what a crash at any step of it left.
 *
 * Every change writes a version number into its blocks (0: zeroes). For each block the run keeps
 * its versions in the order of the calls, with the steps of the disk's history at which each was
 * called and answered; and for each flush when it was called and answered. From that follows what
 * a block may read after a crash.
 */
import type { ChunkStore } from '../../node/storage/types.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { isFault } from '../../protocols/fault.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { MemoryDisk } from './memory-disk.ts'
import { generator } from './memory-disk.ts'
import {
  blocksOf,
  chunkKey,
  OTHER_VOLUME,
  openRig,
  type Rig,
  shardRecord,
  VOLUME
} from './storage-rig.ts'

const CHUNKS = 4
const CHUNK_BLOCKS = 64
const NEVER = Number.POSITIVE_INFINITY

export interface Version {
  readonly version: number
  readonly calledAt: number
  answeredAt: number
}

export interface Flush {
  readonly calledAt: number
  answeredAt: number
}

export interface Run {
  readonly disk: MemoryDisk
  readonly versions: Version[][]
  readonly flushes: Flush[]
  /** Steps at which a shard's save was answered, by its token's counter. */
  readonly saves: Array<{ counter: number; answeredAt: number }>
  removal: Flush | undefined
}

/** A run of so many operations on a fresh store; the store is left open, as a crash finds it. */
export async function recordRun(disk: MemoryDisk, seed: number, operations: number): Promise<Run> {
  const random = generator(seed)
  const rig = await openRig(disk, { seed })
  const versions = Array.from({ length: CHUNKS * CHUNK_BLOCKS }, () => [])
  const run: Run = { disk, versions, flushes: [], saves: [], removal: undefined }
  await rig.store.saveShard(shardRecord())
  await rig.store.saveShard(shardRecord(OTHER_VOLUME))
  run.saves.push({ counter: 1, answeredAt: disk.history.length })
  const pending: Promise<unknown>[] = []
  for (let i = 1; i <= operations; i++) {
    pending.push(operate(run, rig, random, i, operations))
    if (random() < 0.4) await Promise.all(pending.splice(0))
    if (random() < 0.06) rig.clock.advance(300)
    if (random() < 0.06) rig.clock.advance(1000)
    if (random() < 0.02) rig.clock.advance(10_000)
  }
  await Promise.all(pending)
  return run
}

async function operate(
  run: Run,
  rig: Rig,
  random: () => number,
  i: number,
  operations: number
): Promise<void> {
  const { store } = rig
  const below = (bound: number) => Math.floor(random() * bound)
  const kind = random()
  if (kind < 0.08) return flush(run, store)
  if (kind < 0.1) {
    await store.saveShard(shardRecord(VOLUME, i + 1))
    run.saves.push({ counter: i + 1, answeredAt: run.disk.history.length })
    return
  }
  if (kind < 0.14 && run.removal === undefined) {
    const data = blocksOf(i, 1)
    const doomed = store.write(chunkKey(below(2), OTHER_VOLUME), 0, data, blockChecksums(data))
    return doomed.catch(ignoreNoChunk)
  }
  if (i > operations / 2 && run.removal === undefined) return remove(run, store)
  // Chunks come into being during the run, so that large writes meet blocks never written.
  const extent = below(Math.min(CHUNKS, 1 + (i * CHUNKS) / operations))
  if (kind > 0.6 && kind < 0.63) return free(run, store, extent)
  const isLarge = kind > 0.85
  const first = isLarge ? below(3) * 16 + 16 : below(CHUNK_BLOCKS)
  const count = Math.min(CHUNK_BLOCKS - first, isLarge ? 16 + below(8) : 1 + below(4))
  const isWrite = isLarge || kind < 0.5
  const noted = note(run, extent, first, count, isWrite ? i : 0)
  const key = chunkKey(extent)
  const data = blocksOf(i, count)
  if (isWrite) await store.write(key, first * BLOCK_BYTES, data, blockChecksums(data))
  else if (kind < 0.6) await store.zero(key, first * BLOCK_BYTES, count * BLOCK_BYTES)
  else await store.trim(key, first * BLOCK_BYTES, count * BLOCK_BYTES)
  for (const version of noted) version.answeredAt = run.disk.history.length
}

async function free(run: Run, store: ChunkStore, extent: number): Promise<void> {
  const noted = note(run, extent, 0, CHUNK_BLOCKS, 0)
  await store.freeChunk(chunkKey(extent))
  for (const version of noted) version.answeredAt = run.disk.history.length
}

function note(run: Run, extent: number, first: number, count: number, version: number): Version[] {
  const noted: Version[] = []
  for (let block = first; block < first + count; block++) {
    const entry = { version, calledAt: run.disk.history.length, answeredAt: NEVER }
    run.versions[extent * CHUNK_BLOCKS + block]?.push(entry)
    noted.push(entry)
  }
  return noted
}

async function flush(run: Run, store: ChunkStore): Promise<void> {
  const entry = { calledAt: run.disk.history.length, answeredAt: NEVER }
  run.flushes.push(entry)
  await store.flush()
  entry.answeredAt = run.disk.history.length
}

async function remove(run: Run, store: ChunkStore): Promise<void> {
  run.removal = { calledAt: run.disk.history.length, answeredAt: NEVER }
  await store.removeShard(OTHER_VOLUME, shardRecord().token)
  run.removal.answeredAt = run.disk.history.length
}

function ignoreNoChunk(error: unknown): void {
  if (!isFault(error, 'NO_CHUNK')) throw error
}

/**
 * What is wrong with the store that a crash at `step` left, or undefined.
 * `isPowerLoss`: only what a flush answered must be there; else all that was answered.
 */
export async function judge(
  run: Run,
  store: ChunkStore,
  step: number,
  isPowerLoss: boolean
): Promise<string | undefined> {
  const record = store.shard(VOLUME)
  const saved = run.saves.filter(save => save.answeredAt <= step).at(-1)
  if (saved !== undefined && (record?.token.counter ?? 0) < saved.counter) return 'lost a save'
  if (record === undefined) return undefined
  if (run.removal !== undefined && run.removal.answeredAt <= step) {
    if (store.shard(OTHER_VOLUME) !== undefined) return 'a removed shard is back'
    if (store.removedAt(OTHER_VOLUME) === undefined) return 'the removal is forgotten'
  }
  const flushed = run.flushes.filter(one => one.answeredAt <= step)
  for (let extent = 0; extent < CHUNKS; extent++) {
    const whole = await readChunk(store, extent, CHUNK_BLOCKS)
    for (let block = 0; block < CHUNK_BLOCKS; block++) {
      const versions = run.versions[extent * CHUNK_BLOCKS + block] ?? []
      const found = whole[block]
      const allowed = allowedVersions(versions, flushed, step, isPowerLoss)
      if (typeof found !== 'number' || !allowed.includes(found)) {
        return `block ${block} of chunk ${extent} is ${found}, may be ${[...new Set(allowed)]}`
      }
    }
  }
  return undefined
}

/** By block: its version, or what is wrong with it. */
export async function readChunk(
  store: ChunkStore,
  extent: number,
  blocks: number
): Promise<Array<number | string>> {
  const found: Array<number | string> = []
  for (let block = 0; block < blocks; block++) {
    try {
      const { data } = await store.read(chunkKey(extent), block * BLOCK_BYTES, BLOCK_BYTES)
      const view = Buffer.from(data.buffer, data.byteOffset, data.length)
      const version = view.readUInt32LE(0)
      const isWhole = view.equals(blocksOf(version, 1))
      found.push(isWhole ? version : 'a mix')
    } catch (error) {
      found.push(String(error))
    }
  }
  return found
}

/** The last version that must be there (zeroes if none), and every one called after it. */
export function allowedVersions(
  versions: readonly Version[],
  flushed: readonly Flush[],
  step: number,
  isPowerLoss: boolean
): number[] {
  let floor = -1
  for (const [i, { answeredAt }] of versions.entries()) {
    const isSafe = isPowerLoss
      ? flushed.some(one => answeredAt <= one.calledAt)
      : answeredAt <= step
    if (isSafe) floor = i
  }
  const later = versions.slice(floor + 1).filter(version => version.calledAt <= step)
  const least = floor < 0 ? 0 : (versions[floor]?.version ?? 0)
  return [least, ...later.map(version => version.version)]
}
