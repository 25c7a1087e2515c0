/** Meshes of any size whose nodes gossip of load over a LoadHub: for tests and the bench of it. */
import type { MeshView, NodeEntry } from '../../crdt/types.ts'
import type { LoadGossip } from '../../node/load/gossip.ts'
import { createLoadGossip } from '../../node/load/gossip.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { ZERO_NONCE } from '../../protocols/ids.ts'
import { groupMesh, SUMMARIES_TOPIC } from '../../protocols/load-gossip/groups.ts'
import type { OwnLoad, ShardLoad } from '../../protocols/load-gossip/messages.ts'
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
    revocations: new Map(),
    links: []
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
  /** What every node's map says, but for those in `views`: may be replaced. */
  view: MeshView
  readonly views = new Map<NodeId, MeshView>()

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
      mesh: () => this.views.get(id) ?? this.view,
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

/** What one node hears in a minute, and how old what it knows is, seen at many moments. */
export interface Watched {
  /** The most of any watcher in any minute: received, and received and sent. */
  readonly receivedBytes: number
  readonly bytes: number
  /** Greatest and median ages; infinite if a node is not known at all. */
  readonly near: Ages
  readonly far: Ages
  readonly dropped: number
}

export interface Ages {
  readonly maxMs: number
  readonly medianMs: number
}

/** Every n-th node, so that there are about `count` of them in all groups alike. */
export function watchersOf(mesh: LoadMesh, count: number): LoadNode[] {
  const every = Math.max(1, Math.ceil(mesh.nodes.length / count))
  return mesh.nodes.filter((_, index) => index % every === 0)
}

/**
 * Runs `mesh` for `runMs`; ages are looked at from `settleMs` on. Summaries are heard by their own
 * group and by the watchers only, or a thousand nodes would take minutes to run.
 */
export function watch(
  mesh: LoadMesh,
  { watchers, runMs, settleMs }: { watchers: readonly LoadNode[]; runMs: number; settleMs: number }
): Watched {
  const groups = groupMesh(mesh.nodes)
  const listening = new Set(watchers.map(({ member }) => member))
  mesh.hub.hears = (topic, from, to) =>
    topic !== SUMMARIES_TOPIC ||
    listening.has(to) ||
    groups.of.get(from.self) === groups.of.get(to.self)
  const near: number[] = []
  const far: number[] = []
  let receivedBytes = 0
  let bytes = 0
  for (let passedMs = LOOK_MS; passedMs <= runMs; passedMs += LOOK_MS) {
    mesh.hub.run(LOOK_MS)
    for (const node of watchers) {
      const { receivedPerMinute, sentPerMinute } = node.gossip.stats()
      receivedBytes = Math.max(receivedBytes, receivedPerMinute)
      bytes = Math.max(bytes, receivedPerMinute + sentPerMinute)
      if (passedMs <= settleMs) continue
      for (const { id } of mesh.nodes) {
        if (id === node.id) continue
        const isNear = groups.of.get(id) === groups.of.get(node.id)
        ;(isNear ? near : far).push(ageAt(node, id))
      }
    }
  }
  const dropped = watchers.reduce((sum, node) => sum + node.gossip.stats().dropped.size, 0)
  return { receivedBytes, bytes, near: agesOf(near), far: agesOf(far), dropped }
}

const LOOK_MS = 5_000

/** Infinite if it is not known. */
export function ageAt(node: LoadNode, other: NodeId): number {
  return node.gossip.known(other)?.ageMs ?? Number.POSITIVE_INFINITY
}

function agesOf(ages: number[]): Ages {
  const sorted = Float64Array.from(ages).sort()
  return { maxMs: sorted.at(-1) ?? 0, medianMs: sorted[sorted.length >> 1] ?? 0 }
}
