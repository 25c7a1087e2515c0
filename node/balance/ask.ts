/** Asks nodes about their balancing; a refusal comes back as the fault that it was there. */
import type { NodeEntry } from '../../crdt/types.ts'
import {
  type AfterMessage,
  type AfterQuery,
  BALANCE_PROTOCOL,
  type BalanceAnswer,
  type BalanceRequest,
  balanceAnswerSchema,
  type PlanMessage,
  type ReceiptQuery,
  type ScoreMessage,
  type SettingsChangeMessage,
  type SettingsMessage,
  type StatusMessage
} from '../../protocols/balance/messages.ts'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import { MAX_LISTED_RECEIPTS } from '../../protocols/balance/receipt-limits.ts'
import { asReceipt } from '../../protocols/balance/receipt-schema.ts'
import { type Fault, isFault, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { BALANCE_CALL_TIMEOUT_MS, MAX_PARALLEL_CALLS, NODE_STATUS_TIMEOUT_MS } from '../limits.ts'
import type { ShardMap } from '../map/types.ts'
import { expected } from '../rpc/expected.ts'
import type { Rpc } from '../rpc/types.ts'
import { liveNodes } from '../volumes/candidates.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import { nodeName } from '../volumes/shards.ts'

export interface BalanceAsker {
  readonly rpc: Rpc
  readonly map: Pick<ShardMap, 'mesh'>
}

export async function askBalanceStatus(parts: BalanceAsker, node: NodeId): Promise<StatusMessage> {
  const request = { call: 'status' as const }
  return (await call(parts, node, request, 'status', NODE_STATUS_TIMEOUT_MS)).status
}

export async function setBalance(
  parts: BalanceAsker,
  node: NodeId,
  change: SettingsChangeMessage
): Promise<SettingsMessage> {
  return (await call(parts, node, { call: 'set', change }, 'settings')).settings
}

export async function askPlan(parts: BalanceAsker, node: NodeId): Promise<PlanMessage> {
  return (await call(parts, node, { call: 'plan' }, 'plan')).plan
}

export async function askScore(
  parts: BalanceAsker,
  node: NodeId,
  days: number
): Promise<ScoreMessage> {
  return (await call(parts, node, { call: 'score', days }, 'score', NODE_STATUS_TIMEOUT_MS)).score
}

/** The youngest decisions first, `limit` of them at most, over as many answers as it takes. */
export async function askReceipts(
  parts: BalanceAsker,
  node: NodeId,
  query: Omit<ReceiptQuery, 'limit' | 'before'>,
  limit: number
): Promise<Receipt[]> {
  const found: Receipt[] = []
  let before: ReceiptQuery['before']
  while (found.length < limit) {
    const most = Math.min(limit - found.length, MAX_LISTED_RECEIPTS)
    const page = { ...query, limit: most, ...(before && { before }) }
    const request = { call: 'receipts' as const, query: page }
    const answer = await call(parts, node, request, 'receipts', NODE_STATUS_TIMEOUT_MS)
    found.push(...answer.receipts.map(asReceipt))
    // Whoever does not go on, ends.
    if (answer.next === undefined || answer.receipts.length === 0) break
    before = answer.next
  }
  return found.slice(0, limit)
}

/** `receipt`: as the target is to keep it. */
export async function tellReceipt(
  parts: BalanceAsker,
  target: NodeId,
  receipt: Receipt
): Promise<void> {
  const { alternatives } = receipt
  const request = {
    call: 'keep' as const,
    receipt: { ...receipt, alternatives: [...alternatives] }
  }
  await call(parts, target, request, 'kept')
}

export async function askAfter(
  parts: BalanceAsker,
  target: NodeId,
  query: AfterQuery
): Promise<AfterMessage> {
  return (await call(parts, target, { call: 'after', query }, 'after')).after
}

export interface Heard<T> {
  readonly node: NodeEntry
  /** Undefined: it did not answer. */
  readonly said: T | undefined
}

/** The same question to every node with a store, or to some; and which of them did not answer. */
export function askAll<T>(
  { map }: Pick<BalanceAsker, 'map'>,
  ask: (node: NodeId) => Promise<T>,
  nodes: readonly NodeEntry[] = storageNodes(map)
): Promise<Array<Heard<T>>> {
  return mapConcurrently(nodes, MAX_PARALLEL_CALLS, async node => {
    try {
      return { node, said: await ask(node.id) }
    } catch (error) {
      if (isFault(error)) return { node, said: undefined }
      throw error
    }
  })
}

/** One node that somebody named: that it does not answer, and what it refuses, is an error. */
export async function askOne<T>(
  node: NodeEntry,
  ask: (node: NodeId) => Promise<T>
): Promise<Array<Heard<T>>> {
  try {
    return [{ node, said: await ask(node.id) }]
  } catch (error) {
    if (!isFault(error, 'UNREACHABLE', 'TIMEOUT', 'CLOSED')) throw error
    const fault = { code: 'UNREACHABLE', peer: node.name } as const
    throw new ShoalError(fault, `node ${node.name} does not answer`, { cause: error })
  }
}

/** By name. */
export function storageNodes(map: Pick<ShardMap, 'mesh'>): NodeEntry[] {
  return liveNodes(map.mesh())
    .filter(node => node.capacityBytes > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

type AnswerOf<Is extends BalanceAnswer['is']> = Extract<BalanceAnswer, { is: Is }>

async function call<Is extends Exclude<BalanceAnswer['is'], 'refused'>>(
  { rpc, map }: BalanceAsker,
  node: NodeId,
  request: BalanceRequest,
  wanted: Is,
  timeoutMs = BALANCE_CALL_TIMEOUT_MS
): Promise<AnswerOf<Is>> {
  const answer = await rpc.call(node, BALANCE_PROTOCOL, request, balanceAnswerSchema, { timeoutMs })
  const name = nodeName(map.mesh(), node)
  if (answer.is === 'refused') throw new ShoalError(faultOf(answer.code, name), answer.why)
  return expected(answer, wanted, { protocol: BALANCE_PROTOCOL, name })
}

function faultOf(code: AnswerOf<'refused'>['code'], what: string): Fault {
  switch (code) {
    case 'NOT_FOUND':
    case 'CONFLICT':
      return { code, what }
    case 'LIMIT':
      return { code, limit: what }
    case 'UNREACHABLE':
      return { code, peer: what }
    case 'NO_CAPACITY':
      return { code, neededBytes: 0, availableBytes: 0 }
    default:
      return { code }
  }
}
