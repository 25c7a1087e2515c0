/**
 * What this node says of its balancing, brought within the bounds of its messages: lists are cut at
 * their end (the worst, best or hottest come first), words are cut, numbers are brought to the
 * nearest that counts. Whoever asks gets an answer, however much there would be to say.
 */
import type { PlanMessage, StatusMessage } from '../../protocols/balance/messages.ts'
import {
  MAX_ALTERNATIVES,
  MAX_BALANCE_PROBLEMS,
  MAX_INCURABLE,
  MAX_LEFT,
  MAX_PLAN_STEPS,
  MAX_PLANNED,
  MAX_PLANNED_CHUNKS,
  MAX_PROMISES,
  MAX_UNDER_WAY
} from '../../protocols/balance/receipt-limits.ts'
import { amount, fitAlternative, fitExcess, words } from '../../protocols/balance/receipt-schema.ts'
import type { Want } from '../../protocols/balance/types.ts'
import type { BalanceStatus, IncurableView, PlanView } from './types.ts'

export function fitStatus(status: BalanceStatus): StatusMessage {
  const { at, settings, idle, capacity, threshold, thresholdFrom, plannedAt } = status
  const { excess, bytesLeft } = status
  const { regions, ...rest } = settings
  return {
    at,
    ...(idle === undefined ? {} : { idle }),
    ...(thresholdFrom === undefined ? {} : { thresholdFrom }),
    ...(plannedAt === undefined ? {} : { plannedAt }),
    settings: { ...rest, ...(regions === undefined ? {} : { regions: [...regions] }) },
    load: amount(status.load),
    ...optional('capacity', capacity, amount),
    ...optional('threshold', threshold, amount),
    ...optional('excess', excess, fitExcess),
    ...optional('bytesLeft', bytesLeft, amount),
    incurable: fitIncurable(status.incurable),
    underWay: status.underWay
      .slice(0, MAX_UNDER_WAY)
      .map(one => ({ ...one, bytes: amount(one.bytes) })),
    promises: status.promises
      .slice(0, MAX_PROMISES)
      .map(one => ({ ...one, bytes: amount(one.bytes), highPeak: amount(one.highPeak) })),
    movesLeft: amount(status.movesLeft),
    problems: status.problems.slice(0, MAX_BALANCE_PROBLEMS).map(words)
  }
}

export function fitPlan(plan: PlanView): PlanMessage {
  return {
    at: plan.at,
    ...(plan.idle === undefined ? {} : { idle: plan.idle }),
    ...optional('excess', plan.excess, fitExcess),
    wants: plan.wants.slice(0, MAX_PLANNED).map(({ want, why, candidates }) => ({
      want: fitWant(want),
      why: words(why),
      candidates: candidates.slice(0, MAX_ALTERNATIVES).map(fitAlternative)
    })),
    incurable: fitIncurable(plan.incurable),
    left: plan.left.slice(0, MAX_LEFT).map(words)
  }
}

function fitWant(want: Want): PlanMessage['wants'][number]['want'] {
  const { volume, reason, chunks, bytes, path, excess, benefit, cost, copyMs } = want
  return {
    volume,
    reason,
    chunks: chunks.slice(0, MAX_PLANNED_CHUNKS).map(({ chunk, share, bytes }) => ({
      chunk,
      share: Math.min(1, amount(share)),
      bytes: amount(bytes)
    })),
    chunkCount: chunks.length,
    bytes: amount(bytes),
    path: {
      atMs: path.atMs,
      stepMs: path.stepMs,
      expected: path.expected.slice(0, MAX_PLAN_STEPS).map(amount),
      high: path.high.slice(0, MAX_PLAN_STEPS).map(amount)
    },
    ...optional('excess', excess, fitExcess),
    benefit: amount(benefit),
    cost: amount(cost),
    copyMs: amount(copyMs)
  }
}

function fitIncurable(found: readonly IncurableView[]): StatusMessage['incurable'] {
  return found.slice(0, MAX_INCURABLE).map(({ volume, why, excess }) => ({
    ...(volume === undefined ? {} : { volume }),
    why: words(why),
    ...optional('excess', excess, fitExcess)
  }))
}

function optional<K extends string, V>(
  name: K,
  value: V | undefined,
  bring: (value: V) => V
): { readonly [name in K]?: V } {
  if (value === undefined) return {}
  // The one name is K: TypeScript widens a computed name to string.
  return { [name]: bring(value) } as { readonly [name in K]?: V }
}
