/**
 * What was measured on this node, by the minute: of the node, of the shard of a volume, and of a part
 * of that shard. What verdicts and the score rest on.
 */
import type { MovedRange } from '../../protocols/balance/receipt-file.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { loadOf } from '../../protocols/load/record.ts'
import { type KeeperAnswers, NODE_KEY } from '../load/keeper-messages.ts'
import type { Load } from '../load/load.ts'
import { heldRanges } from '../moves/held.ts'
import { countChunks, isIn } from '../moves/ranges.ts'
import type { ChunkPart } from '../shard/types.ts'
import type { ChunkStore } from '../storage/types.ts'

export interface Measured {
  /**
   * Loads of the minutes [from, to) since 1970, NaN where nothing is known; of the shard of a volume
   * that has none here zeroes. Rejects with ShoalError if the keeper does.
   */
  readonly minutes: (volume: VolumeId | undefined, from: number, to: number) => Promise<number[]>
  /**
   * Part of the shard's load that these chunks cause at that hour of the day, 0 to 1; undefined: the
   * shard holds none of its volume. Without ranges by their number.
   */
  readonly share: (
    volume: VolumeId,
    ranges: readonly MovedRange[] | undefined,
    chunks: number,
    atMs: number
  ) => number | undefined
}

export interface MeasuredParts {
  readonly load: Pick<Load, 'ask' | 'subjects'>
  readonly store: Pick<ChunkStore, 'shard'>
  /** Parts that chunks of the shard are of its load, in an hour of the day in UTC. */
  readonly sharesIn: (volume: VolumeId, hour: number) => readonly ChunkPart[]
}

export function measuredOf({ load, store, sharesIn }: MeasuredParts): Measured {
  return {
    minutes: async (volume, from, to) => {
      if (volume !== undefined && !load.subjects.has(volume)) return Array(to - from).fill(0)
      const loads: number[] = Array(to - from).fill(Number.NaN)
      const key = volume ?? NODE_KEY
      for (let at: number | undefined = from; at !== undefined && at < to; ) {
        const answer: KeeperAnswers['rows'] = await load.ask({
          ask: 'rows',
          key,
          step: 'minute',
          from: at,
          to
        })
        for (const { slot, record } of answer.rows) loads[slot - from] = loadOf(record)
        at = answer.next !== undefined && answer.next > at ? answer.next : undefined
      }
      return loads
    },
    share: (volume, ranges, chunks, atMs) => {
      const head = store.shard(volume)
      const held = head === undefined ? [] : heldRanges(head)
      const all = countChunks(held)
      if (all === 0) return undefined
      if (ranges === undefined) return Math.min(1, chunks / all)
      const parts = sharesIn(volume, new Date(atMs).getUTCHours())
      const heat = sumOf(parts)
      const moved = parts.filter(({ chunk }) => ranges.some(one => isIn(one, chunk)))
      if (heat > 0) return Math.min(1, sumOf(moved) / heat)
      return Math.min(1, countChunks(ranges) / all)
    }
  }
}

function sumOf(parts: readonly ChunkPart[]): number {
  return parts.reduce((sum, { share }) => sum + share, 0)
}
