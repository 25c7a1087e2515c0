/** What nodes say of their balancing, with names in place of ids, and put together for the mesh. */

import type { NodeEntry } from '../../crdt/types.ts'
import type {
  PlanMessage,
  SettingsChangeMessage,
  StatusMessage
} from '../../protocols/balance/messages.ts'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import { JUDGED_MS } from '../../protocols/balance/receipt-limits.ts'
import { NO_SCORE, type ScoreTotals, sumScores } from '../../protocols/balance/score.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import {
  askAll,
  askBalanceStatus,
  askOne,
  askPlan,
  askReceipts,
  askScore,
  type Heard,
  setBalance
} from '../balance/ask.ts'
import { volumeName } from '../volumes/names.ts'
import { nodeName } from '../volumes/shards.ts'
import { knownZone } from '../volumes/zones.ts'
import type {
  AlternativeDocument,
  BalanceDocument,
  BalanceSetDocument,
  IncurableDocument,
  NodeBalanceDocument,
  NodePlanDocument,
  PlanDocument,
  ReceiptDocument
} from './balance-documents.ts'
import type { DaemonContext } from './context.ts'

const DAY_MS = 86_400_000

type Considered = PlanMessage['wants'][number]['candidates'][number]

/** `node`: absent: every node with a store. */
export async function balanceDocument(
  context: DaemonContext,
  days: number,
  node?: NodeEntry
): Promise<BalanceDocument> {
  const ask = async (id: NodeId) => {
    const status = await askBalanceStatus(context, id)
    return { status, score: await askScore(context, id, days) }
  }
  const heard = await askThese(context, node, ask)
  const found = heard.flatMap(({ node, said }) =>
    said === undefined ? [] : [nodeBalance(context, node, said.status, said.score.totals)]
  )
  const now = Math.max(context.loadClock.now(), ...found.map(({ at }) => at))
  return {
    nodes: found,
    score: {
      days,
      since: (Math.floor(now / DAY_MS) - days + 1) * DAY_MS,
      totals: sumScores(found.map(({ score }) => score))
    },
    silent: silentOf(heard),
    zone: context.load.options.zone
  }
}

export function nodeBalance(
  context: DaemonContext,
  node: NodeEntry,
  status: StatusMessage,
  score: ScoreTotals = NO_SCORE
): NodeBalanceDocument {
  const mesh = context.map.mesh()
  return {
    ...status,
    node: node.id,
    name: node.name,
    region: node.region,
    underWay: status.underWay.map(one => ({
      ...one,
      volumeName: volumeName(mesh, one.volume),
      ...(one.to === undefined ? {} : { toName: nodeName(mesh, one.to) })
    })),
    promises: status.promises.map(one => ({
      ...one,
      volumeName: volumeName(mesh, one.volume),
      fromName: nodeName(mesh, one.from)
    })),
    incurable: incurableOf(context, status.incurable),
    score
  }
}

/** Each node by itself: what one refuses the others may have taken. */
export async function setDocument(
  context: DaemonContext,
  change: SettingsChangeMessage,
  node?: NodeEntry
): Promise<BalanceSetDocument> {
  const ask = async (id: NodeId) => {
    try {
      return { settings: await setBalance(context, id, change) }
    } catch (error) {
      // Of one node the words are an error by themselves.
      if (!isFault(error, 'BAD_INPUT', 'CONFLICT', 'IO_ERROR', 'LIMIT') || node !== undefined) {
        throw error
      }
      return { why: messageOf(error) }
    }
  }
  const heard = await askThese(context, node, ask)
  const named = ({ id, name }: NodeEntry) => ({ node: id, name })
  return {
    nodes: heard.flatMap(({ node, said }) =>
      said?.settings === undefined ? [] : [{ ...named(node), settings: said.settings }]
    ),
    refused: heard.flatMap(({ node, said }) =>
      said?.why === undefined ? [] : [{ ...named(node), why: said.why }]
    ),
    silent: silentOf(heard)
  }
}

export async function planDocument(
  context: DaemonContext,
  node?: NodeEntry
): Promise<PlanDocument> {
  const heard = await askThese(context, node, id => askPlan(context, id))
  return {
    nodes: heard.flatMap(({ node, said }) =>
      said === undefined ? [] : [nodePlan(context, node, said)]
    ),
    silent: silentOf(heard),
    zone: context.load.options.zone
  }
}

export function nodePlan(
  context: DaemonContext,
  node: NodeEntry,
  plan: PlanMessage
): NodePlanDocument {
  const mesh = context.map.mesh()
  return {
    ...plan,
    node: node.id,
    name: node.name,
    wants: plan.wants.map(({ want, why, candidates }) => ({
      want,
      why,
      volumeName: volumeName(mesh, want.volume),
      candidates: candidates.map(one => alternativeOf(context, one))
    })),
    incurable: incurableOf(context, plan.incurable)
  }
}

export interface Gathered {
  /** The youngest decision first; of one move that of its source. */
  readonly receipts: readonly Receipt[]
  /** Names of the nodes that keep one, the source first. */
  readonly keptBy: ReadonlyMap<string, readonly string[]>
  readonly silent: readonly string[]
}

/** The receipts of every node, or of some. */
export async function gatherReceipts(
  context: DaemonContext,
  query: Parameters<typeof askReceipts>[2],
  limit: number,
  nodes?: readonly NodeEntry[]
): Promise<Gathered> {
  const ask = (node: NodeId) => askReceipts(context, node, query, limit)
  return gathered(await askAll(context, ask, nodes), limit)
}

export function gathered(heard: ReadonlyArray<Heard<readonly Receipt[]>>, limit: number): Gathered {
  const found = new Map<string, Receipt>()
  const keptBy = new Map<string, string[]>()
  for (const { node, said = [] } of heard) {
    for (const receipt of said) {
      // What a node says of moves that are not its own is not believed.
      if (receipt[receipt.keptBy] !== node.id) continue
      const others = keptBy.get(receipt.id) ?? []
      const isSource = receipt.keptBy === 'source'
      keptBy.set(receipt.id, isSource ? [node.name, ...others] : [...others, node.name])
      if (isSource || !found.has(receipt.id)) found.set(receipt.id, receipt)
    }
  }
  const receipts = [...found.values()].sort((a, b) => b.decidedAt - a.decidedAt)
  return { receipts: receipts.slice(0, limit), keptBy, silent: silentOf(heard) }
}

export function receiptDocument(context: DaemonContext, receipt: Receipt): ReceiptDocument {
  const mesh = context.map.mesh()
  const { endedAt, outcome, unjudged, state, reason } = receipt
  const isDue = state === 'done' && reason !== 'drain' && outcome === undefined
  return {
    ...receipt,
    sourceName: nodeName(mesh, receipt.source),
    targetName: nodeName(mesh, receipt.target),
    volumeName: volumeName(mesh, receipt.volume),
    alternatives: receipt.alternatives.map(one => alternativeOf(context, one)),
    ...(isDue && unjudged === undefined && endedAt !== undefined
      ? { judgedFrom: endedAt + JUDGED_MS }
      : {})
  }
}

/** In which times about this volume are said. */
export function zoneOf(context: DaemonContext, volume: VolumeId | undefined): string {
  const zone = volume === undefined ? undefined : context.map.volume(volume)?.zone
  return zone === undefined ? context.load.options.zone : knownZone(zone)
}

function askThese<T>(
  context: DaemonContext,
  only: NodeEntry | undefined,
  ask: (node: NodeId) => Promise<T>
): Promise<Array<Heard<T>>> {
  return only === undefined ? askAll(context, ask) : askOne(only, ask)
}

export function silentOf(heard: ReadonlyArray<Heard<unknown>>): string[] {
  return heard.flatMap(({ node, said }) => (said === undefined ? [node.name] : []))
}

function incurableOf(
  context: DaemonContext,
  incurable: StatusMessage['incurable']
): IncurableDocument[] {
  const mesh = context.map.mesh()
  return incurable.map(one => ({
    ...one,
    ...(one.volume === undefined ? {} : { volumeName: volumeName(mesh, one.volume) })
  }))
}

function alternativeOf(context: DaemonContext, one: Considered): AlternativeDocument {
  const entry = context.map.mesh().nodes.get(one.node)
  return { ...one, name: entry?.name ?? one.node, region: entry?.region ?? '' }
}
