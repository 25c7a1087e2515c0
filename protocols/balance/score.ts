/**
 * The running score of a node: what balancing was good for, day by day, for RECEIPT_DAYS days.
 *
 *   a step of the node's own series --> measured, suffered, missed     (addStep)
 *   a move that was judged          --> avoided, needed or not, came true  (addVerdict)
 *
 * The score of the mesh is the sum over the nodes that answered. Invariants: a day is that of UTC;
 * days ascend, each once, and are bounded; nothing that is counted is ever taken back.
 */
import { z } from 'zod'
import { assert } from '../assert.ts'
import type { Outcome, Receipt } from './receipt.ts'
import { RECEIPT_DAYS } from './receipt-limits.ts'

const DAY_MS = 86_400_000
const DAY_MINUTES = 1_440
/** Moves, or minutes of all nodes of a mesh, that one day is believed to have. */
const MAX_OF_A_DAY = 1e12
const MAX_DAY = 1e6

const minutes = z.number().min(0).max(MAX_OF_A_DAY)
const moves = z.number().int().min(0).max(MAX_OF_A_DAY)

const counts = {
  /** Minutes of which the load is known, and of them those above the threshold. */
  measuredMinutes: minutes,
  sufferedMinutes: minutes,
  /** Minutes that would have been above it, had nothing moved. */
  avoidedMinutes: minutes,
  /** Overloads that began with no move under way, nor ended within the hour before. */
  missed: moves,
  /** Moves that the node decided on, by whether the overload would have come without them. */
  needed: moves,
  unneeded: moves,
  /** Of which nobody can say: the target did not answer for a day. */
  unjudged: moves,
  /** Of those judged, moves that rested on a forecast, and those whose overload would have come. */
  predicted: moves,
  cameTrue: moves
}

export const scoreDaySchema = z.strictObject({
  /** Days since 1970, in UTC. */
  day: z.number().int().min(0).max(MAX_DAY),
  ...counts
})
export type ScoreDay = z.infer<typeof scoreDaySchema>

export const scoreTotalsSchema = z.strictObject(counts)
export type ScoreTotals = z.infer<typeof scoreTotalsSchema>

export const NO_SCORE: ScoreTotals = {
  measuredMinutes: 0,
  sufferedMinutes: 0,
  avoidedMinutes: 0,
  missed: 0,
  needed: 0,
  unneeded: 0,
  unjudged: 0,
  predicted: 0,
  cameTrue: 0
}

/** A step of the node's own load. */
export interface ScoredStep {
  /** Wall ms of its beginning. */
  readonly atMs: number
  readonly minutes: number
  readonly isOver: boolean
  /** An overload began with it that no move was meant against. */
  readonly isMissed: boolean
}

/** The days of one node, the oldest first. */
export class Score {
  readonly #days = new Map<number, ScoreDay>()

  /** A day as it was kept; a later word on the same day goes before an earlier one. */
  restore(day: ScoreDay): void {
    this.#days.set(day.day, day)
  }

  /** The day as it is with this step. */
  addStep({ atMs, minutes, isOver, isMissed }: ScoredStep): ScoreDay {
    assert(minutes > 0 && minutes <= DAY_MINUTES, 'a step is part of a day')
    return this.#add(atMs, {
      measuredMinutes: minutes,
      sufferedMinutes: isOver ? minutes : 0,
      missed: isMissed ? 1 : 0
    })
  }

  /** The day of the move's end as it is with what became of it; undefined: it does not count. */
  addVerdict(receipt: Receipt, outcome: Outcome | undefined): ScoreDay | undefined {
    if (!counted(receipt) || receipt.endedAt === undefined) return undefined
    if (outcome === undefined) return this.#add(receipt.endedAt, { unjudged: 1 })
    const isPredicted = receipt.reason === 'predicted'
    return this.#add(receipt.endedAt, {
      avoidedMinutes: outcome.avoidedMinutes,
      needed: outcome.wasNeeded ? 1 : 0,
      unneeded: outcome.wasNeeded ? 0 : 1,
      predicted: isPredicted ? 1 : 0,
      cameTrue: isPredicted && outcome.wasNeeded ? 1 : 0
    })
  }

  days(): ScoreDay[] {
    return [...this.#days.values()].sort((a, b) => a.day - b.day)
  }

  /** Of the last days, that of `nowMs` included. */
  totals(nowMs: number, days: number): ScoreTotals {
    const first = dayOf(nowMs) - days + 1
    return sumScores(this.days().filter(({ day }) => day >= first))
  }

  /** Days that are too old are forgotten. */
  prune(nowMs: number): void {
    const first = dayOf(nowMs) - RECEIPT_DAYS + 1
    for (const day of this.#days.keys()) if (day < first) this.#days.delete(day)
    // A clock that was ahead for a while has left days that are not due.
    for (const { day } of this.days().slice(0, -RECEIPT_DAYS)) this.#days.delete(day)
  }

  #add(atMs: number, more: Partial<ScoreTotals>): ScoreDay {
    const day = dayOf(atMs)
    const before = this.#days.get(day) ?? { day, ...NO_SCORE }
    const after = { day, ...sumScores([before, { ...NO_SCORE, ...more }]) }
    this.#days.set(day, after)
    return after
  }
}

/** Moves against an overload; people's moves, drains and ways home have other reasons. */
export function counted({ reason }: Pick<Receipt, 'reason'>): boolean {
  return reason === 'predicted' || reason === 'reactive'
}

export function sumScores(scores: readonly ScoreTotals[]): ScoreTotals {
  const sum = { ...NO_SCORE }
  for (const score of scores) {
    for (const name of NAMES) sum[name] = Math.min(MAX_OF_A_DAY, sum[name] + score[name])
  }
  return sum
}

const NAMES = Object.keys(NO_SCORE) as ReadonlyArray<keyof ScoreTotals>

function dayOf(wallMs: number): number {
  return Math.min(MAX_DAY, Math.max(0, Math.floor(wallMs / DAY_MS)))
}
