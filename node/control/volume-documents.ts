/** Volumes as status, list and show present them: the map's view, and what nodes and shards say. */
import type { MeshView, VolumeView } from '../../crdt/types.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { Reason } from '../../protocols/layout/placement.ts'
import type { Load } from '../../protocols/node-status/messages.ts'
import { MAX_PARALLEL_CALLS, NODE_STATUS_TIMEOUT_MS } from '../limits.ts'
import { heldRanges } from '../moves/held.ts'
import { countChunks } from '../moves/ranges.ts'
import type { Statuses } from '../volumes/candidates.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import type { Created } from '../volumes/create.ts'
import { declaredIn } from '../volumes/patterns.ts'
import { callShards, nodeName, type ShardReply, shardNodes } from '../volumes/shards.ts'
import type { DaemonContext } from './context.ts'
import type {
  CreatedDocument,
  PlaceDocument,
  ShardDocument,
  VolumeDocument,
  VolumeSummary
} from './documents.ts'
import { patternDocument } from './pattern-routes.ts'
import { addLoads } from './rates.ts'

export function createdDocument(mesh: MeshView, created: Created): CreatedDocument {
  const { id, name, sizeBytes, columns, stripeUnitBytes, warnings } = created
  const places = (reasons: readonly Reason[]) => reasons.map(reason => placeOf(mesh, reason))
  const [nodes, passedOver] = [places(created.chosen), places(created.passedOver)]
  return { id, name, sizeBytes, columns, stripeUnitBytes, nodes, passedOver, warnings }
}

function placeOf(mesh: MeshView, reason: Reason): PlaceDocument {
  const { node, distanceMs, availableBytes, quiet } = reason
  return {
    id: node,
    name: nodeName(mesh, node),
    region: mesh.nodes.get(node)?.region ?? '',
    ...(distanceMs === undefined ? {} : { distanceMs }),
    availableBytes,
    ...(quiet === undefined ? {} : { forecast: quiet })
  }
}

export async function summarizeVolumes(
  context: DaemonContext,
  statuses: Statuses
): Promise<VolumeSummary[]> {
  const ids = [...context.map.mesh().volumes.keys()]
  const summaries = await mapConcurrently(ids, MAX_PARALLEL_CALLS, async id =>
    summarize(context, statuses, id, await viewOf(context, id))
  )
  return summaries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

/** The view that is here, or that a member sends in time. */
export async function viewOf(
  context: DaemonContext,
  id: VolumeId
): Promise<VolumeView | undefined> {
  const here = context.map.volume(id)
  if (here !== undefined) return here
  try {
    return await context.map.fetchVolume(id, { timeoutMs: NODE_STATUS_TIMEOUT_MS })
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

function summarize(
  context: DaemonContext,
  statuses: Statuses,
  id: VolumeId,
  view: VolumeView | undefined
): VolumeSummary {
  const mesh = context.map.mesh()
  const shards = [...statuses.values()].flatMap(status =>
    status.shards.filter(shard => shard.volume === id)
  )
  const missing = view === undefined ? [] : shardNodes(view).filter(node => !statuses.has(node))
  return {
    id,
    name: mesh.volumes.get(id)?.name ?? id,
    ...whereAttached(context, statuses, id, view),
    ...(view === undefined
      ? {}
      : {
          sizeBytes: view.sizeBytes,
          columns: view.spec.columns,
          stripeUnitBytes: view.spec.stripeUnitBytes
        }),
    allocatedBytes: shards.reduce((sum, shard) => sum + shard.allocatedBytes, 0),
    load: addLoads(shards.map((shard): Load => shard.load)),
    missingNodes: missing.map(node => nodeName(mesh, node))
  }
}

type Where = Pick<VolumeSummary, 'state' | 'host' | 'node' | 'since'>

function whereAttached(
  context: DaemonContext,
  statuses: Statuses,
  id: VolumeId,
  view: VolumeView | undefined
): Where {
  const hostOf = (node: NodeId) => context.map.mesh().nodes.get(node)?.host ?? node
  for (const status of statuses.values()) {
    const found = status.attachments.find(a => a.volume === id && a.state === 'serving')
    if (found === undefined) continue
    return { state: 'attached', host: hostOf(status.id), node: status.id, since: found.since }
  }
  const holder = view?.holder
  if (holder === undefined || statuses.has(holder.node)) {
    return { state: view === undefined ? 'unknown' : 'free' }
  }
  const { node, since } = holder
  return { state: 'unknown', host: hostOf(node), node, since }
}

export async function describeVolume(
  context: DaemonContext,
  statuses: Statuses,
  id: VolumeId
): Promise<VolumeDocument> {
  const view = await context.map.fetchVolume(id)
  const replies = await callShards(
    context,
    nodesToShow(statuses, view),
    () => ({ call: 'query', volume: id }),
    NODE_STATUS_TIMEOUT_MS
  )
  const summary = summarize(context, statuses, id, view)
  const { zone, patterns } = declaredIn(view)
  const point = context.exports.point(id)
  return {
    ...summary,
    createdAt: context.map.mesh().volumes.get(id)?.createdAt ?? 0,
    extentBytes: view.spec.extentBytes,
    copies: view.spec.copies,
    generation: view.spec.generation,
    ...(view.expectedIops === undefined ? {} : { expectedIops: view.expectedIops }),
    ...(view.near === undefined ? {} : { near: view.near }),
    zone,
    policy: view.policy,
    patterns: patterns.map(pattern => patternDocument(zone, pattern)),
    shards: replies
      .map(reply => describeShard(context, view, reply))
      .filter(shard => shard.state !== 'held' || (shard.chunks ?? 0) + (shard.receiving ?? 0) > 0),
    ...(point === undefined
      ? {}
      : { export: { ...point, connections: context.exports.connections(id) } })
  }
}

/** Those that the map names, and those that say themselves that they keep something of it. */
function nodesToShow(statuses: Statuses, view: VolumeView): NodeId[] {
  const telling = [...statuses.values()]
    .filter(status => status.shards.some(shard => shard.volume === view.spec.id))
    .map(status => status.id)
  return [...new Set([...shardNodes(view), ...telling])]
}

function describeShard(context: DaemonContext, view: VolumeView, reply: ShardReply): ShardDocument {
  const mesh = context.map.mesh()
  const { node } = reply
  const place = {
    node,
    name: nodeName(mesh, node),
    region: mesh.nodes.get(node)?.region ?? '',
    columns: columnsOf(view, node)
  }
  if ('error' in reply) return { ...place, state: 'unreachable', why: messageOf(reply.error) }
  const { answer } = reply
  if (answer.is !== 'state') {
    const state = answer.is === 'removed' ? 'removed' : 'absent'
    return { ...place, state, ...(answer.is === 'failed' ? { why: answer.why } : {}) }
  }
  const { state } = answer
  const ranges = heldRanges(state)
  return {
    ...place,
    columns: [...new Set(state.runs.map(run => run.column))].sort((a, b) => a - b),
    state: 'held',
    chunks: countChunks(ranges),
    ranges,
    receiving: state.receiving.length,
    allocatedBytes: state.allocatedBytes,
    token: state.token,
    incarnation: state.incarnation,
    ...(state.holder === undefined ? {} : { holderHost: state.holder.host }),
    ...(state.holderSilentMs === undefined ? {} : { holderSilentMs: state.holderSilentMs })
  }
}

function columnsOf(view: VolumeView, node: NodeId): number[] {
  const columns = view.layout.flatMap(run =>
    run.nodes.flatMap((replicas, column) => (replicas.includes(node) ? [column] : []))
  )
  return [...new Set(columns)].sort((a, b) => a - b)
}
