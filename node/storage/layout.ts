/**
 * Finds and checks what is in a data directory before anything of it is changed: root, incarnation,
 * tombstones, manifests, journal. Refusals say what the operator can do.
 */
import type { FaultCode } from '../../protocols/fault.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { Incarnation, VolumeId } from '../../protocols/ids.ts'
import { isVolumeId } from '../../protocols/ids.ts'
import type { Disk, Log } from '../ports.ts'
import { ROOT_FILE } from './checkpoint.ts'
import { type Health, isAbsent } from './health.ts'
import { INCARNATION_FILE, readIncarnation } from './incarnation.ts'
import { JOURNAL_DIRECTORY } from './journal.ts'
import type { Manifest, Root, Tombstone } from './manifest.ts'
import {
  decodeManifest,
  decodeRoot,
  decodeTombstones,
  encodeRoot,
  MANIFEST_VERSION,
  OLDEST_MANIFEST_VERSION,
  ROOT_VERSION,
  TOMBSTONES_VERSION
} from './manifest.ts'
import type { SegmentBytes } from './replay.ts'
import { readSealed, readWhole, replaceFile, SealedKind } from './sealed.ts'
import { SHARDS_DIRECTORY, TOMBSTONES_FILE } from './shards.ts'

const SEGMENT_NAME = /^(\d{12})\.log$/

export interface Found {
  readonly root: Root
  readonly incarnation: Incarnation | undefined
  readonly tombstones: readonly Tombstone[]
  readonly manifests: readonly Manifest[]
  /** Directories of shards that are removed, or whose first manifest never was written. */
  readonly leftovers: readonly VolumeId[]
  readonly segments: readonly SegmentBytes[]
}

export interface Finder {
  readonly disk: Disk
  readonly health: Health
  readonly log: Log
  readonly acceptLoss: boolean
}

/** Makes an empty directory a store, or reads the one that is there. Throws DATA_DIR. */
export async function findStore(finder: Finder): Promise<Found> {
  const { disk, health } = finder
  await disk.makeDirectory(JOURNAL_DIRECTORY)
  await disk.makeDirectory(SHARDS_DIRECTORY)
  const segmentNames = await namesOfSegments(disk)
  const shardNames = (await disk.list(SHARDS_DIRECTORY)).filter(isVolumeId)
  const isUsed = segmentNames.length > 0 || shardNames.length > 0
  let root = await findRoot(finder)
  if (root === undefined) {
    if (isUsed) acceptOrRefuse(finder, 'its root file is missing though it holds data')
    root = { checkpointLsn: 0, provenLsn: 0 }
    await replaceFile(disk, health, ROOT_FILE, encodeRoot(root))
    await health.sync(disk.syncDirectory('.'))
  }
  const incarnation = await findIncarnation(disk)
  if (incarnation === undefined && isUsed) {
    acceptOrRefuse(finder, 'its start counter (file `incarnation`) is missing or damaged')
  }
  const tombstones = await findTombstones(finder)
  const shards = await findShards(finder, shardNames, tombstones)
  const segments: SegmentBytes[] = []
  for (const name of segmentNames) {
    const bytes = await readWhole(disk, `${JOURNAL_DIRECTORY}/${name}`)
    segments.push({ number: Number(name.slice(0, 12)), bytes: bytes ?? Buffer.alloc(0) })
  }
  return { root, incarnation, tombstones, ...shards, segments }
}

/** Goes on with a warning if the operator accepts loss; else throws DATA_DIR damaged. */
export function acceptOrRefuse(finder: Pick<Finder, 'acceptLoss' | 'log'>, what: string): void {
  if (!finder.acceptLoss) throw damaged(what)
  finder.log.error(
    { what },
    'the data directory is damaged; going on, as the operator accepts loss'
  )
}

function damaged(what: string): ShoalError {
  const advice =
    'Data that was durable may be lost. Restore the directory, or copy what is left and start ' +
    'once with the loss accepted.'
  return dataDir('damaged', `the data directory is damaged: ${what}. ${advice}`)
}

export function unknownFormat(what: string): ShoalError {
  const message = `${what} was written by another version of Shoal, whose format this one cannot read. Start the version that wrote it.`
  return dataDir('format', message)
}

function dataDir(problem: 'damaged' | 'format', message: string): ShoalError {
  const code: FaultCode = 'DATA_DIR'
  return new ShoalError({ code, dir: '.', problem }, message)
}

async function namesOfSegments(disk: Disk): Promise<string[]> {
  const names: string[] = []
  for (const name of await disk.list(JOURNAL_DIRECTORY)) {
    if (SEGMENT_NAME.test(name)) names.push(name)
    else if (name.endsWith('.tmp')) await disk.remove(`${JOURNAL_DIRECTORY}/${name}`)
  }
  return names.sort()
}

async function findRoot(finder: Finder): Promise<Root | undefined> {
  const sealed = await readSealed(finder.disk, ROOT_FILE, SealedKind.root, ROOT_VERSION)
  if (sealed.is === 'absent') return undefined
  if (sealed.is === 'format') throw unknownFormat('the data directory')
  const root = sealed.is === 'found' ? decodeRoot(sealed.body) : sealed.why
  if (typeof root !== 'string') return root
  acceptOrRefuse(finder, `its root file: ${root}`)
  return { checkpointLsn: 0, provenLsn: 0 }
}

async function findIncarnation(disk: Disk): Promise<Incarnation | undefined> {
  const file = await disk.open(INCARNATION_FILE).catch(error => {
    if (isAbsent(error)) return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    return await readIncarnation(file)
  } finally {
    await file.close()
  }
}

async function findTombstones(finder: Finder): Promise<readonly Tombstone[]> {
  const { disk } = finder
  const sealed = await readSealed(disk, TOMBSTONES_FILE, SealedKind.tombstones, TOMBSTONES_VERSION)
  if (sealed.is === 'absent') return []
  if (sealed.is === 'format') throw unknownFormat('the list of removed shards')
  const list = sealed.is === 'found' ? decodeTombstones(sealed.body) : sealed.why
  if (typeof list !== 'string') return list
  acceptOrRefuse(finder, `its list of removed shards: ${list}`)
  return []
}

async function findShards(
  finder: Finder,
  volumes: readonly VolumeId[],
  tombstones: readonly Tombstone[]
): Promise<Pick<Found, 'manifests' | 'leftovers'>> {
  const removed = new Set(tombstones.map(one => one.volume))
  const manifests: Manifest[] = []
  const leftovers: VolumeId[] = []
  for (const volume of volumes) {
    const manifest = removed.has(volume) ? 'leftover' : await findManifest(finder, volume)
    if (manifest === 'leftover') leftovers.push(volume)
    else if (manifest !== undefined) manifests.push(manifest)
  }
  return { manifests, leftovers }
}

/** A shard's first file is its manifest: without one, a directory that holds more was damaged. */
async function isNeverCompleted(disk: Disk, volume: VolumeId): Promise<boolean> {
  const names = await disk.list(`${SHARDS_DIRECTORY}/${volume}`)
  return names.every(name => name === 'manifest.tmp')
}

/** Undefined: damaged, and the operator accepts it; its files stay for a rescue by hand. */
async function findManifest(
  finder: Finder,
  volume: VolumeId
): Promise<Manifest | 'leftover' | undefined> {
  const path = `${SHARDS_DIRECTORY}/${volume}/manifest`
  const sealed = await readSealed(
    finder.disk,
    path,
    SealedKind.manifest,
    MANIFEST_VERSION,
    OLDEST_MANIFEST_VERSION
  ).catch(error => ({ is: 'damaged' as const, why: messageOf(error) }))
  if (sealed.is === 'absent') {
    if (await isNeverCompleted(finder.disk, volume)) return 'leftover'
    acceptOrRefuse(
      finder,
      `the manifest of volume ${volume} is missing though its chunks are there`
    )
    return undefined
  }
  if (sealed.is === 'format') throw unknownFormat(`the shard of volume ${volume}`)
  const manifest = sealed.is === 'found' ? decodeManifest(sealed.body, sealed.version) : sealed.why
  if (typeof manifest !== 'string' && manifest.record.spec.id === volume) return manifest
  const why = typeof manifest === 'string' ? manifest : 'it belongs to another volume'
  acceptOrRefuse(finder, `the manifest of volume ${volume}: ${why}`)
  return undefined
}
