/**
 * Why a volume, or its shard on one node, is where it is: who holds it, what moved in and out, and
 * what its nodes would do now.
 */
import type { NodeEntry } from '../../crdt/types.ts'
import { isFault, ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { LoadReport } from '../../protocols/load/messages.ts'
import { askAll, askBalanceStatus, askPlan } from '../balance/ask.ts'
import { askReport } from '../load/ask.ts'
import { askNodes } from '../volumes/candidates.ts'
import { printable, resolveNode, resolveVolume, volumeName } from '../volumes/names.ts'
import { nodeName } from '../volumes/shards.ts'
import type { ExplainDocument, PlaceDocument, ShardExplainDocument } from './balance-documents.ts'
import {
  gatherReceipts,
  nodeBalance,
  nodePlan,
  receiptDocument,
  silentOf,
  zoneOf
} from './balance-views.ts'
import type { DaemonContext } from './context.ts'
import type { VolumeDocument } from './documents.ts'
import { isMovePrefix, moveDetail } from './move-receipts.ts'
import { describeVolume } from './volume-documents.ts'

/** Moves of the volume that an explanation looks back on. */
const TOLD_MOVES = 50

/**
 * Of a move by its id or the first digits, of `VOLUME@NODE`, or of a volume; `move:ID` and
 * `volume:NAME` where one word could be both. Throws ShoalError.
 */
export async function explainDocument(
  context: DaemonContext,
  text: string
): Promise<ExplainDocument> {
  if (text.startsWith('move:')) return moveDetail(context, text.slice(5))
  if (text.startsWith('volume:')) {
    return explainVolume(context, text, resolveVolume(context.map, text.slice(7)))
  }
  const at = text.lastIndexOf('@')
  if (at > 0) {
    const node = resolveNode(context.map.mesh(), text.slice(at + 1))
    return explainVolume(context, text, resolveVolume(context.map, text.slice(0, at)), node)
  }
  const volume = namedVolume(context, text)
  const move = isMovePrefix(text) ? await knownMove(context, text) : undefined
  if (volume !== undefined && move !== undefined) {
    throw new ShoalError(
      { code: 'NAME_AMBIGUOUS', name: text, ids: [volume, move.id] },
      `${text} is a volume and a move: say volume:${text} or move:${text}`
    )
  }
  if (move !== undefined) return move
  if (volume !== undefined) return explainVolume(context, text, volume)
  throw new ShoalError(
    { code: 'NOT_FOUND', what: text },
    `there is no move and no volume ${printable(text)}: \`shoal moves\` and \`shoal volume list\` ` +
      'list them; a shard is VOLUME@NODE'
  )
}

async function explainVolume(
  context: DaemonContext,
  subject: string,
  volume: VolumeId,
  only?: NodeEntry
): Promise<ShardExplainDocument> {
  const statuses = await askNodes(context)
  const described = await describeVolume(context, statuses, volume)
  const mesh = context.map.mesh()
  const held = described.shards.filter(({ chunks = 0 }) => chunks > 0)
  const nodes = held.flatMap(({ node }) => mesh.nodes.get(node) ?? [])
  const shown = only === undefined ? nodes : [only]
  const places = await placesOf(context, volume, described, shown)
  const { receipts, silent } = await gatherReceipts(context, { volume }, TOLD_MOVES)
  const told = receipts.filter(
    ({ source, target }) => only === undefined || source === only.id || target === only.id
  )
  const holder = described.state === 'attached' ? described.node : undefined
  return {
    kind: only === undefined ? 'volume' : 'shard',
    subject,
    volume,
    volumeName: volumeName(mesh, volume),
    zone: zoneOf(context, volume),
    at: context.loadClock.now(),
    createdAt: described.createdAt,
    ...(described.near === undefined ? {} : { near: described.near }),
    ...(holder === undefined ? {} : { holder: named(context, holder) }),
    places: places.places,
    receipts: told.map(receipt => receiptDocument(context, receipt)),
    silent: [...new Set([...silent, ...places.silent])].sort()
  }
}

async function placesOf(
  context: DaemonContext,
  volume: VolumeId,
  described: VolumeDocument,
  nodes: readonly NodeEntry[]
): Promise<{ places: PlaceDocument[]; silent: string[] }> {
  const ask = async (node: NodeId) => ({
    status: await askBalanceStatus(context, node),
    plan: await askPlan(context, node),
    report: await askReport(context.rpc, node)
  })
  const heard = await askAll(context, ask, nodes)
  const places = heard.map(({ node, said }): PlaceDocument => {
    const plan = said && nodePlan(context, node, said.plan)
    const wants = plan?.wants.filter(({ want }) => want.volume === volume) ?? []
    const incurable = plan?.incurable.filter(one => (one.volume ?? volume) === volume) ?? []
    const roundTripMs = roundTripOf(context, described, node.id)
    return {
      node: node.id,
      name: node.name,
      region: node.region,
      chunks: described.shards.find(shard => shard.node === node.id)?.chunks ?? 0,
      ...loadOfShard(said?.report, volume),
      ...(roundTripMs === undefined ? {} : { roundTripMs }),
      ...(said === undefined ? {} : { balance: nodeBalance(context, node, said.status) }),
      wants,
      incurable
    }
  })
  return { places, silent: silentOf(heard) }
}

function loadOfShard(report: LoadReport | undefined, volume: VolumeId) {
  const shard = report?.shards.find(one => one.volume === volume)
  if (shard === undefined) return {}
  const { load, ahead, threshold } = shard.measured
  return { load, ...(ahead && { ahead }), ...(threshold && { threshold }) }
}

/** As this node measures it, if it is the gateway of the volume. */
function roundTripOf(
  { network, self }: DaemonContext,
  { state, node }: VolumeDocument,
  place: NodeId
): number | undefined {
  const isHere = state === 'attached' && node === self.id
  return isHere && place !== self.id ? network.roundTripMs(place) : undefined
}

function named(context: DaemonContext, node: NodeId) {
  const mesh = context.map.mesh()
  return { node, name: nodeName(mesh, node), region: mesh.nodes.get(node)?.region ?? '' }
}

function namedVolume(context: DaemonContext, text: string): VolumeId | undefined {
  try {
    return resolveVolume(context.map, text)
  } catch (error) {
    if (isFault(error, 'NOT_FOUND', 'BAD_INPUT')) return undefined
    throw error
  }
}

async function knownMove(context: DaemonContext, prefix: string) {
  try {
    return await moveDetail(context, prefix)
  } catch (error) {
    if (isFault(error, 'NOT_FOUND')) return undefined
    throw error
  }
}
