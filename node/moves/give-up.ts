/**
 * Giving a node up for good: what exists only there, and what becomes of the handoffs in which it
 * took part (design.md section 5; rule 9 of protocols/handoff/PROTOCOL.md).
 *
 *   source gone, target prepared   the holder grants the target a new epoch (or a mover does)
 *   source gone, copy incomplete   the chunk is lost with the source; the copy is dropped by itself
 *   target gone, released to it    the source takes the bytes back by itself once it is revoked
 *   holder gone                    the next attach, or a mover, takes a greater token
 *
 * Invariants: nothing is settled before the node is revoked (the caller sees to that); no copy that
 * may lack an acknowledged change is granted without the operator's `acceptLoss`: the holder
 * decides that, not this file; all of it may be done again.
 */
import { chunksByNode, holderOf } from '../../crdt/holders.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import {
  type ApprovalAnswer,
  type ApprovalRequest,
  approvalAnswerSchema,
  HANDOFF_APPROVAL_PROTOCOL
} from '../../protocols/handoff/calls.ts'
import type { ChunkKey, HandoffId, NodeId, VolumeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import type { ShardState } from '../../protocols/shard-control/messages.ts'
import { columnBytes } from '../../protocols/stripe/map.ts'
import { MAX_PARALLEL_CALLS, NODE_STATUS_TIMEOUT_MS } from '../limits.ts'
import { askNodes, type Statuses } from '../volumes/candidates.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import { callShards, shardNodes, statesOf } from '../volumes/shards.ts'
import type { VolumeParts } from '../volumes/types.ts'

export type GrantRequest = Extract<ApprovalRequest, { call: 'grant' }>

/** The part that needs the drivers of handoffs. */
export interface GiveUpSettlers {
  /** Where no gateway has the volume: takes the token as a mover, and grants. */
  readonly grantAsMover: (request: GrantRequest) => Promise<ApprovalAnswer>
}

type Asker = Pick<VolumeParts, 'rpc' | 'network' | 'map'>

/** A handoff that has not come to its end, and in which the node takes part. */
export interface OpenHandoff {
  readonly is: 'prepared' | 'copying' | 'released'
  readonly handoff: HandoffId
  readonly chunk: ChunkKey
  readonly source: NodeId
  readonly target: NodeId
  /** Who has the volume, as the shards that answered say. */
  readonly holder: NodeId | undefined
}

export interface VolumeLoss {
  readonly volume: VolumeId
  /** Chunks of which no other copy is known, and what they may hold at most. */
  readonly chunks: number
  readonly mostBytes: number
}

export interface GiveUpPlan {
  readonly losses: readonly VolumeLoss[]
  readonly handoffs: readonly OpenHandoff[]
  /** Volumes whose document cannot be read now: they may be concerned too. */
  readonly unknown: readonly VolumeId[]
  /** Volumes that the node's gateway has attached. */
  readonly attached: readonly VolumeId[]
  /** Nodes with shards of the volumes concerned that did not answer. */
  readonly silent: readonly NodeId[]
}

/** What giving `node` up would mean. Changes nothing. */
export async function explainGiveUp(parts: Asker, node: NodeId): Promise<GiveUpPlan> {
  const statuses = await askNodes(parts)
  const ids = [...parts.map.mesh().volumes.keys()]
  const found = await mapConcurrently(ids, MAX_PARALLEL_CALLS, id =>
    explainVolume(parts, statuses, node, id)
  )
  return {
    losses: found.flatMap(one => one.loss ?? []),
    handoffs: found.flatMap(one => one.handoffs),
    unknown: found.flatMap(one => (one.isUnknown ? [one.volume] : [])),
    attached: found.flatMap(one => (one.isAttached ? [one.volume] : [])),
    silent: [...new Set(found.flatMap(one => one.silent))]
  }
}

interface VolumePlan {
  readonly volume: VolumeId
  readonly loss: VolumeLoss | undefined
  readonly handoffs: readonly OpenHandoff[]
  readonly isUnknown: boolean
  readonly isAttached: boolean
  readonly silent: readonly NodeId[]
}

async function explainVolume(
  parts: Asker,
  statuses: Statuses,
  node: NodeId,
  volume: VolumeId
): Promise<VolumePlan> {
  const none = { volume, loss: undefined, handoffs: [], isAttached: false, silent: [] }
  const view = await viewOf(parts, volume)
  if (view === undefined) return { ...none, isUnknown: true }
  const asked = nodesToAsk(statuses, volume, shardNodes(view)).filter(other => other !== node)
  const replies = await callShards(
    parts,
    asked,
    () => ({ call: 'query', volume }),
    NODE_STATUS_TIMEOUT_MS
  )
  const states = statesOf(replies)
  const handoffs: OpenHandoff[] = []
  const holder = holderIn([...states.values()])
  for (const [here, state] of states) {
    for (const { run, from, handoff, isPrepared } of state.receiving) {
      if (from !== node) continue
      const is = isPrepared ? 'prepared' : 'copying'
      const chunk = chunkOf(volume, run)
      handoffs.push({ is, handoff, chunk, source: node, target: here, holder })
    }
    for (const { run, to, handoff } of state.released) {
      if (to !== node || handoff === undefined) continue
      const chunk = chunkOf(volume, run)
      handoffs.push({ is: 'released', handoff, chunk, source: here, target: node, holder })
    }
  }
  const saved = handoffs.filter(
    ({ is, chunk }) => is !== 'copying' && holderOf(view, chunk) === node
  ).length
  const chunks = Math.max(0, (chunksByNode(view).get(node) ?? 0) - saved)
  const mostBytes = chunks * columnBytes(view.spec, 0)
  return {
    volume,
    loss: chunks === 0 ? undefined : { volume, chunks, mostBytes },
    handoffs,
    isUnknown: false,
    isAttached: holder === node,
    silent: replies.flatMap(reply => ('error' in reply ? [reply.node] : []))
  }
}

/** As those say that know the greatest token. */
function holderIn(states: readonly ShardState[]): NodeId | undefined {
  let greatest: ShardState | undefined
  for (const state of states) {
    if (greatest === undefined || compareTokens(state.token, greatest.token) > 0) greatest = state
  }
  const { token } = greatest ?? {}
  if (token === undefined) return undefined
  const knowing = states.filter(state => compareTokens(state.token, token) === 0)
  return knowing.find(state => state.holder !== undefined)?.holder?.node
}

/** A target that has not got its first chunk yet is named by nobody but itself. */
function nodesToAsk(
  statuses: Statuses,
  volume: VolumeId,
  named: readonly NodeId[]
): readonly NodeId[] {
  const telling = [...statuses.values()]
    .filter(status => status.shards.some(shard => shard.volume === volume))
    .map(status => status.id)
  return [...new Set([...named, ...telling])]
}

function chunkOf(volume: VolumeId, run: Omit<ChunkKey, 'volume' | 'extent'> & { from: number }) {
  const { generation, column, replica, from } = run
  return { volume, extent: from, generation, column, replica }
}

async function viewOf({ map }: Asker, volume: VolumeId) {
  try {
    return (
      map.volume(volume) ?? (await map.fetchVolume(volume, { timeoutMs: NODE_STATUS_TIMEOUT_MS }))
    )
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

export interface Settled extends OpenHandoff {
  /** granted: the target holds the chunk now. by-itself: its nodes settle it. refused: see `why`. */
  readonly outcome: 'granted' | 'by-itself' | 'refused'
  readonly why: string
}

/** Settles what the plan found. The node has been revoked. Never rejects. */
export function settleGivenUp(
  parts: Asker,
  settlers: GiveUpSettlers | undefined,
  plan: Pick<GiveUpPlan, 'handoffs'>,
  options: { readonly node: NodeId; readonly acceptLoss: boolean }
): Promise<Settled[]> {
  return mapConcurrently(plan.handoffs, MAX_PARALLEL_CALLS, async one => {
    if (one.is === 'copying') {
      const why = 'the copy was not complete: it is dropped, and the chunk is lost with its source'
      return { ...one, outcome: 'by-itself', why }
    }
    if (one.is === 'released') {
      const why = 'the source still has the bytes: it takes the chunk back'
      return { ...one, outcome: 'by-itself', why }
    }
    return { ...one, ...(await grant(parts, settlers, one, options)) }
  })
}

async function grant(
  parts: Asker,
  settlers: GiveUpSettlers | undefined,
  { handoff, chunk, source, target, holder }: OpenHandoff,
  { node, acceptLoss }: { node: NodeId; acceptLoss: boolean }
): Promise<Pick<Settled, 'outcome' | 'why'>> {
  const request: GrantRequest = { call: 'grant', handoff, chunk, source, target, acceptLoss }
  const isGone = holder === undefined || holder === node
  try {
    const asked = isGone ? undefined : await askHolder(parts, holder, request)
    const needsMover = asked === undefined || asked.is === 'not-holder'
    const answer = needsMover ? await settlers?.grantAsMover(request) : asked
    if (answer?.is === 'granted') return { outcome: 'granted', why: 'its prepared copy is used' }
    if (answer?.is === 'refused') return { outcome: 'refused', why: answer.why }
    return { outcome: 'refused', why: 'nobody has the volume: attach it, and give up again' }
  } catch (error) {
    return { outcome: 'refused', why: messageOf(error) }
  }
}

function askHolder({ rpc }: Asker, holder: NodeId, request: GrantRequest): Promise<ApprovalAnswer> {
  return rpc.call(holder, HANDOFF_APPROVAL_PROTOCOL, request, approvalAnswerSchema)
}
