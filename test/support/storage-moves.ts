/**
 * A seeded run of a store whose only volume comes and goes as handoffs would have it: its chunks
 * are written (most with bypasses), freed or trimmed, written again, and the shard is forgotten and saved anew;
 * and the judgement of what a crash at any step left. Versions are as in storage-crash.ts: a freed
 * chunk has version 0 in every block.
 */
import type { ChunkStore } from '../../node/storage/types.ts'
import { isFault } from '../../protocols/fault.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { MemoryDisk } from './memory-disk.ts'
import { generator } from './memory-disk.ts'
import { allowedVersions, type Flush, readChunk, type Version } from './storage-crash.ts'
import { chunkKey, openRig, put, type Rig, settle, shardRecord, VOLUME } from './storage-rig.ts'

const CHUNKS = 2
const CHUNK_BLOCKS = 48
const BYPASS_BLOCKS = 16
const NEVER = Number.POSITIVE_INFINITY

/** What became of the shard: its record's counter, or undefined if it was forgotten. */
interface Fate extends Flush {
  readonly counter: number | undefined
}

export interface MovingRun {
  readonly disk: MemoryDisk
  readonly versions: Version[][]
  /** A shard that was forgotten had durably freed everything: counts as a flush too. */
  readonly flushes: Flush[]
  /** In the order of the calls. */
  readonly fates: Fate[]
  /** How often what the run is about happened, so that a test can say that it did. */
  readonly seen: { freed: number; forgotten: number; filesRemoved: number }
}

export async function recordMoves(
  disk: MemoryDisk,
  seed: number,
  operations: number
): Promise<MovingRun> {
  const random = generator(seed)
  const rig = await openRig(disk, { seed })
  const versions = Array.from({ length: CHUNKS * CHUNK_BLOCKS }, () => [])
  const seen = { freed: 0, forgotten: 0, filesRemoved: 0 }
  const run: MovingRun = { disk, versions, flushes: [], fates: [], seen }
  await save(run, rig.store, 1)
  const pending: Promise<unknown>[] = []
  for (let i = 2; i <= operations + 1; i++) {
    pending.push(operate(run, rig, random, i))
    if (random() < 0.5) await Promise.all(pending.splice(0))
    if (random() < 0.3) rig.clock.advance(random() < 0.5 ? 1000 : 10_000)
    if (random() < 0.1) await leave(run, rig, random, pending)
  }
  await Promise.all(pending)
  seen.filesRemoved = disk.history.filter(
    step => step.is === 'remove' && step.path.endsWith('.data')
  ).length
  return run
}

/** Frees some or all of it, and goes on in the middle of the checkpoint that drops it, or after. */
async function leave(
  run: MovingRun,
  { store, clock }: Rig,
  random: () => number,
  pending: Promise<unknown>[]
): Promise<void> {
  await Promise.all(pending.splice(0))
  if (store.shard(VOLUME) === undefined) return
  for (let extent = 0; extent < CHUNKS; extent++) {
    if (random() < 0.8) await free(run, store, extent)
  }
  clock.advance(1000)
  await settle()
  clock.advance(10_000)
  const isOver = random() < 0.6
  for (let i = random() * 60; i > 0; i--) await Promise.resolve()
  if (!isOver) return
  await settle()
  // What is called in the same tick may be a save, or a write that keeps the shard.
  const forgetting = forget(run, store)
  if (random() < 0.3) pending.push(forgetting)
  else await forgetting
}

async function operate(
  run: MovingRun,
  { store }: Rig,
  random: () => number,
  i: number
): Promise<void> {
  const below = (bound: number) => Math.floor(random() * bound)
  const kind = random()
  if (store.shard(VOLUME) === undefined || kind < 0.06) return save(run, store, i)
  if (kind < 0.16) return forget(run, store)
  if (kind < 0.22) return flush(run, store)
  const extent = below(CHUNKS)
  if (kind < 0.4) return free(run, store, extent)
  if (kind < 0.56) return trim(run, store, extent, below(3) * BYPASS_BLOCKS, BYPASS_BLOCKS)
  const isLarge = kind < 0.88
  const first = isLarge ? below(3) * BYPASS_BLOCKS : below(CHUNK_BLOCKS - 2)
  const count = isLarge ? BYPASS_BLOCKS : 1 + below(2)
  const noted = note(run, extent, first, count, i)
  await answered(run, noted, put(store, chunkKey(extent), first, i, count))
}

function free(run: MovingRun, store: ChunkStore, extent: number): Promise<void> {
  run.seen.freed++
  const noted = note(run, extent, 0, CHUNK_BLOCKS, 0)
  return answered(run, noted, store.freeChunk(chunkKey(extent)))
}

/** Takes some of a chunk away; one that is trimmed to nothing is dropped too. */
function trim(
  run: MovingRun,
  store: ChunkStore,
  extent: number,
  first: number,
  count: number
): Promise<void> {
  const noted = note(run, extent, first, count, 0)
  const change = store.trim(chunkKey(extent), first * BLOCK_BYTES, count * BLOCK_BYTES)
  return answered(run, noted, change)
}

async function save(run: MovingRun, store: ChunkStore, counter: number): Promise<void> {
  const fate = { counter, calledAt: run.disk.history.length, answeredAt: NEVER }
  run.fates.push(fate)
  await store.saveShard(shardRecord(VOLUME, counter))
  fate.answeredAt = run.disk.history.length
}

async function forget(run: MovingRun, store: ChunkStore): Promise<void> {
  const fate = { counter: undefined, calledAt: run.disk.history.length, answeredAt: NEVER }
  run.fates.push(fate)
  if (!(await store.forgetShard(VOLUME))) {
    run.fates.splice(run.fates.indexOf(fate), 1)
    return
  }
  fate.answeredAt = run.disk.history.length
  run.seen.forgotten++
  run.flushes.push(fate)
}

async function flush(run: MovingRun, store: ChunkStore): Promise<void> {
  const entry = { calledAt: run.disk.history.length, answeredAt: NEVER }
  run.flushes.push(entry)
  await store.flush()
  entry.answeredAt = run.disk.history.length
}

function note(run: MovingRun, extent: number, first: number, count: number, version: number) {
  const noted: Version[] = []
  for (let block = first; block < first + count; block++) {
    const entry = { version, calledAt: run.disk.history.length, answeredAt: NEVER }
    run.versions[extent * CHUNK_BLOCKS + block]?.push(entry)
    noted.push(entry)
  }
  return noted
}

/** A change of a shard that was just forgotten never happened. */
async function answered(run: MovingRun, noted: Version[], change: Promise<void>): Promise<void> {
  try {
    await change
    for (const version of noted) version.answeredAt = run.disk.history.length
  } catch (error) {
    if (!isFault(error, 'NO_CHUNK')) throw error
    for (const list of run.versions) {
      const kept = list.filter(version => !noted.includes(version))
      list.splice(0, list.length, ...kept)
    }
  }
}

/** What is wrong with the store that a crash at `step` left, or undefined. */
export async function judgeMoves(
  run: MovingRun,
  store: ChunkStore,
  step: number,
  isPowerLoss: boolean
): Promise<string | undefined> {
  const counter = store.shard(VOLUME)?.token.counter
  const called = run.fates.filter(fate => fate.calledAt <= step)
  const floor = called.findLastIndex(fate => fate.answeredAt <= step)
  const allowed = called.slice(Math.max(0, floor)).map(fate => fate.counter)
  if (floor < 0) allowed.push(undefined)
  if (!allowed.includes(counter)) return `the shard is ${counter}, may be ${allowed}`
  if (counter === undefined) return undefined
  const flushed = run.flushes.filter(one => one.answeredAt <= step)
  for (let extent = 0; extent < CHUNKS; extent++) {
    const whole = await readChunk(store, extent, CHUNK_BLOCKS)
    for (const [block, found] of whole.entries()) {
      const versions = run.versions[extent * CHUNK_BLOCKS + block] ?? []
      const mayBe = allowedVersions(versions, flushed, step, isPowerLoss)
      if (typeof found !== 'number' || !mayBe.includes(found)) {
        return `block ${block} of chunk ${extent} is ${found}, may be ${[...new Set(mayBe)]}`
      }
    }
  }
  return undefined
}
