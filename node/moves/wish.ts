/**
 * What a wish for a move comes to: which chunks it means, and whether its target may take them.
 *
 * Invariants: only chunks that are held here and that no other open move has; a target is live, has
 * a store, is not being drained, and said that it has room. All refusals are ShoalErrors, in words.
 */
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MIN_ROOM_BYTES } from '../../protocols/layout/placement.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import { MAX_HOTTEST } from '../../protocols/moves/limits.ts'
import type { Selection } from '../../protocols/moves/messages.ts'
import { askNode, liveNodes } from '../volumes/candidates.ts'
import { volumeName } from '../volumes/names.ts'
import { nodeName } from '../volumes/shards.ts'
import { averageBytes, heldRanges } from './held.ts'
import { type ChunkRange, countChunks, isIn, rangesOfChunks, selected, without } from './ranges.ts'
import type { MovesParts, MoveWish } from './types.ts'

export interface Chosen {
  readonly ranges: ChunkRange[]
  /** What they take now, about. */
  readonly bytes: number
}

/** `busy`: chunks that open moves have. Throws NOT_FOUND or CONFLICT. */
export function chooseChunks(
  parts: MovesParts,
  busy: readonly ChunkRange[],
  { volume, selection }: Pick<MoveWish, 'volume' | 'selection'>
): Chosen {
  const { map, store, network } = parts
  const mesh = map.mesh()
  const head = store.shard(volume)
  const name = volumeName(mesh, volume)
  const none = `node ${nodeName(mesh, network.self)} holds no chunk of volume ${name}`
  if (head === undefined || head.runs.length === 0) {
    throw new ShoalError({ code: 'NOT_FOUND', what: name }, none)
  }
  const wanted = hottest(parts, volume, selection, selected(heldRanges(head), selection))
  if (wanted.length === 0) {
    const which = selection.hottest === undefined ? 'that was named' : 'that is in use'
    throw new ShoalError({ code: 'NOT_FOUND', what: name }, `${none} ${which}`)
  }
  const ranges = without(wanted, busy)
  if (ranges.length > 0) return { ranges, bytes: averageBytes(store, head, countChunks(ranges)) }
  throw new ShoalError(
    { code: 'CONFLICT', what: name },
    `these chunks of volume ${name} are being moved already: \`shoal moves\` lists it`
  )
}

function hottest(
  parts: MovesParts,
  volume: VolumeId,
  selection: Selection,
  held: ChunkRange[]
): ChunkRange[] {
  if (selection.hottest === undefined) return held
  const hot = parts
    .hottest(volume, MAX_HOTTEST)
    .filter(({ chunk, perSecond }) => perSecond > 0 && held.some(range => isIn(range, chunk)))
  return rangesOfChunks(hot.slice(0, selection.hottest).map(({ chunk }) => chunk))
}

/** Throws BAD_INPUT, NOT_FOUND, UNREACHABLE, CONFLICT or NO_CAPACITY. */
export async function checkTarget(
  parts: MovesParts,
  target: NodeId,
  neededBytes: number
): Promise<void> {
  if (target === parts.network.self) {
    const why = 'the target is the source: name another node with --to'
    throw new ShoalError({ code: 'BAD_INPUT', field: 'to' }, why)
  }
  const mesh = parts.map.mesh()
  const name = nodeName(mesh, target)
  if (!liveNodes(mesh).some(node => node.id === target)) {
    throw new ShoalError({ code: 'NOT_FOUND', what: name }, `node ${name} is no member now`)
  }
  const status = await askNode(parts, target)
  if (status === undefined) {
    throw new ShoalError({ code: 'UNREACHABLE', peer: name }, `node ${name} does not answer`)
  }
  if (status.store === undefined) {
    throw new ShoalError(
      { code: 'BAD_INPUT', field: 'to' },
      `node ${name} has no capacity: it holds no chunks`
    )
  }
  if (status.draining !== undefined) {
    throw new ShoalError(
      { code: 'CONFLICT', what: name },
      `node ${name} is being drained and takes no chunks: \`shoal drain ${name} --cancel\``
    )
  }
  const availableBytes = Math.max(0, status.store.availableBytes - MIN_ROOM_BYTES)
  if (neededBytes > availableBytes) throw tooFull(name, neededBytes, availableBytes)
}

function tooFull(name: string, neededBytes: number, availableBytes: number): ShoalError {
  return new ShoalError(
    { code: 'NO_CAPACITY', neededBytes, availableBytes },
    `node ${name} has no room: ${formatSize(neededBytes)} would go there, ` +
      `${formatSize(availableBytes)} are free (${formatSize(neededBytes - availableBytes)} missing)`
  )
}
