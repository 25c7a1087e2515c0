/**
 * `npm run bench -- load-gossip`: what a node of a mesh hears of load in a minute, and how old what it
 * knows is, by the size of the mesh; simulated time, real messages. Then what real gossipsub adds:
 * how often one message arrives at a node of a mesh of hosts on loopback.
 */
import type { LoadMeshOptions } from '../support/load-mesh.ts'
import { LoadMesh, watch, watchersOf } from '../support/load-mesh.ts'
import { measureForwarding } from './load-gossip-forwarding.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'

const MINUTE_MS = 60_000
const WATCHERS = 20
const MESHES: ReadonlyArray<Omit<LoadMeshOptions, 'seed'>> = [
  { nodes: 3, regions: 3, shards: 20 },
  { nodes: 64, regions: 4, shards: 20 },
  { nodes: 200, regions: 5, shards: 20 },
  { nodes: 300, regions: 100, shards: 20 },
  { nodes: 1000, regions: 1, shards: 20 },
  { nodes: 1000, regions: 20, shards: 20 },
  { nodes: 1000, regions: 20, shards: 0 }
]
const HEAD = [
  'nodes',
  'regions',
  'shards',
  'groups',
  'sample every s',
  'round s',
  'KiB/min most',
  'near p50 s',
  'near max s',
  'far p50 s',
  'far max s'
]

type Row = Record<string, number>

export async function benchLoadGossip(options: BenchOptions): Promise<BenchResult> {
  const meshes = options.quick ? MESHES.filter(({ nodes }) => nodes <= 200) : MESHES
  const rows = meshes.map(mesh => measure({ ...mesh, seed: options.seed }))
  console.log('What a node hears and says, envelopes included, and the ages of what it knows')
  printTable(
    HEAD,
    rows.map(row => HEAD.map(name => String(row[name] ?? '')))
  )
  const forwarding = []
  for (const degree of options.quick ? [10] : [10, 23]) {
    forwarding.push(await measureForwarding({ nodes: 24, degree, seed: options.seed }))
  }
  console.log('\nReal gossipsub, 24 hosts on loopback, payloads of 200 bytes')
  const columns = Object.keys(forwarding[0] ?? {})
  printTable(
    columns,
    forwarding.map(row => Object.values(row).map(String))
  )
  return {
    rows: [...rows, ...forwarding],
    ratios: {},
    summary: { meshes: rows.length },
    seed: options.seed,
    versions: await versionsOf([])
  }
}

/** The last minute of so many that every group was summarised twice. */
function measure(options: LoadMeshOptions): Row {
  const mesh = new LoadMesh(options)
  const settleMs = 4 * MINUTE_MS
  const watchers = watchersOf(mesh, WATCHERS)
  const { bytes, near, far } = watch(mesh, { watchers, runMs: settleMs + MINUTE_MS, settleMs })
  const stats = mesh.nodes[0]?.gossip.stats()
  const seconds = (ms: number): number => round(ms / 1000, 1)
  return {
    nodes: options.nodes,
    regions: options.regions,
    shards: options.shards ?? 0,
    groups: stats?.groups ?? 0,
    'sample every s': seconds(stats?.intervalMs ?? 0),
    'round s': seconds(stats?.summaryIntervalMs ?? 0),
    'KiB/min most': round(bytes / 1024, 1),
    'near p50 s': seconds(near.medianMs),
    'near max s': seconds(near.maxMs),
    'far p50 s': seconds(far.medianMs),
    'far max s': seconds(far.maxMs)
  }
}
