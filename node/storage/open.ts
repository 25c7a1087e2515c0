/**
 * Opening a store: find, replay, renew, wire the parts together, clean up. Nothing is changed
 * before everything that could refuse has been looked at; the new incarnation is durable before
 * the store serves anything.
 */
import type { Incarnation, VolumeId } from '../../protocols/ids.ts'
import type { Clock, Disk, Log } from '../ports.ts'
import { Applier } from './applier.ts'
import { Background } from './background.ts'
import { Checkpointer } from './checkpoint.ts'
import { ChunkFiles } from './files.ts'
import { Health, isAbsent } from './health.ts'
import { writeIncarnation } from './incarnation.ts'
import { Intake } from './intake.ts'
import { JOURNAL_DIRECTORY, Journal } from './journal.ts'
import type { Finder, Found } from './layout.ts'
import { acceptOrRefuse, findStore, unknownFormat } from './layout.ts'
import { Reader } from './reader.ts'
import { SEGMENT_HEAD_BYTES } from './record.ts'
import { recoverChanges } from './recovery.ts'
import { type Replay, replayJournal } from './replay.ts'
import { Reservations } from './reservations.ts'
import { SHARDS_DIRECTORY, ShardState, Shards } from './shards.ts'
import { Space, spaceLimits } from './space.ts'
import type { StoreOptions } from './store.ts'
import { Syncer } from './syncer.ts'
import { Tables } from './tables.ts'

export interface Parts {
  readonly clock: Clock
  readonly log: Log
  readonly health: Health
  readonly incarnation: Incarnation
  readonly shards: Shards
  readonly journal: Journal
  readonly space: Space
  readonly tables: Tables
  readonly files: ChunkFiles
  readonly reader: Reader
  readonly syncer: Syncer
  readonly applier: Applier
  readonly background: Background
  readonly intake: Intake
  /** Unlinks everything of a removed shard. Not while anything is applied or checkpointed. */
  readonly erase: (shard: ShardState) => Promise<void>
  /** What an erase that failed left of a removed volume. */
  readonly clear: (volume: VolumeId) => Promise<void>
  onSynced: () => void
}

/** How far a start counter jumps whose last value is lost, so that it still grows. */
const INCARNATION_LEAP = 1000

export async function openParts(options: StoreOptions): Promise<Parts> {
  const { disk, random, log } = options
  const health = new Health(log)
  const finder: Finder = { disk, health, log, acceptLoss: options.acceptLoss ?? false }
  const found = await findStore(finder)
  const { root } = found
  const replay = replayJournal(found.segments, root.checkpointLsn, root.provenLsn)
  judgeReplay(finder, replay)
  const number = nextIncarnation(found, replay)
  const incarnation = await writeIncarnation(disk, health, random, number)

  const { totalBytes } = await disk.space()
  const parts = wire(options, health, incarnation, totalBytes, found, replay)
  await fillParts(options, parts, found, replay)
  return parts
}

/** The parts of a store, connected, before anything is in them. */
function wire(
  options: StoreOptions,
  health: Health,
  incarnation: Incarnation,
  totalBytes: number,
  found: Found,
  replay: Replay
): Parts {
  const { disk, clock, random, log } = options
  const { root } = found
  const limits = spaceLimits(totalBytes, options.capacityBytes, options.limits)
  const journal = new Journal(disk, health, random, {
    incarnation: incarnation.number,
    segmentBytes: limits.segmentBytes,
    ...oldSegments(found, replay)
  })
  const reservations = new Reservations()
  const space = new Space(disk, clock, journal, options.capacityBytes, limits, reservations)
  const files = new ChunkFiles(disk, health)
  const tables = new Tables(disk, log, space)
  const applier = new Applier(clock, journal, files, tables, space, root.checkpointLsn)
  const shards = new Shards(disk, health, reservations, found.tombstones)
  const erase = (shard: ShardState) => eraseShard(disk, health, files, tables, shard)
  const checkpointLsn = root.checkpointLsn
  const checkpointer = new Checkpointer(
    disk,
    health,
    journal,
    files,
    applier,
    shards,
    tables,
    checkpointLsn
  )
  const syncer = new Syncer(clock, health, journal, files, () => {
    parts.background.kick()
    parts.onSynced()
  })
  const { journalBytes } = limits
  const background = new Background({
    clock,
    log,
    health,
    journal,
    syncer,
    applier,
    checkpointer,
    journalBytes
  })
  const intake = new Intake({
    clock,
    health,
    journal,
    syncer,
    applier,
    background,
    files,
    tables,
    space
  })
  const reader = new Reader(tables, files)
  const parts: Parts = {
    clock,
    log,
    health,
    incarnation,
    shards,
    journal,
    space,
    tables,
    files,
    reader,
    syncer,
    applier,
    background,
    intake,
    erase,
    clear: volume => clearShard(disk, health, volume),
    onSynced: () => {}
  }
  return parts
}

async function fillParts(
  { disk, acceptLoss }: StoreOptions,
  parts: Parts,
  found: Found,
  replay: Replay
): Promise<void> {
  const { shards, space, health, background, log } = parts
  for (const manifest of found.manifests) {
    const shard = new ShardState(manifest.record)
    for (const listed of manifest.chunks) shard.addChunk(listed.key, listed)
    space.allocatedBlocks += shard.allocatedBlocks
    shards.adopt(shard)
  }
  await recoverChanges(parts, replay)
  await space.poll()
  for (const shard of shards.all()) await removeOrphans(disk, shard)
  await settleNames(disk, health, shards)
  for (const volume of found.leftovers) {
    await removeTree(disk, `${SHARDS_DIRECTORY}/${volume}`)
  }
  if (found.leftovers.length > 0) await health.sync(disk.syncDirectory(SHARDS_DIRECTORY))
  log.info(
    { incarnation: parts.incarnation.number, changes: replay.records.length },
    'the store is open'
  )
  if (acceptLoss === true) await background.drain()
  else background.kick()
}

/**
 * A start that died may have renamed a manifest or a segment and not synced its directory. What was
 * read from there is answered as granted and as proven, so no loss of power may take the names back.
 * Those of the data directory itself became durable with the incarnation.
 */
async function settleNames(disk: Disk, health: Health, shards: Shards): Promise<void> {
  await health.sync(disk.syncDirectory(JOURNAL_DIRECTORY))
  for (const shard of shards.all()) await health.sync(disk.syncDirectory(shard.path))
}

/** Damage at or below a proven sync is for the operator to accept. */
function judgeReplay(finder: Finder, replay: Replay): void {
  if (replay.unknownFormat) throw unknownFormat('the journal')
  for (const number of replay.badSegments) {
    acceptOrRefuse(finder, `the head of its journal segment ${number}`)
  }
  for (const { from, to } of replay.gaps) {
    acceptOrRefuse(finder, `its journal lacks the synced records ${from} to ${to - 1}`)
  }
}

function nextIncarnation(found: Found, replay: Replay): number {
  if (found.incarnation !== undefined) return found.incarnation.number + 1
  const known = replay.greatestIncarnation
  return known === 0 && found.manifests.length === 0 ? 1 : known + INCARNATION_LEAP
}

function oldSegments(found: Found, replay: Replay) {
  const lastLsn = replay.provenLsn
  const segments = found.segments.map(({ number, bytes }) => ({
    number,
    nonce: bytes.subarray(48, 56),
    lastLsn,
    bytes: Math.max(bytes.length, SEGMENT_HEAD_BYTES),
    file: undefined,
    isDirty: false
  }))
  return { segments, lastLsn, nextNumber: (segments.at(-1)?.number ?? 0) + 1 }
}

/** What a crash left behind: temporary files, and files of chunks that nothing speaks of. */
async function removeOrphans(disk: Disk, shard: ShardState): Promise<void> {
  const known = new Set(['manifest'])
  for (const chunk of shard.chunks()) {
    const name = chunk.path.slice(shard.path.length + 1)
    known.add(`${name}.data`)
    known.add(`${name}.sum`)
  }
  for (const name of await disk.list(shard.path)) {
    if (!known.has(name)) await disk.remove(`${shard.path}/${name}`)
  }
}

async function eraseShard(
  disk: Disk,
  health: Health,
  files: ChunkFiles,
  tables: Tables,
  shard: ShardState
): Promise<void> {
  for (const chunk of shard.chunks()) {
    await chunk.quiesced()
    await files.drop(chunk)
    tables.forget(chunk)
  }
  await clearShard(disk, health, shard.volume)
}

async function clearShard(disk: Disk, health: Health, volume: VolumeId): Promise<void> {
  await removeTree(disk, `${SHARDS_DIRECTORY}/${volume}`)
  await health.sync(disk.syncDirectory(SHARDS_DIRECTORY))
}

async function removeTree(disk: Disk, directory: string): Promise<void> {
  try {
    for (const name of await disk.list(directory)) await disk.remove(`${directory}/${name}`)
    await disk.remove(directory)
  } catch (error) {
    if (!isAbsent(error)) throw error
  }
}
