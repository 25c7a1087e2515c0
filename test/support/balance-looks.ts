/** Looks of the balancing policy for tests: nodes and shards with even or given loads. */
import { MoveHistory } from '../../protocols/balance/history-of-moves.ts'
import type { Look } from '../../protocols/balance/policy.ts'
import { DEFAULT_SETTINGS } from '../../protocols/balance/settings.ts'
import type {
  ChunkLoad,
  LoadPath,
  NodeOutlook,
  ShardOutlook
} from '../../protocols/balance/types.ts'
import type { ChunkKey, NodeId, VolumeId } from '../../protocols/ids.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const STEP = 5 * MINUTE
export const NOW = 1_700_000_000_000
const GiB = 1024 ** 3

export function volumeOf(i: number): VolumeId {
  return i.toString(16).padStart(32, '0') as VolumeId
}

export function nodeOf(i: number): NodeId {
  return `12D3KooWnode${String(i).padStart(34, '1')}` as NodeId
}

export function chunkOf(volume: number, extent = 0): ChunkKey {
  return { volume: volumeOf(volume), extent, generation: 0, column: 0, replica: 0 }
}

/** `high` is so much above expected, as a factor. */
export function pathOf(expected: readonly number[], wide = 1.05, atMs = NOW): LoadPath {
  return { atMs, stepMs: STEP, expected, high: expected.map(load => load * wide) }
}

export function flat(load: number, wide = 1.05, atMs = NOW): LoadPath {
  return pathOf(new Array<number>(15).fill(load), wide, atMs)
}

/** `before` until a step, then `after`. */
export function rising(before: number, after: number, step: number, wide = 1.05): LoadPath {
  return pathOf(
    Array.from({ length: 15 }, (_, i) => (i < step ? before : after)),
    wide
  )
}

export function chunksOf(volume: number, shares: readonly number[], bytes = GiB): ChunkLoad[] {
  return shares.map((share, i) => ({ chunk: chunkOf(volume, i), share, bytes }))
}

export function shardOf(
  volume: number,
  path: LoadPath,
  more: Partial<ShardOutlook> = {}
): ShardOutlook {
  return {
    volume: volumeOf(volume),
    load: path.expected[0] ?? 0,
    path,
    chunks: chunksOf(volume, [1]),
    settings: { isOn: true },
    ...more
  }
}

export function outlookOf(i: number, path: LoadPath, more: Partial<NodeOutlook> = {}): NodeOutlook {
  return {
    node: nodeOf(i),
    region: `region-${i % 3}`,
    host: `host-${i}`,
    load: path.expected[0] ?? 0,
    capacity: 1_250,
    threshold: 1_000,
    path,
    freeBytes: 1_000 * GiB,
    ...more
  }
}

export function lookOf(
  node: NodeOutlook,
  shards: readonly ShardOutlook[],
  more: Partial<Look> = {}
): Look {
  return {
    nowMs: NOW,
    node,
    shards,
    settings: DEFAULT_SETTINGS,
    past: new MoveHistory(),
    linkCost: 0,
    // A GiB takes about 17 seconds.
    copyBytesPerSecond: 64 * 1024 ** 2,
    underWay: [],
    ...more
  }
}
