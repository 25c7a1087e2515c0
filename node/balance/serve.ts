/**
 * Answers `/shoal/balance/1`: what members ask of the balancing, the receipts and the score here.
 *
 * Invariants: a target keeps receipts only of moves to itself, from the node that is their source;
 * what a question costs is bounded; a bug here is told as IO_ERROR and logged.
 */
import {
  type AfterMessage,
  type AfterQuery,
  BALANCE_PROTOCOL,
  type BalanceAnswer,
  type BalanceRequest,
  balanceRequestSchema,
  type SettingsChangeMessage
} from '../../protocols/balance/messages.ts'
import { MAX_JUDGED_MINUTES } from '../../protocols/balance/receipt-limits.ts'
import { amount, asReceipt } from '../../protocols/balance/receipt-schema.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { REFUSALS } from '../../protocols/moves/messages.ts'
import type { Clock, Log } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import { fitPlan, fitStatus } from './fit.ts'
import type { Measured } from './measured.ts'
import type { Receipts } from './receipts.ts'
import type { Balance, NodeSettingsChange } from './types.ts'

const MAX_REFUSAL_CHARS = 1_000
const DAY_MS = 86_400_000

export interface ServeBalanceParts {
  readonly rpc: Rpc
  readonly log: Log
  /** The load clock. */
  readonly clock: Pick<Clock, 'now'>
  readonly receipts: Receipts
  readonly measured: Measured
  /** Of this node, above which it counts as overloaded. */
  readonly threshold: () => number | undefined
  readonly balance: Pick<Balance, 'status' | 'set' | 'plan'>
}

export function serveBalance(parts: ServeBalanceParts): void {
  parts.rpc.serve(BALANCE_PROTOCOL, balanceRequestSchema, async (from, request) => {
    try {
      return await answer(parts, from, request)
    } catch (error) {
      return refusalOf(parts.log, error)
    }
  })
}

async function answer(
  parts: ServeBalanceParts,
  from: NodeId,
  request: BalanceRequest
): Promise<BalanceAnswer> {
  const { balance, receipts } = parts
  switch (request.call) {
    case 'status':
      return { is: 'status', status: fitStatus(balance.status()) }
    case 'set': {
      const { regions, ...rest } = await balance.set(given(request.change))
      return { is: 'settings', settings: { ...rest, ...(regions && { regions: [...regions] }) } }
    }
    case 'plan':
      return { is: 'plan', plan: fitPlan(balance.plan()) }
    case 'receipts': {
      const { receipts: found, next } = receipts.book.list(request.query)
      const listed = found.map(one => ({ ...one, alternatives: [...one.alternatives] }))
      return { is: 'receipts', receipts: listed, ...(next === undefined ? {} : { next }) }
    }
    case 'score':
      return { is: 'score', score: scoreOf(parts, request.days) }
    case 'keep':
      receipts.keep(from, asReceipt(request.receipt))
      return { is: 'kept' }
    case 'after':
      return { is: 'after', after: await afterOf(parts, request.query) }
  }
}

function scoreOf({ receipts, clock }: ServeBalanceParts, days: number) {
  const now = clock.now()
  const first = Math.floor(now / DAY_MS) - days + 1
  return {
    since: Math.max(0, first * DAY_MS),
    totals: receipts.score.totals(now, days),
    days: receipts.score.days().filter(({ day }) => day >= first)
  }
}

async function afterOf(
  { measured, threshold }: ServeBalanceParts,
  { volume, ranges, chunks, from, to }: AfterQuery
): Promise<AfterMessage> {
  if (to <= from || to - from > MAX_JUDGED_MINUTES) {
    throw new ShoalError({ code: 'BAD_INPUT' }, 'these are no minutes of an hour after a move')
  }
  const share = measured.share(volume, ranges, chunks, ((from + to) / 2) * 60_000)
  if (share === undefined) {
    throw new ShoalError({ code: 'NOT_FOUND', what: volume }, 'what moved is not here any more')
  }
  const node = await measured.minutes(undefined, from, to)
  const shard = await measured.minutes(volume, from, to)
  const limit = threshold()
  return {
    node: node.map(known),
    moved: shard.map(load => known(load * share)),
    ...(limit === undefined ? {} : { threshold: amount(limit) })
  }
}

function known(load: number): number | null {
  return Number.isNaN(load) ? null : amount(load)
}

/** Without fields that are there and undefined. */
function given(change: SettingsChangeMessage): NodeSettingsChange {
  const { isPaused, thresholdPart, horizonMinutes, movesPerHour, bytesPerHour, regions } = change
  return {
    ...(isPaused !== undefined && { isPaused }),
    ...(thresholdPart !== undefined && { thresholdPart }),
    ...(horizonMinutes !== undefined && { horizonMinutes }),
    ...(movesPerHour !== undefined && { movesPerHour }),
    ...(bytesPerHour !== undefined && { bytesPerHour }),
    ...(regions !== undefined && { regions })
  }
}

function refusalOf(log: Log, error: unknown): BalanceAnswer {
  const why = messageOf(error).slice(0, MAX_REFUSAL_CHARS)
  if (!isFault(error)) {
    log.error({ error: why }, 'a question about balancing broke')
    return { is: 'refused', code: 'IO_ERROR', why }
  }
  const code = REFUSALS.find(one => one === error.fault.code) ?? 'IO_ERROR'
  return { is: 'refused', code, why }
}
