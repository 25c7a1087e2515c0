/** What was foretold and why it moves, in a sentence: for `shoal moves`, the log and the plan. */
import type { Excess, Want } from '../../protocols/balance/types.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import { MAX_WHY_CHARS } from '../../protocols/moves/limits.ts'

export function whyOf(want: Pick<Want, 'reason' | 'excess' | 'chunks' | 'bytes'>): string {
  const what = `${chunksOf(want.chunks.length)}, ${formatSize(want.bytes)}`
  return `${reasonOf(want)}; ${what}`.slice(0, MAX_WHY_CHARS)
}

/** The same with what it is worth. */
export function worthOf(want: Want): string {
  const { benefit, cost } = want
  return `${whyOf(want)}; worth ${units(benefit)}, costs ${units(cost)}`
}

function reasonOf({ reason, excess }: Pick<Want, 'reason' | 'excess'>): string {
  if (reason === 'home') return 'its load is gone: it comes home, near to its gateway'
  if (excess === undefined) return reason === 'reactive' ? 'it is overloaded now' : 'it gets hot'
  const who = excess.subject === 'node' ? 'this node' : 'its shard'
  const limit = `${round(excess.threshold)} units/s`
  return reason === 'reactive'
    ? `${who} is above ${limit} now (${round(excess.expectedPeak)} expected)`
    : `${who} is foretold to exceed ${limit} ${whenOf(excess)}, with a peak of ` +
        `${round(excess.expectedPeak)} (up to ${round(excess.highPeak)})`
}

function whenOf({ highAtMs, expectedAtMs }: Excess): string {
  return expectedAtMs === undefined
    ? `perhaps from ${clockTime(highAtMs)}`
    : `from ${clockTime(expectedAtMs)}`
}

function clockTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(11, 16)} UTC`
}

function chunksOf(count: number): string {
  return count === 1 ? '1 chunk' : `${count} chunks`
}

function units(amount: number): string {
  return `${round(amount)} units`
}

function round(value: number): string {
  return String(Number(value.toPrecision(3)))
}
