/** Meshes of any size whose nodes gossip of load over a LoadHub: for tests and the bench of it. */
import type { MeshView, NodeEntry } from '../../crdt/types.ts'
import type { LoadGossip } from '../../node/load/gossip.ts'
import { createLoadGossip } from '../../node/load/gossip.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { ZERO_NONCE } from '../../protocols/ids.ts'
import type { OwnLoad, ShardLoad } from '../../protocols/load-gossip/messages.ts'
import type { KnownLoad } from '../../protocols/load-gossip/table.ts'
import { silentLog } from './host-mesh.ts'
import type { HubMember } from './load-hub.ts'
import { LoadHub } from './load-hub.ts'
import { SeededRandom } from './process-random.ts'

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const ID_CHARS = 44

export function randomNodeId(random: SeededRandom): NodeId {
  const digits = Array.from({ length: ID_CHARS }, () => BASE58[random.below(BASE58.length)])
  return `12D3KooW${digits.join('')}` as NodeId
}

export function nodeEntry(id: NodeId, region: string): NodeEntry {
  return {
    id,
    name: id.slice(-8).toLowerCase(),
    region,
    host: id,
    role: 'node',
    capacityBytes: 1e12,
    addresses: [],
    incarnation: { number: 1, nonce: ZERO_NONCE },
    version: '0'
  }
}

export function meshOf(nodes: readonly NodeEntry[]): MeshView {
  return {
    nodes: new Map(nodes.map(node => [node.id, node])),
    volumes: new Map(),
    ambiguousNames: new Map(),
    tombstones: new Map(),
    revocations: new Map()
  }
}

/** `shards` shards of random load, each with its forecast; what a node of some use says. */
export function randomLoad(random: SeededRandom, shards: number): OwnLoad {
  const load = random.fraction() * 20_000
  const band = { q50: load, q90: load * 1.5, q95: load * 2 }
  return {
    capacity: 50_000,
    freeBytes: random.fraction() * 1e13,
    load,
    forecast: { in15: band, in60: band, skill: 0.3, chance: random.fraction() },
    threshold: { load: 40_000, from: 'capacity' },
    shards: Array.from({ length: shards }, () => randomShard(random))
  }
}

function randomShard(random: SeededRandom): ShardLoad {
  const load = random.fraction() * 1000
  const band = { q50: load, q95: load * 2 }
  const volume = random.bytes(16).toString('hex') as VolumeId
  return { volume, load, forecast: { in15: band, in60: band, chance: random.fraction() } }
}

export interface LoadNode {
  readonly id: NodeId
  readonly region: string
  readonly member: HubMember
  readonly gossip: LoadGossip
}

export interface LoadMeshOptions {
  readonly nodes: number
  readonly regions: number
  readonly seed: number
  readonly shards?: number
  readonly budgetBytesPerMinute?: number
  /** Of the wall clock of the node of this index. */
  readonly skewMs?: (index: number) => number
}

export class LoadMesh {
  readonly hub: LoadHub
  readonly nodes: LoadNode[] = []
  /** What every node's map says: may be replaced. */
  view: MeshView

  constructor(options: LoadMeshOptions) {
    const random = new SeededRandom(options.seed)
    this.hub = new LoadHub(random)
    const entries = Array.from({ length: options.nodes }, (_, i) =>
      nodeEntry(randomNodeId(random), `region-${i % options.regions}`)
    )
    this.view = meshOf(entries)
    for (const [index, { id, region }] of entries.entries()) {
      this.start(id, region, random, { ...options, skew: options.skewMs?.(index) ?? 0 })
    }
  }

  start(
    id: NodeId,
    region: string,
    random: SeededRandom,
    { shards = 20, skew = 0, budgetBytesPerMinute }: Partial<LoadMeshOptions> & { skew?: number }
  ): void {
    const member = this.hub.join(id)
    const own = randomLoad(random, shards)
    const gossip = createLoadGossip({
      network: member,
      clock: this.hub.clock(skew),
      random,
      log: silentLog,
      region,
      start: 1,
      mesh: () => this.view,
      ownSample: () => own,
      ...(budgetBytesPerMinute === undefined ? {} : { budgetBytesPerMinute })
    })
    this.nodes.push({ id, region, member, gossip })
  }

  /** The process dies; the map does not know. */
  kill(node: LoadNode): void {
    node.member.isDead = true
    node.gossip.close()
  }
}

export interface Ages {
  /** Greatest age; infinite if one of them is not known at all. */
  readonly nearMs: number
  readonly nearMedianMs: number
  readonly farMs: number
  readonly farMedianMs: number
  readonly nearUnknown: number
  readonly farUnknown: number
}

/** What `at` knows of `others`; near is what it heard from the node itself. */
export function agesAt(
  at: LoadNode,
  others: readonly LoadNode[],
  isNear: (other: LoadNode) => boolean
): Ages {
  const near: number[] = []
  const far: number[] = []
  for (const other of others) {
    if (other === at) continue
    const age = ageOf(at.gossip.known(other.id))
    if (isNear(other)) near.push(age)
    else far.push(age)
  }
  const unknown = (ages: readonly number[]): number =>
    ages.filter(age => !Number.isFinite(age)).length
  return {
    nearMs: Math.max(0, ...near),
    nearMedianMs: median(near),
    farMs: Math.max(0, ...far),
    farMedianMs: median(far),
    nearUnknown: unknown(near),
    farUnknown: unknown(far)
  }
}

function ageOf(known: KnownLoad | undefined): number {
  return known?.ageMs ?? Number.POSITIVE_INFINITY
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}
