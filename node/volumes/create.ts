/**
 * Creates a volume: shards first, durably, then the announcement.
 *
 *   choose nodes -> `create` on each, under the first token -> announce in the map -> spread
 *                       \_ one fails: `remove` on each, under the same token
 *
 * Invariants: a volume is announced only after every shard durably holds its runs; a shard that a
 * failed creation may have left behind is removed, or put under a tombstone that removes it when
 * its node is back; the answer waits, within a bound, until another node of the volume has its
 * document: this one may be gone a moment later.
 */
import { patternOf } from '../../crdt/pattern-records.ts'
import type { DeclaredPattern } from '../../crdt/types.ts'
import { assert } from '../../protocols/assert.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type {
  NodeId,
  PlacementEpoch,
  Run,
  Token,
  VolumeId,
  VolumeSpec
} from '../../protocols/ids.ts'
import { type Layout, layoutFor } from '../../protocols/layout/layout.ts'
import {
  choosePlacement,
  hasRoom,
  type Reason,
  reasonsFor
} from '../../protocols/layout/placement.ts'
import type { Demand } from '../../protocols/layout/quiet.ts'
import { checkVolumeSize, formatSize } from '../../protocols/layout/sizes.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import { CREATE_SPREAD_TIMEOUT_MS } from '../limits.ts'
import { foretell } from './ahead.ts'
import { askNodes, candidatesFrom, resolveNear } from './candidates.ts'
import { checkName, checkNameFree } from './names.ts'
import { checkPattern } from './patterns.ts'
import { policyOfNew } from './policy.ts'
import { callShards, nodeName, refusal, type ShardReply } from './shards.ts'
import { newNonce, newVolumeId, type VolumeParts } from './types.ts'
import { checkZone, hostZone } from './zones.ts'

export interface CreateWish {
  readonly name: string
  readonly sizeBytes: number
  readonly expectedIops?: number | undefined
  readonly near?: string | undefined
  readonly stripeUnitBytes?: number | undefined
  readonly shards?: number | undefined
  /** Of its patterns and forecasts; absent: that of this host. */
  readonly zone?: string | undefined
  /** Requests per second that it may have at most. */
  readonly maxIops?: number | undefined
  /** Load that is known in advance; declared once the volume is there. */
  readonly patterns?: readonly DeclaredPattern[] | undefined
}

export interface Created {
  readonly id: VolumeId
  readonly name: string
  readonly sizeBytes: number
  readonly columns: number
  readonly stripeUnitBytes: number
  readonly nodes: readonly NodeId[]
  /** Of each node, in their order; and of those that its forecast spoke against. */
  readonly chosen: readonly Reason[]
  readonly passedOver: readonly Reason[]
  /** What the operator should know, in words. */
  readonly warnings: readonly string[]
}

/** Throws BAD_INPUT, NAME_TAKEN, TOO_FEW_NODES, NO_CAPACITY, UNKNOWN_REGION, UNREACHABLE ... */
export async function createVolume(parts: VolumeParts, wish: CreateWish): Promise<Created> {
  const mesh = parts.map.mesh()
  checkName('volume', wish.name)
  checkNameFree(mesh, wish.name)
  checkVolumeSize(wish.sizeBytes)
  const { zone = hostZone() } = wish
  checkZone(zone)
  const policy = policyOfNew(wish.maxIops)
  const patterns = (wish.patterns ?? []).map(checkPattern)
  const { layout, nodes, freeBytes, reasons } = await chooseNodes(parts, wish, {
    expectedIops: expectedOf(wish),
    patterns: patterns.map(patternOf),
    zone
  })
  const spec = { id: newVolumeId(parts.random), ...layout, copies: 1, generation: 0 }
  const token = { counter: 1, attach: newNonce(parts.random) }
  const epoch = { token, counter: 0 }
  await createShards(parts, { spec, sizeBytes: wish.sizeBytes, nodes, token, epoch })
  parts.map.announceVolume({
    spec,
    name: wish.name,
    sizeBytes: wish.sizeBytes,
    nodes: nodes.map(node => [node]),
    epoch,
    expectedIops: wish.expectedIops,
    near: wish.near,
    zone,
    policy
  })
  for (const pattern of patterns) parts.map.announcePattern(spec.id, pattern)
  await parts.map.flush()
  parts.log.info({ volume: spec.id, name: wish.name, nodes }, 'volume created')
  const isSpread = await isKnownBeyondUs(parts, spec.id, nodes)
  return {
    id: spec.id,
    name: wish.name,
    sizeBytes: wish.sizeBytes,
    columns: layout.columns,
    stripeUnitBytes: layout.stripeUnitBytes,
    nodes,
    ...reasons,
    warnings: [
      ...(freeBytes >= wish.sizeBytes ? [] : [thinWarning(wish.sizeBytes, freeBytes)]),
      ...(isSpread ? [] : [SPREAD_WARNING])
    ]
  }
}

/** No more than it may have. */
function expectedOf({ expectedIops, maxIops }: CreateWish): number | undefined {
  return expectedIops === undefined || maxIops === undefined
    ? expectedIops
    : Math.min(expectedIops, maxIops)
}

interface Chosen {
  readonly layout: Layout
  /** One for each column. */
  readonly nodes: readonly NodeId[]
  /** Of them together. */
  readonly freeBytes: number
  readonly reasons: Pick<Created, 'chosen' | 'passedOver'>
}

async function chooseNodes(parts: VolumeParts, wish: CreateWish, demand: Demand): Promise<Chosen> {
  const near = resolveNear(parts.map.mesh(), parts.network.self, wish.near)
  const statuses = await askNodes(parts)
  const room = candidatesFrom(parts, statuses, near).filter(hasRoom)
  const { sizeBytes, expectedIops, shards, stripeUnitBytes } = wish
  const nodesAvailable = room.length
  const layout = layoutFor({ sizeBytes, expectedIops, nodesAvailable, shards, stripeUnitBytes })
  const place = { columns: layout.columns, nearRegion: near.region }
  const known = await foretell(parts, statuses, room, { ...place, demand })
  const nodes = choosePlacement(known, place)
  const freeBytes = room
    .filter(candidate => nodes.includes(candidate.node))
    .reduce((sum, candidate) => sum + candidate.availableBytes, 0)
  return { layout, nodes, freeBytes, reasons: reasonsFor(known, nodes, place) }
}

const SPREAD_WARNING =
  'no other node has confirmed yet that it knows the volume: keep this node up for a moment'

async function isKnownBeyondUs(
  parts: VolumeParts,
  id: VolumeId,
  nodes: readonly NodeId[]
): Promise<boolean> {
  const others = nodes.filter(node => node !== parts.network.self)
  // Where all of the volume is here, it is of no use without us anyway.
  if (others.length === 0) return true
  return parts.map.spread(id, others, { timeoutMs: CREATE_SPREAD_TIMEOUT_MS })
}

interface NewShards {
  readonly spec: VolumeSpec
  readonly sizeBytes: number
  readonly nodes: readonly NodeId[]
  readonly token: Token
  readonly epoch: PlacementEpoch
}

async function createShards(parts: VolumeParts, shards: NewShards): Promise<void> {
  const { spec, sizeBytes, nodes, token } = shards
  const replies = await callShards(parts, nodes, node => ({
    call: 'create',
    token,
    spec,
    sizeBytes,
    runs: runsOf(shards, node)
  }))
  const failed = replies.find(reply => !('answer' in reply) || reply.answer.is !== 'state')
  if (failed === undefined) return
  await undo(parts, shards, replies)
  throw failureOf(parts, failed)
}

function runsOf({ spec, sizeBytes, nodes, epoch }: NewShards, node: NodeId): Run[] {
  const column = nodes.indexOf(node)
  assert(column >= 0, 'a shard is created on a chosen node')
  const to = extentCount(spec, sizeBytes)
  return [{ from: 0, to, generation: spec.generation, column, replica: 0, epoch }]
}

/** A node that did not answer may have created its shard: it is asked to remove it too. */
async function undo(
  parts: VolumeParts,
  { spec, token }: NewShards,
  replies: readonly ShardReply[]
): Promise<void> {
  const maybe = replies.filter(reply => !('answer' in reply) || reply.answer.is === 'state')
  const removals = await callShards(
    parts,
    maybe.map(reply => reply.node),
    () => ({ call: 'remove', volume: spec.id, token })
  )
  const isGone = (reply: ShardReply) =>
    'answer' in reply && ['done', 'absent', 'removed'].includes(reply.answer.is)
  if (removals.every(isGone)) return
  parts.map.announceDelete({ id: spec.id, token, at: parts.clock.now() })
  await parts.map.flush()
  const nodes = removals.filter(reply => !isGone(reply)).map(reply => reply.node)
  parts.log.warn({ volume: spec.id, nodes }, 'a failed creation is cleaned up when nodes return')
}

function failureOf(parts: VolumeParts, reply: ShardReply): ShoalError {
  const mesh = parts.map.mesh()
  if ('answer' in reply) return refusal(mesh, reply.node, reply.answer)
  const name = nodeName(mesh, reply.node)
  return new ShoalError(
    { code: 'UNREACHABLE', peer: reply.node },
    `node ${name} did not create its shard (${messageOf(reply.error)}); nothing was created`,
    { cause: reply.error }
  )
}

function thinWarning(sizeBytes: number, freeBytes: number): string {
  return (
    `the volume is thin: its nodes have ${formatSize(freeBytes)} free for ` +
    `${formatSize(sizeBytes)}, and writes fail with "no space" when that is used up`
  )
}
