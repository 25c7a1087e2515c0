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
import type { HotChunk } from '../moves/types.ts'
import type { ChunkStore } from '../storage/types.ts'

/** Chunks that a look at the heat of a shard takes in: as many as the heat of a node remembers. */
const MAX_HOT = 65_536

export interface Measured {
  /**
   * Loads of the minutes [from, to) since 1970, NaN where nothing is known; of the shard of a volume
   * that has none here zeroes. Rejects with ShoalError if the keeper does.
   */
  readonly minutes: (volume: VolumeId | undefined, from: number, to: number) => Promise<number[]>
  /** Part of the shard's load that these chunks cause, 0 to 1; undefined: none of it is here. */
  readonly share: (
    volume: VolumeId,
    ranges: readonly MovedRange[] | undefined,
    chunks: number
  ) => number | undefined
}

export interface MeasuredParts {
  readonly load: Pick<Load, 'ask' | 'subjects'>
  readonly store: Pick<ChunkStore, 'shard'>
  readonly hottest: (volume: VolumeId, limit: number) => readonly (HotChunk & { load?: number })[]
}

export function measuredOf({ load, store, hottest }: MeasuredParts): Measured {
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
    share: (volume, ranges, chunks) => {
      const head = store.shard(volume)
      const held = head === undefined ? [] : heldRanges(head)
      const all = countChunks(held)
      if (all === 0) return undefined
      if (ranges === undefined) return Math.min(1, chunks / all)
      const isMoved = (chunk: Parameters<typeof isIn>[1]) => ranges.some(one => isIn(one, chunk))
      const hot = hottest(volume, MAX_HOT)
      const sum = (found: readonly (HotChunk & { load?: number })[]) =>
        found.reduce((total, one) => total + (one.load ?? one.perSecond), 0)
      const heat = sum(hot)
      if (heat > 0) return sum(hot.filter(({ chunk }) => isMoved(chunk))) / heat
      return Math.min(1, countChunks(ranges) / all)
    }
  }
}
