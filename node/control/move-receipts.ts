/**
 * Moves together with their receipts: the list, and all that is known of one. A move lives on its
 * source; its receipt is on both ends, so what moved is known while one of the two answers.
 */

import type { Receipt } from '../../protocols/balance/receipt.ts'
import { MAX_ASKED_IDS } from '../../protocols/balance/receipt-limits.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_LISTED_ENDED } from '../../protocols/moves/limits.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import { askAll, askReceipts, storageNodes } from '../balance/ask.ts'
import { listMoves } from '../moves/ask.ts'
import { volumeName } from '../volumes/names.ts'
import { nodeName } from '../volumes/shards.ts'
import type { MoveDetailDocument } from './balance-documents.ts'
import { gathered, gatherReceipts, receiptDocument, zoneOf } from './balance-views.ts'
import type { DaemonContext } from './context.ts'
import type { MoveDocument, MovesDocument } from './documents.ts'

const MOVE_PREFIX = /^[0-9a-f]{4,12}$/
/** Of more nodes that do not answer nobody is asked what moved from there. */
const MAX_SILENT_ASKED = 8
/** Of the moves that begin with the same digits: more than one is an error that names them. */
const FEW = 20

export function isMovePrefix(text: string): boolean {
  return MOVE_PREFIX.test(text)
}

/** The list with what each was decided on, and what only the targets of silent nodes know. */
export async function withReceipts(
  context: DaemonContext,
  list: MovesDocument,
  ended: number
): Promise<MovesDocument> {
  const byId = await receiptsOfMoves(context, list)
  const moves = list.moves.map(move => {
    const receipt = byId.get(move.id)
    return receipt === undefined ? move : { ...move, receipt: receiptDocument(context, receipt) }
  })
  const orphans = await receiptsOfSilent(context, list, ended)
  return { ...list, moves: [...moves, ...orphans.map(one => ofReceipt(context, one))] }
}

/** Each source is asked of its own moves that are listed, and of no others. */
async function receiptsOfMoves(
  context: DaemonContext,
  { moves }: MovesDocument
): Promise<ReadonlyMap<string, Receipt>> {
  const idsBySource = new Map<NodeId, string[]>()
  for (const { id, from } of moves) {
    idsBySource.set(from, [...(idsBySource.get(from) ?? []), id])
  }
  const ask = (node: NodeId) => {
    const ids = (idsBySource.get(node) ?? []).slice(0, MAX_ASKED_IDS)
    return askReceipts(context, node, { ids }, ids.length)
  }
  const sources = storageNodes(context.map).filter(({ id }) => idsBySource.has(id))
  const heard = await askAll(context, ask, sources)
  return new Map(heard.flatMap(({ said = [] }) => said.map(receipt => [receipt.id, receipt])))
}

/** What the targets keep of the moves of nodes that do not answer. */
async function receiptsOfSilent(
  context: DaemonContext,
  { nodes }: MovesDocument,
  ended: number
): Promise<readonly Receipt[]> {
  const answered = new Set(nodes.map(({ node }) => node))
  const all = storageNodes(context.map)
  const silent = all.filter(({ id }) => !answered.has(id))
  if (silent.length === 0 || ended === 0) return []
  const targets = all.filter(({ id }) => answered.has(id))
  const ask = async (node: NodeId): Promise<Receipt[]> => {
    const found: Receipt[] = []
    for (const { id: source } of silent.slice(0, MAX_SILENT_ASKED)) {
      found.push(...(await askReceipts(context, node, { source }, ended)))
    }
    return found
  }
  return gathered(await askAll(context, ask, targets), ended).receipts
}

/** Throws NOT_FOUND or NAME_AMBIGUOUS. */
export async function moveDetail(
  context: DaemonContext,
  prefix: string
): Promise<MoveDetailDocument> {
  const { receipts, keptBy, silent } = await gatherReceipts(context, { id: prefix }, FEW)
  const nodes = await listMoves(context, MAX_LISTED_ENDED)
  const moves = nodes
    .flatMap(({ list }) => list?.moves ?? [])
    .filter(move => move.id.startsWith(prefix))
  const ids = [...new Set([...receipts, ...moves].map(one => one.id))]
  const [id] = ids
  if (id === undefined) throw noSuchMove(prefix, silent)
  if (ids.length > 1) {
    throw new ShoalError(
      { code: 'NAME_AMBIGUOUS', name: prefix, ids },
      `${ids.length} moves begin with ${prefix}: type more of the id`
    )
  }
  const [receipt] = receipts
  const [move] = moves
  return {
    kind: 'move',
    id,
    zone: zoneOf(context, receipt?.volume ?? move?.volume),
    at: context.loadClock.now(),
    ...(receipt === undefined ? {} : { receipt: receiptDocument(context, receipt) }),
    keptBy: keptBy.get(id) ?? [],
    ...(move === undefined ? {} : { move: moveDocument(context, move) }),
    silent
  }
}

export function moveDocument(context: DaemonContext, move: Move): MoveDocument {
  const mesh = context.map.mesh()
  return {
    ...move,
    volumeName: volumeName(mesh, move.volume),
    fromName: nodeName(mesh, move.from),
    toName: nodeName(mesh, move.to)
  }
}

export function noSuchMove(id: string, silent: readonly string[]): ShoalError {
  const perhaps = silent.length === 0 ? '' : `; ${silent.join(', ')} did not answer`
  return new ShoalError({ code: 'NOT_FOUND', what: id }, `there is no move ${id}${perhaps}`)
}

/** A move as its target's receipt tells of it. */
function ofReceipt(context: DaemonContext, receipt: Receipt): MoveDocument {
  const { id, volume, source, target, state, why, chunks, bytes, decidedAt } = receipt
  const { endedAt, movedChunks, longestPauseMs = 0, trouble } = receipt
  const isDone = state === 'done'
  const move: Move = {
    id,
    volume,
    from: source,
    to: target,
    state: state === 'open' ? 'running' : state,
    why,
    chunks: { total: chunks, done: movedChunks ?? (isDone ? chunks : 0) },
    bytes: { total: bytes, done: endedAt === undefined ? 0 : bytes },
    bytesPerSecond: 0,
    since: decidedAt,
    ...(endedAt === undefined ? {} : { endedAt }),
    longestPauseMs,
    ...(trouble === undefined ? {} : { trouble })
  }
  const document = moveDocument(context, move)
  return { ...document, receipt: receiptDocument(context, receipt), fromReceipt: true }
}
