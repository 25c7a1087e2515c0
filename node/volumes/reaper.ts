/**
 * Completes deletions on the node where the bytes are: a shard whose volume is under a tombstone is
 * removed when this node learns of it, at the start and with every change of the map.
 *
 * Invariants: a shard goes only under a tombstone whose token is at least as great as the shard's
 * own; a volume that the map does not know is left alone (absence never deletes).
 */
import { messageOf } from '../../protocols/fault.ts'
import { compareTokens, type Token, type VolumeId } from '../../protocols/ids.ts'
import type { ChunkStore } from '../storage/types.ts'
import { callShard } from './shards.ts'
import type { VolumeParts } from './types.ts'

export interface Reaper {
  /** Volumes that were deleted elsewhere under a smaller token than the shard here has, in words. */
  problems: () => string[]
  /** Resolves once what is known now has been looked at. */
  settled: () => Promise<void>
  stop: () => void
}

export function startReaper(
  parts: Pick<VolumeParts, 'rpc' | 'network' | 'map' | 'log'>,
  store: ChunkStore
): Reaper {
  const refused = new Set<VolumeId>()
  let isStopped = false
  let running = Promise.resolve()

  async function sweep(): Promise<void> {
    const { tombstones } = parts.map.mesh()
    if (tombstones.size === 0) return
    for (const shard of store.shards()) {
      const volume = shard.spec.id
      const tombstone = tombstones.get(volume)
      if (isStopped || tombstone === undefined) continue
      if (compareTokens(tombstone.token, shard.token) < 0) {
        refused.add(volume)
        continue
      }
      await reap(volume, tombstone.token)
    }
  }

  async function reap(volume: VolumeId, token: Token): Promise<void> {
    try {
      // Through the shard server and not the store: it closes the sessions that are open.
      await callShard(parts, parts.network.self, { call: 'remove', volume, token })
      refused.delete(volume)
      parts.log.info({ volume }, 'freed the shard of a volume that was deleted meanwhile')
    } catch (error) {
      parts.log.warn({ volume, error: messageOf(error) }, 'a deleted shard was not freed yet')
    }
  }

  function schedule(): void {
    running = running.then(sweep).catch(error => {
      parts.log.error({ error: messageOf(error) }, 'looking for deleted volumes failed')
    })
  }

  parts.map.onMesh(schedule)
  schedule()
  return {
    problems: () =>
      [...refused]
        .filter(volume => store.shard(volume) !== undefined)
        .map(
          volume =>
            `the shard of deleted volume ${volume} was attached after the deletion and is kept: ` +
            'delete the volume again by its id with --force to free it'
        ),
    settled: () => running,
    stop: () => {
      isStopped = true
    }
  }
}
