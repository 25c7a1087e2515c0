/**
 * From what the journal says to a store that can go on.
 *
 * Proven records (at or below the last proven sync) are changes as they stand. The others may
 * exist in the page cache alone (after a failed sync even a new sync proves nothing), so they are
 * written anew: journaled data in a new segment, a bypass's data in its place in the chunk file,
 * after its checksums were compared. A bypass above the proven sync whose data does not match
 * never happened: its blocks stay holes. What the disk fails to read may have been flushed, so its
 * record stays, and its blocks answer errors until they can be read. Of each block only the last
 * record counts.
 */
import { checksum } from '../../protocols/checksum.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { Log } from '../ports.ts'
import { countNew } from './admission.ts'
import type { Applier } from './applier.ts'
import type { Change } from './change.ts'
import { Kind, markAt, NO_CRCS, NO_DATA } from './change.ts'
import type { Chunk } from './chunk.ts'
import type { ChunkFiles, OpenFile } from './files.ts'
import { isAbsent } from './health.ts'
import type { Journal } from './journal.ts'
import type { Replay, ReplayRecord } from './replay.ts'
import type { Shards } from './shards.ts'
import type { Space } from './space.ts'

export interface RecoveryParts {
  readonly log: Log
  readonly shards: Shards
  readonly files: ChunkFiles
  readonly journal: Journal
  readonly applier: Applier
  readonly space: Space
}

/** Puts every change into the overlay and, journaled and synced, before the applier. */
export async function recoverChanges(parts: RecoveryParts, replay: Replay): Promise<void> {
  const { shards, files, journal, applier, space, log } = parts
  const proven: Change[] = []
  const unproven: Change[] = []
  let lostBlocks = 0
  for (const record of replay.records) {
    if (record.kind === Kind.mark) continue
    const shard = shards.get(record.volume)
    if (shard === undefined) continue
    const chunk = shard.chunk(record) ?? shard.addChunk(record)
    const change = changeOf(record, chunk)
    if (record.lsn > replay.provenLsn) unproven.push(change)
    else {
      change.lsn = record.lsn
      proven.push(change)
    }
    if (change.kind === Kind.lost) lostBlocks += change.count
  }
  if (lostBlocks > 0) log.error({ lostBlocks }, 'durable data in the journal is damaged')
  // Marks, records of removed shards and accepted gaps are nothing to apply, but the checkpoint has
  // to pass them, or the segments that they are in would stay for ever.
  const lastLsn = proven.at(-1)?.lsn ?? applier.appliedLsn
  if (lastLsn < replay.provenLsn) proven.push(markAt(replay.provenLsn))
  const rewritten = await renewBypasses(files, unproven)
  if (rewritten.length > 0) await journal.rewrite(rewritten)
  const pending = new Map<Chunk, number>()
  for (const change of [...proven, ...rewritten]) {
    const { chunk, first, count } = change
    if (chunk !== undefined) reserve(space, chunk, change, pending)
    for (let block = first; block < first + count; block++) chunk?.latest.set(block, change)
    applier.add(change)
  }
}

/**
 * Counts what the change may newly allocate. The table is not loaded, so until it is applied an
 * overwrite may count too, but never more than the chunk has room for.
 */
function reserve(space: Space, chunk: Chunk, change: Change, pending: Map<Chunk, number>): void {
  if (change.kind === Kind.trim || change.kind === Kind.lost) return
  const already = pending.get(chunk) ?? 0
  const chunkBlocks = Math.ceil(chunk.shard.record.spec.extentBytes / BLOCK_BYTES)
  const room = Math.max(0, chunkBlocks - chunk.allocatedBlocks - already)
  const newBlocks = Math.min(room, countNew(chunk, change.first, change.count))
  pending.set(chunk, already + newBlocks)
  change.newBlocks = newBlocks
  space.promise(chunk, newBlocks)
}

function changeOf(record: ReplayRecord, chunk: Chunk): Change {
  return {
    kind: record.isDamaged ? Kind.lost : record.kind,
    chunk,
    first: record.first,
    count: record.count,
    crcs: record.isDamaged ? NO_CRCS : record.crcs,
    data: record.isDamaged ? NO_DATA : record.data,
    lsn: 0,
    newBlocks: 0,
    isApplied: false,
    writing: undefined,
    resolve: () => {},
    reject: () => {}
  }
}

/** The changes, each bypass replaced by those parts of it whose data is there, durably. */
async function renewBypasses(
  files: ChunkFiles,
  changes: readonly Change[]
): Promise<readonly Change[]> {
  const covered = new Map<Chunk, Set<number>>()
  const kept: Change[] = []
  const renewed = new Set<Chunk>()
  for (const change of changes.toReversed()) {
    const { chunk } = change
    if (chunk === undefined) continue
    const above = covered.get(chunk) ?? new Set<number>()
    covered.set(chunk, above)
    if (change.kind === Kind.bypass) {
      renewed.add(chunk)
      kept.push(...(await renewBypass(files, chunk, change, above)))
    } else kept.push(change)
    for (let i = 0; i < change.count; i++) above.add(change.first + i)
  }
  for (const chunk of renewed) await files.sync(chunk)
  await files.syncDirectories()
  return kept.reverse()
}

async function renewBypass(
  files: ChunkFiles,
  chunk: Chunk,
  change: Change,
  above: ReadonlySet<number>
): Promise<Change[]> {
  const isLast = (i: number) => !above.has(change.first + i)
  const found = await readBlocks(files, chunk, change.first, change.count)
  if (found === 'never made') return []
  if (found === 'gone') return partsOf(change, isLast)
  const { data, unreadable } = found
  const isThere = (i: number) => checksum(blockAt(data, i)) === change.crcs[i]
  const parts = partsOf(change, i => isLast(i) && !unreadable.has(i) && isThere(i))
  const failing = partsOf(change, i => isLast(i) && unreadable.has(i))
  if (parts.length === 0) return failing
  const open = await files.acquire(chunk, true)
  try {
    for (const { first, count } of parts) {
      const start = (first - change.first) * BLOCK_BYTES
      const bytes = data.subarray(start, start + count * BLOCK_BYTES)
      await files.write(open, [bytes], first * BLOCK_BYTES)
    }
  } finally {
    files.release(open)
  }
  return [...parts, ...failing]
}

/** The change cut down to the runs of those of its blocks that pass the test. */
function partsOf(change: Change, passes: (i: number) => boolean): Change[] {
  const parts: Change[] = []
  let from = 0
  for (let i = 0; i <= change.count; i++) {
    if (i < change.count && passes(i)) continue
    if (i > from) {
      const crcs = change.crcs.slice(from, i)
      parts.push({ ...change, first: change.first + from, count: i - from, crcs })
    }
    from = i + 1
  }
  return parts
}

function blockAt(data: Buffer, i: number): Buffer {
  return data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
}

interface FoundBlocks {
  readonly data: Buffer
  /** Blocks that the disk fails to read, counted from the first. */
  readonly unreadable: ReadonlySet<number>
}

/**
 * The file of a listed chunk was durable: without it the blocks are `gone`. That of another may
 * never have been: nobody was promised anything. Rejects with the disk's error if it cannot say.
 */
async function readBlocks(
  files: ChunkFiles,
  chunk: Chunk,
  first: number,
  count: number
): Promise<FoundBlocks | 'never made' | 'gone'> {
  let open: OpenFile
  try {
    open = await files.acquire(chunk, false)
  } catch (error) {
    if (!isAbsent(error)) throw error
    return chunk.isListed ? 'gone' : 'never made'
  }
  const data = Buffer.alloc(count * BLOCK_BYTES)
  const unreadable = new Set<number>()
  try {
    await open.file.read(data, first * BLOCK_BYTES)
  } catch {
    for (let i = 0; i < count; i++) {
      const reading = open.file.read(blockAt(data, i), (first + i) * BLOCK_BYTES)
      await reading.catch(() => unreadable.add(i))
    }
  } finally {
    files.release(open)
  }
  return { data, unreadable }
}
