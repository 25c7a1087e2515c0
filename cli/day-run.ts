/**
 * One day, as a VM lives it and as the nodes see it: the client does what the pattern says, the nodes
 * are watched, and what came of it is told by half hours of the load clock and as a whole.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../node/ports.ts'
import { rateOf } from '../node/scaled-clock.ts'
import { type Answered, type DayClient, quantileOf } from './day-client.ts'
import { DAY_MS } from './day-pattern.ts'
import type { DayWatch, NodeSeen } from './day-watch.ts'

const HALF_HOUR_MS = 1_800_000
const STEP_MS = 300_000
/** Of time, between two looks at the nodes. */
const LOOK_MS = 150

export interface DayWish {
  /** Midnight of the load clock. */
  readonly startMs: number
  /** When to stop; by default at the next midnight. */
  readonly endMs?: number
  readonly client: DayClient
  readonly watch: DayWatch
  readonly clock: Clock
  /** What is wanted of the volume, in units per second. */
  readonly loadAt: (timeMs: number) => number
  /** Above it a node is overloaded; units per second. */
  readonly threshold: number
  readonly onHalf?: (half: DayHalf) => void
}

/** Latencies in milliseconds. */
export interface DayHalf {
  readonly startMs: number
  readonly wanted: number
  readonly p50: number
  readonly p99: number
  /** As they were seen last. */
  readonly nodes: readonly NodeSeen[]
}

export interface DayResult {
  readonly peak: Peak
  /** Of what was due in the peak, and in the rest of the day; milliseconds. */
  readonly peakP99: number
  readonly restP99: number
  /** Load time in which a node was above its threshold. */
  readonly overMs: number
}

/** When the whole load on one node would be above the threshold, from and to. */
export interface Peak {
  readonly fromMs: number
  readonly toMs: number
}

export function peakOf(startMs: number, threshold: number, loadAt: DayWish['loadAt']): Peak {
  let fromMs = startMs + DAY_MS
  let toMs = startMs
  for (let atMs = startMs; atMs < startMs + DAY_MS; atMs += STEP_MS) {
    if (loadAt(atMs + STEP_MS / 2) <= threshold) continue
    fromMs = Math.min(fromMs, atMs)
    toMs = atMs + STEP_MS
  }
  return { fromMs, toMs }
}

/** The client goes on at the end as it was at the beginning. */
export async function runDay(wish: DayWish): Promise<DayResult> {
  const { startMs, client, watch, clock, loadAt, threshold, onHalf } = wish
  const all: Answered[] = []
  let half: Answered[] = []
  let nextHalfMs = startMs + HALF_HOUR_MS
  let overMs = 0
  let lookedMs = clock.now()
  client.take()
  while (clock.now() < (wish.endMs ?? startMs + DAY_MS)) {
    await pause(LOOK_MS)
    const nodes = await watch.look()
    const nowMs = clock.now()
    if (nodes.some(({ isOver }) => isOver)) overMs += nowMs - lookedMs
    lookedMs = nowMs
    const answered = client.take()
    all.push(...answered)
    half.push(...answered)
    if (nowMs < nextHalfMs) continue
    const wanted = loadAt(nextHalfMs - HALF_HOUR_MS / 2)
    const [p50, p99] = [quantileOf(half, 0.5), quantileOf(half, 0.99)]
    onHalf?.({ startMs: nextHalfMs - HALF_HOUR_MS, wanted, p50, p99, nodes })
    half = []
    while (nextHalfMs <= nowMs) nextHalfMs += HALF_HOUR_MS
  }
  const peak = peakOf(startMs, threshold, loadAt)
  const isInPeak = ({ dueMs }: Answered) => dueMs >= peak.fromMs && dueMs < peak.toMs
  return {
    peak,
    peakP99: quantileOf(all.filter(isInPeak), 0.99),
    restP99: quantileOf(
      all.filter(one => !isInPeak(one)),
      0.99
    ),
    overMs
  }
}

/** Until the load clock shows `timeMs`. */
export async function reached(clock: Clock, timeMs: number): Promise<void> {
  const leftMs = (timeMs - clock.now()) / rateOf(clock)
  if (leftMs > 0) await pause(leftMs)
}
