/** The load of the mesh as `shoal top` shows it: every node is asked, and gossip stands in. */
import type { NodeEntry } from '../../crdt/types.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { LoadReport } from '../../protocols/load/messages.ts'
import { IDLE, loadOf, together } from '../../protocols/load/record.ts'
import { MAX_PARALLEL_CALLS } from '../limits.ts'
import { askReport } from '../load/ask.ts'
import { liveNodes } from '../volumes/candidates.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import { volumeName } from '../volumes/names.ts'
import type { DaemonContext } from './context.ts'
import type {
  AheadDocument,
  LoadDocument,
  LoadKeepingDocument,
  NodeLoadDocument,
  ShardLoadDocument,
  TopDocument,
  VolumeLoadDocument
} from './load-documents.ts'

type Measured = LoadReport['node']

interface Reported {
  readonly node: NodeEntry
  readonly report: LoadReport | undefined
}

/** `most`: of each table only so many, those of the greatest load. */
export async function topDocument(
  context: DaemonContext,
  most = Number.POSITIVE_INFINITY
): Promise<TopDocument> {
  const reported = await reportsOf(context)
  const shards = reported.flatMap(({ node, report }) =>
    (report?.shards ?? []).map(({ volume, share, measured }) => ({
      volume,
      document: {
        volume: volumeName(context.map.mesh(), volume),
        node: node.name,
        ...measuredDocument(measured),
        ...(share === undefined ? {} : { share })
      }
    }))
  )
  const nodes = busiest(
    reported.map(one => nodeDocument(context, one)),
    most
  )
  const volumes = busiest(volumesOf(context, shards), most)
  const listed = busiest(
    shards.map(({ document }) => document),
    most
  )
  const leftOut = {
    nodes: reported.length - nodes.length,
    volumes: context.map.mesh().volumes.size - volumes.length,
    shards: shards.length - listed.length
  }
  return {
    at: context.loadClock.now(),
    nodes,
    volumes,
    shards: listed,
    ...(leftOut.nodes + leftOut.volumes + leftOut.shards === 0 ? {} : { leftOut }),
    silent: reported.flatMap(({ node, report }) => (report === undefined ? [node.name] : []))
  }
}

export function loadKeepingDocument({ load }: DaemonContext): LoadKeepingDocument {
  const state = load.state()
  return {
    pieces: load.pieceTimes(),
    ...(state === undefined ? {} : { warming: state.warming, seriesBytes: state.bytes }),
    ...(state?.trained === undefined ? {} : { trainedAt: state.trained.atMs })
  }
}

function busiest<T extends { readonly load: number }>(rows: readonly T[], most: number): T[] {
  return [...rows].sort((a, b) => b.load - a.load).slice(0, most)
}

async function reportsOf(context: DaemonContext): Promise<Reported[]> {
  const connected = new Set<NodeId>([context.network.self, ...context.network.peers()])
  return mapConcurrently(liveNodes(context.map.mesh()), MAX_PARALLEL_CALLS, async node => {
    const report = connected.has(node.id) ? await askReport(context.rpc, node.id) : undefined
    return { node, report }
  })
}

function nodeDocument(context: DaemonContext, { node, report }: Reported): NodeLoadDocument {
  const place = {
    node: node.name,
    region: node.region,
    isSelf: node.id === context.self.id
  }
  if (report !== undefined) {
    const { capacity, share, warming } = report
    return {
      ...place,
      ...measuredDocument(report.node),
      ...(capacity === undefined ? {} : { capacity }),
      ...(share === undefined ? {} : { share }),
      ...(warming === undefined ? {} : { warming }),
      ageMs: 0,
      from: 'answer'
    }
  }
  return { ...place, ...gossiped(context, node.id) }
}

/** What the node said of itself before it fell silent. */
function gossiped(
  context: DaemonContext,
  node: NodeId
): LoadDocument & Pick<NodeLoadDocument, 'capacity' | 'ageMs' | 'from'> {
  const known = context.load.gossip.known(node)
  if (known === undefined) return { ...IDLE, load: 0, ageMs: 0, from: 'nothing' }
  const { load, capacity, ageMs } = known
  // A summary says no more than a high quantile: too little for a row of its own.
  const forecast = known.sample?.forecast
  return {
    ...IDLE,
    load,
    ...(capacity > 0 ? { capacity } : {}),
    ...(forecast === undefined
      ? {}
      : {
          ahead: [
            { minutes: 15, ...forecast.in15 },
            { minutes: 60, ...forecast.in60 }
          ],
          chance: forecast.chance
        }),
    ageMs,
    from: 'gossip'
  }
}

function measuredDocument(measured: Measured): LoadDocument {
  const { ahead, chance, threshold, ...now } = measured
  return {
    ...now,
    ...(ahead === undefined ? {} : { ahead }),
    ...(chance === undefined ? {} : { chance }),
    ...(threshold === undefined ? {} : { threshold })
  }
}

/**
 * A volume is the sum of its shards. What is expected of it is the sum of what is expected of them;
 * so are its high quantiles, which is too high wherever their peaks do not meet: for the true band,
 * `shoal forecast VOLUME` looks at the sum of their histories.
 */
function volumesOf(
  context: DaemonContext,
  shards: ReadonlyArray<{ readonly volume: VolumeId; readonly document: ShardLoadDocument }>
): VolumeLoadDocument[] {
  const { volumes } = context.map.mesh()
  const byVolume = new Map<VolumeId, ShardLoadDocument[]>()
  for (const { volume, document } of shards) {
    byVolume.set(volume, [...(byVolume.get(volume) ?? []), document])
  }
  return [...volumes.values()].map(({ id, name }): VolumeLoadDocument => {
    const own = byVolume.get(id) ?? []
    const record = together(own)
    const ahead = sumAhead(own)
    return {
      volume: name,
      shards: own.length,
      ...record,
      load: loadOf(record),
      ...(ahead === undefined ? {} : { ahead })
    }
  })
}

function sumAhead(shards: readonly ShardLoadDocument[]): AheadDocument[] | undefined {
  const first = shards[0]?.ahead
  if (first === undefined || shards.some(({ ahead }) => ahead === undefined)) return undefined
  return first.map(({ minutes }, i) => {
    const sum = { minutes, q50: 0, q90: 0, q95: 0 }
    for (const { ahead } of shards) {
      sum.q50 += ahead?.[i]?.q50 ?? 0
      sum.q90 += ahead?.[i]?.q90 ?? 0
      sum.q95 += ahead?.[i]?.q95 ?? 0
    }
    return sum
  })
}
