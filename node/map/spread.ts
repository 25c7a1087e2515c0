/**
 * Makes sure that a new volume is known beyond the node that made it: hands its document, and the
 * directory that names it, to peers that keep it, until one of them has both.
 */
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAP_FETCH_PARALLEL, MAP_SPREAD_PAUSE_MS } from '../limits.ts'
import type { Clock, Random } from '../ports.ts'
import type { Sync } from './sync.ts'

export interface SpreadOptions {
  readonly id: VolumeId
  readonly peers: readonly NodeId[]
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
  readonly sync: Sync
}

/** True as soon as one peer has both; false if none confirmed it in time. Never rejects. */
export function spreadDocument(options: SpreadOptions): Promise<boolean> {
  const { clock, peers, timeoutMs } = options
  if (peers.length === 0) return Promise.resolve(false)
  return new Promise(resolve => {
    let isOver = false
    const end = (isKept: boolean): void => {
      isOver = true
      timer.cancel()
      resolve(isKept)
    }
    const timer = clock.after(timeoutMs, () => end(false))
    for (const peer of peers.slice(0, MAP_FETCH_PARALLEL)) {
      const hasBoth = (isKept: boolean): void => {
        if (isKept && !isOver) end(true)
      }
      void handTo(peer, options, () => isOver).then(hasBoth)
    }
  })
}

/** Tries until it is so, or over. */
async function handTo(
  peer: NodeId,
  { id, clock, random, sync }: SpreadOptions,
  isOver: () => boolean
): Promise<boolean> {
  while (!isOver()) {
    const isKept = await sync.offer(peer, id).catch(() => false)
    if (isKept && (await sync.syncDocument(peer, 'mesh').catch(() => false))) return true
    const pauseMs = MAP_SPREAD_PAUSE_MS * (0.5 + random.fraction())
    await new Promise<void>(resolve => clock.after(pauseMs, resolve))
  }
  return false
}
