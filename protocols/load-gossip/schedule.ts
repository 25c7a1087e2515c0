/**
 * How often a node speaks, and how much it says, so that what every node hears in a minute stays
 * within the budget. By the map and by counts that all know: nobody asks, nobody coordinates.
 *
 *   budget x 0.85 = detail (samples of the own group) + summaries (one per group and round)
 *   detail / members of the group = what one node may say: its list of shards shrinks to 8 to speak
 *     every 30 s, then it speaks up to every 60 s, then the list shrinks to nothing, and only then
 *     it speaks less often
 *   a round of all summaries takes as long as their part of the budget needs: 30 s to 5 min
 *
 * Invariants: if all members see the same map, what a node hears is planned to be within the budget;
 * the part of summaries is the same everywhere, whatever one's own group.
 */
import type { NodeId } from '../ids.ts'
import type { Groups } from './groups.ts'
import {
  ENVELOPE_BYTES,
  GOOD_INTERVAL_MS,
  KEPT_SHARDS,
  LONG_INTERVAL_MS,
  MAX_LISTED_SHARDS,
  MAX_SUMMARY_ENTRIES,
  MAX_SUMMARY_INTERVAL_MS,
  MIN_INTERVAL_MS,
  MIN_SUMMARY_INTERVAL_MS,
  PLANNED_PART,
  SUMMARY_PART,
  SUMMARY_RANKS
} from './limits.ts'
import { sampleBytes, summaryBytes } from './messages.ts'

const MINUTE_MS = 60_000

export interface Plan {
  /** What one member of the own group may say in a minute, envelopes included. */
  readonly memberBytes: number
  /** Undefined where the mesh is one group. */
  readonly summaries: SummaryPlan | undefined
}

export interface SummaryPlan {
  /** A slot: in each of them every group is summarised once. */
  readonly intervalMs: number
  readonly maxEntries: number
  /** What a summary of the largest group takes, with its envelope. */
  readonly largestBytes: number
}

/** `self` is in one of `groups`. */
export function planFor(groups: Groups, self: NodeId, budgetBytes: number): Plan {
  const planned = budgetBytes * PLANNED_PART
  const sizes = groups.all.map(({ members }) => members.length)
  const members = groups.of.get(self)?.members.length ?? 1
  if (sizes.length <= 1) return { memberBytes: planned / members, summaries: undefined }
  const part = summaryPart(sizes, planned)
  const summaries = planSummaries(sizes, part)
  return { memberBytes: (planned - part) / members, summaries }
}

/** Bytes per minute: what either kind leaves, the other has. */
function summaryPart(sizes: readonly number[], planned: number): number {
  const wanted = (roundBytes(sizes, MAX_SUMMARY_ENTRIES) * MINUTE_MS) / MIN_SUMMARY_INTERVAL_MS
  const fullSample = ENVELOPE_BYTES + sampleBytes(MAX_LISTED_SHARDS)
  const detail = (Math.max(...sizes) * fullSample * MINUTE_MS) / MIN_INTERVAL_MS
  return Math.min(wanted, Math.max(planned * SUMMARY_PART, planned - detail))
}

function planSummaries(sizes: readonly number[], partBytes: number): SummaryPlan {
  const timeFor = (entries: number): number => (roundBytes(sizes, entries) * MINUTE_MS) / partBytes
  let maxEntries = MAX_SUMMARY_ENTRIES
  while (maxEntries > 1 && timeFor(maxEntries) > MAX_SUMMARY_INTERVAL_MS) maxEntries--
  const largest = Math.min(maxEntries, Math.max(...sizes))
  return {
    intervalMs: Math.max(MIN_SUMMARY_INTERVAL_MS, timeFor(maxEntries)),
    maxEntries,
    largestBytes: ENVELOPE_BYTES + summaryBytes(largest)
  }
}

/** One summary of each group. */
function roundBytes(sizes: readonly number[], maxEntries: number): number {
  let bytes = 0
  for (const size of sizes) bytes += ENVELOPE_BYTES + summaryBytes(Math.min(size, maxEntries))
  return bytes
}

export interface SamplePlan {
  readonly listed: number
  readonly intervalMs: number
}

/** `memberBytes`: as planned. `shards`: that the node has. */
export function planSample(memberBytes: number, shards: number): SamplePlan {
  const fits = (everyMs: number): number =>
    Math.floor(
      ((memberBytes * everyMs) / MINUTE_MS - ENVELOPE_BYTES - sampleBytes(0)) /
        (sampleBytes(1) - sampleBytes(0))
    )
  const wanted = Math.max(0, fits(GOOD_INTERVAL_MS), Math.min(KEPT_SHARDS, fits(LONG_INTERVAL_MS)))
  const listed = Math.min(shards, MAX_LISTED_SHARDS, wanted)
  const neededMs = ((ENVELOPE_BYTES + sampleBytes(listed)) * MINUTE_MS) / memberBytes
  return { listed, intervalMs: Math.max(MIN_INTERVAL_MS, neededMs) }
}

/**
 * Whose turn it is: 0 for the one who summarises in this slot, then those who step in if nothing is
 * heard of it; undefined for all others. `members`: those that are heard and `self`, ascending. The
 * turn goes round with the slots, so one that is dead or cannot be heard costs one slot at most.
 */
export function rankIn(slot: number, members: readonly NodeId[], self: NodeId): number | undefined {
  const at = members.indexOf(self)
  if (at < 0) return undefined
  const rank = (at - (slot % members.length) + members.length) % members.length
  return rank < SUMMARY_RANKS ? rank : undefined
}

/**
 * Slots of a group, by the wall clock: `number`, and what has passed of it in [0, 1). Every group has
 * a phase of its own, or all summaries of a round would leave at once.
 */
export function slotAt(
  wallMs: number,
  intervalMs: number,
  phase: number
): { number: number; passed: number } {
  const slots = wallMs / intervalMs + phase
  const number = Math.floor(slots)
  return { number, passed: slots - number }
}

/** Of a slot: when the one of `rank` speaks, by `jitter` in [0, 1). */
export function shareOfSlot(rank: number, jitter: number): number {
  return (rank + 0.8 * jitter) * RANK_SHARE
}

const RANK_SHARE = 0.25
/** Whoever heard a summary of its group in this slot, or since so much of one, adds none. */
export const QUIET_SHARE = 0.8
