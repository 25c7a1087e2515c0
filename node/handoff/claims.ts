/** A chunk becomes held here, and what this node tells the map of what it holds. */
import { claimedEpoch } from '../../crdt/claim-index.ts'
import type { VolumeView } from '../../crdt/types.ts'
import { messageOf } from '../../protocols/fault.ts'
import { covers, hold } from '../../protocols/handoff/records.ts'
import type { ChunkKey, HandoffId, PlacementEpoch, Run, VolumeId } from '../../protocols/ids.ts'
import { compareEpochs } from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import type { HandoffParts } from './parts.ts'

/** Tells the map that the chunk is held here; the map learns of the volume first if it must. */
export async function announceHeld(
  parts: Pick<HandoffParts, 'map' | 'self' | 'log'>,
  head: ShardHead,
  chunks: readonly ChunkKey[]
): Promise<void> {
  const { map, self, log } = parts
  const { id } = head.spec
  if (map.volume(id) === undefined) {
    await map.fetchVolume(id).catch((error: unknown) => {
      log.debug({ volume: id, why: messageOf(error) }, 'the document of a volume is not here')
    })
  }
  const claims = chunks.flatMap(chunk => {
    const run = head.runs.find(one => covers(one, chunk))
    if (run === undefined) return []
    const { extent, generation, column, replica } = chunk
    return [{ extent, generation, column, replica, epoch: run.epoch, node: self.id }]
  })
  map.announceClaims(head.spec, head.sizeBytes, claims)
}

/** Chunks that are held here at an epoch that the map does not know. */
export function unannounced(
  view: VolumeView | undefined,
  volume: VolumeId,
  runs: readonly Run[]
): ChunkKey[] {
  const chunks: ChunkKey[] = []
  for (const { from, to, generation, column, replica, epoch } of runs) {
    for (let extent = from; extent < to; extent++) {
      const chunk = { volume, extent, generation, column, replica }
      const known = claimedEpoch(view, chunk)
      if (known === undefined || compareEpochs(known, epoch) < 0) chunks.push(chunk)
    }
  }
  return chunks
}

/** The durable hold and what follows it; why not, in words, or undefined. */
export async function holdChunk(
  parts: HandoffParts,
  chunk: ChunkKey,
  handoff: HandoffId,
  epoch: PlacementEpoch
): Promise<string | undefined> {
  const { shards, observe, log } = parts
  observe('target: holding')
  const head = await shards.replicas.update(chunk.volume, now => hold(now, handoff, epoch))
  if (typeof head === 'string') return head
  observe('target: held')
  void announceHeld(parts, head, [chunk]).catch((error: unknown) => {
    log.warn({ chunk, why: messageOf(error) }, 'a chunk that is held here was not announced yet')
  })
  return undefined
}
