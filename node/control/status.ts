/** The status of the mesh as this node sees it: problems first, in words. */
import type { NodeEntry } from '../../crdt/types.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import { shareOfTime } from '../../protocols/load/capacity.ts'
import { capacityWithin, shareWithin } from '../../protocols/load/limit.ts'
import type { NodeStatus } from '../../protocols/node-status/messages.ts'
import { rateOf } from '../scaled-clock.ts'
import { askNodes, liveNodes, type Statuses } from '../volumes/candidates.ts'
import type { DaemonContext } from './context.ts'
import type { NodeDocument, SelfDocument, StatusDocument, VolumeSummary } from './documents.ts'
import { addLoads } from './rates.ts'
import { summarizeVolumes } from './volume-documents.ts'

/** A node with less of its capacity left is named among the problems. */
const NEARLY_FULL_SHARE = 0.05

export async function meshStatus(context: DaemonContext): Promise<StatusDocument> {
  const statuses = await askNodes(context)
  const volumes = await summarizeVolumes(context, statuses)
  const nodes = liveNodes(context.map.mesh())
  const stores = [...statuses.values()].flatMap(status => status.store ?? [])
  const sum = (pick: (store: (typeof stores)[number]) => number) =>
    stores.reduce((total, store) => total + pick(store), 0)
  const { documents, bytes, lastSyncAgoMs } = context.map.stats()
  return {
    mesh: context.self.mesh,
    problems: problemsOf(context, { statuses, volumes, nodes }),
    self: describeSelf(context),
    capacityBytes: sum(store => store.capacityBytes),
    usedBytes: sum(store => store.usedBytes),
    availableBytes: sum(store => store.availableBytes),
    load: addLoads([...statuses.values()].map(status => status.load)),
    nodes: nodes.map(node => describeNode(context, statuses, node)).sort(byRegionAndName),
    volumes,
    map: { documents, bytes, ...(lastSyncAgoMs === undefined ? {} : { lastSyncAgoMs }) }
  }
}

export function describeSelf(context: DaemonContext): SelfDocument {
  const { self } = context
  const { role, expiresAt } = context.members.certificate()
  const loadRate = rateOf(context.loadClock)
  return {
    id: self.id,
    name: self.name,
    region: self.region,
    host: self.host,
    role,
    mesh: self.mesh,
    dir: self.dir,
    version: self.version,
    pid: process.pid,
    startedAt: self.startedAt,
    addresses: self.addresses(),
    certificateExpiresAt: expiresAt,
    ...(loadRate === 1 ? {} : { loadRate })
  }
}

function byRegionAndName(a: NodeDocument, b: NodeDocument): number {
  if (a.region !== b.region) return a.region < b.region ? -1 : 1
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}

function describeNode(context: DaemonContext, statuses: Statuses, node: NodeEntry): NodeDocument {
  const isSelf = node.id === context.self.id
  const status = statuses.get(node.id)
  const connected = isSelf || context.network.peers().includes(node.id)
  const lastSeenAt = connected ? undefined : context.lastSeen(node.id)
  const roundTripMs = isSelf ? undefined : context.network.roundTripMs(node.id)
  const sample = isSelf ? undefined : context.load.gossip.known(node.id)
  return {
    id: node.id,
    name: node.name,
    region: node.region,
    host: node.host,
    role: node.role,
    version: node.version,
    isSelf,
    connected,
    ...(lastSeenAt === undefined ? {} : { lastSeenAt }),
    ...(roundTripMs === undefined ? {} : { roundTripMs }),
    ...(sample === undefined ? {} : { sampleAgeMs: Math.round(sample.ageMs) }),
    incarnation: status?.store?.incarnation ?? node.incarnation,
    capacityBytes: status?.store?.capacityBytes ?? node.capacityBytes,
    ...(status === undefined
      ? {}
      : {
          usedBytes: status.store?.usedBytes ?? 0,
          availableBytes: status.store?.availableBytes ?? 0,
          shardCount: status.shardCount,
          chunkCount: status.shards.reduce((sum, shard) => sum + shard.chunks, 0),
          ...(status.draining === undefined ? {} : { draining: status.draining }),
          uptimeMs: status.uptimeMs,
          load: status.load,
          ...capacityOf(status)
        })
  }
}

/** What the node can do, and what part of its time the present load takes. */
function capacityOf({
  calibration,
  maxLoad,
  load
}: NodeStatus): Pick<NodeDocument, 'capacity' | 'share' | 'maxLoad'> {
  const capacity = capacityWithin(calibration?.capacity, maxLoad)
  const rates = {
    reads: load.readIops,
    writes: load.writeIops,
    readBytes: load.readBytesPerSecond,
    writtenBytes: load.writtenBytesPerSecond
  }
  const ofTime = calibration && shareOfTime(calibration.costs, rates)
  const share = shareWithin(ofTime, rates, maxLoad)
  if (capacity === undefined || share === undefined) return {}
  return { capacity, share, ...(maxLoad === undefined ? {} : { maxLoad }) }
}

interface Seen {
  readonly statuses: Statuses
  readonly volumes: readonly VolumeSummary[]
  readonly nodes: readonly NodeEntry[]
}

function problemsOf(context: DaemonContext, seen: Seen): string[] {
  return [
    ...ownProblems(context, seen),
    ...seen.volumes.flatMap(volumeProblems),
    ...ambiguousNames(context),
    ...seen.nodes.flatMap(node => nodeProblems(context, seen.statuses, node)),
    ...[...context.map.stats().badUpdates].map(
      ([peer, count]) => `${count} bad updates of the map came from ${peer} and were dropped`
    )
  ]
}

/** Those of this node stand first, without its name. */
function ownProblems(context: DaemonContext, seen: Seen): readonly string[] {
  return seen.statuses.get(context.self.id)?.problems ?? context.problems()
}

function volumeProblems(volume: VolumeSummary): string[] {
  if (volume.missingNodes.length === 0) return []
  const nodes = volume.missingNodes.join(', ')
  return [`volume ${volume.name} cannot be fully read or written: no answer from ${nodes}`]
}

function ambiguousNames(context: DaemonContext): string[] {
  return [...context.map.mesh().ambiguousNames].map(
    ([name, ids]) =>
      `${ids.length} volumes are named ${name} (${ids.join(', ')}): rename all but one by id ` +
      'with `shoal volume rename`'
  )
}

function nodeProblems(context: DaemonContext, statuses: Statuses, node: NodeEntry): string[] {
  if (node.id === context.self.id) return storeProblems(node, statuses)
  const status = statuses.get(node.id)
  if (status === undefined) return [silentNode(context, node)]
  const own = status.problems.map(problem => `node ${node.name}: ${problem}`)
  return [...own, ...storeProblems(node, statuses)]
}

function silentNode(context: DaemonContext, node: NodeEntry): string {
  if (context.network.peers().includes(node.id)) {
    return `node ${node.name} (${node.region}) is connected and does not answer`
  }
  const seenAt = context.lastSeen(node.id)
  const seen =
    seenAt === undefined
      ? 'not seen since this daemon started'
      : `last seen ${ago(context.clock.now() - seenAt)} ago`
  return `node ${node.name} (${node.region}) is not connected, ${seen}`
}

function storeProblems(node: NodeEntry, statuses: Statuses): string[] {
  const store = statuses.get(node.id)?.store
  if (store === undefined) return []
  if (store.failure !== undefined) {
    return [`the store of node ${node.name} stopped: ${store.failure}; restart that daemon`]
  }
  if (store.availableBytes >= store.capacityBytes * NEARLY_FULL_SHARE) return []
  return [`node ${node.name} is nearly full: ${formatSize(store.availableBytes)} left`]
}

export function ago(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`
}
