/**
 * The shard map: documents kept, logged, gossiped and synced, behind the plain views of
 * crdt/types.ts.
 *
 *   announce* --> documents --> log (flush: durable)
 *   gossip, sync --^     \----> gossip (local changes), listeners (once per tick)
 *
 * Invariants: what is announced is visible here at once, durable after `flush`, and reaches every
 * member sooner or later; nothing received from a peer throws or shows a view that is not valid.
 */

import type { AcceptsRevocation } from '../../crdt/mesh-document.ts'
import type {
  DeclaredPattern,
  MeshView,
  NodeEntry,
  PlacementClaim,
  Tombstone,
  VolumeView
} from '../../crdt/types.ts'
import { assert } from '../../protocols/assert.ts'
import type { LinkFactor } from '../../protocols/balance/links.ts'
import type { VolumeBalance } from '../../protocols/balance/types.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId, PlacementEpoch, Token, VolumeId, VolumeSpec } from '../../protocols/ids.ts'
import { isVolumeId } from '../../protocols/ids.ts'
import type { Change, DocumentName } from '../../protocols/map-sync/messages.ts'
import { MAP_SYNC_INTERVAL_MS, TOMBSTONE_RETENTION_MS } from '../limits.ts'
import type { Clock, Disk, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import { Announcer } from './announcer.ts'
import { Documents } from './documents.ts'
import { fetchDocument } from './fetch.ts'
import { Gossip } from './gossip.ts'
import type { MapLog } from './log.ts'
import { openMapLog } from './log.ts'
import type { LogEntry } from './log-format.ts'
import { Offenders } from './offenders.ts'
import type { ReplicaChange } from './replica.ts'
import { resolveVolume } from './resolve.ts'
import { Schedule } from './schedule.ts'
import { spreadDocument } from './spread.ts'
import { StandingKeeper } from './standing.ts'
import { Sync } from './sync.ts'
import { serveSync } from './sync-server.ts'
import type { MapStats, NewVolume, ShardMap } from './types.ts'
import { Watchers } from './watchers.ts'

export interface MapOptions {
  readonly network: Network
  readonly rpc: Rpc
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The node's store; the map keeps its log in `map/`. */
  readonly disk: Disk
  /** Whether this node holds a shard of the volume, or is its gateway: its document belongs here. */
  readonly hostsVolume: (id: VolumeId) => boolean
  /** Whether a revocation is genuine; others are not shown. */
  readonly acceptsRevocation?: AcceptsRevocation
  /** How long tombstones are kept: longer than any certificate lives. */
  readonly retentionMs?: number
}

/** Opens the map in the data directory and joins it to the network. */
export async function createMap(options: MapOptions): Promise<ShardMap> {
  const map = new MapNode(options)
  await map.open()
  return map
}

class MapNode implements ShardMap {
  readonly #options: MapOptions
  readonly #documents: Documents
  readonly #standing: StandingKeeper
  readonly #announcer: Announcer
  readonly #watchers: Watchers
  readonly #offenders: Offenders
  /** Volumes whose documents were made or fetched since the start. */
  readonly #asked = new Set<VolumeId>()
  #log: MapLog | undefined
  #gossip: Gossip | undefined
  #schedule: Schedule | undefined
  #sync: Sync | undefined
  #lastSyncMs: number | undefined
  #isClosed = false

  constructor(options: MapOptions) {
    this.#options = options
    const { clock, random, log } = options
    const retentionMs = options.retentionMs ?? TOMBSTONE_RETENTION_MS
    const acceptsRevocation = options.acceptsRevocation ?? (() => true)
    this.#documents = new Documents({
      clock,
      random,
      log,
      retentionMs,
      acceptsRevocation,
      onChange: (document, change) => this.#onChange(document, change)
    })
    const documents = this.#documents
    this.#announcer = new Announcer({ self: options.network.self, clock, documents })
    this.#watchers = new Watchers({ clock, log, documents })
    this.#offenders = new Offenders(log)
    const note = (at: number) => this.#log?.append({ is: 'agreed', at })
    this.#standing = new StandingKeeper({ clock, retentionMs, note })
  }

  async open(): Promise<void> {
    const { clock, disk, log, network, random, rpc } = this.#options
    const snapshot = () => this.#snapshot()
    this.#log = await openMapLog({ disk, clock, log, snapshot }, entry => this.#replay(entry))
    const onBad = (from: NodeId, why: string) => this.#offenders.count(from, why)
    const common = {
      rpc,
      documents: this.#documents,
      standing: () => this.#standing.standing,
      wants: (document: DocumentName) => this.#wants(document),
      onBad
    }
    const sync = new Sync({
      ...common,
      discard: () => this.#discard(),
      onAgreed: theirs => {
        this.#lastSyncMs = clock.monotonicMs()
        this.#standing.agreed(theirs)
      }
    })
    serveSync({ ...common, soon: peer => this.#schedule?.soon(peer) })
    const onChange = (from: NodeId, change: Change) => this.#onGossip(from, change)
    this.#sync = sync
    this.#gossip = new Gossip({ network, clock, log, onChange, onBad })
    this.#schedule = new Schedule({
      network,
      clock,
      random,
      log,
      syncWith: peer => sync.syncWith(peer),
      onInterval: () => this.#onInterval()
    })
  }

  mesh(): MeshView {
    return this.#documents.meshView()
  }

  volume(id: VolumeId): VolumeView | undefined {
    return this.#documents.isDeleted(id) ? undefined : this.#documents.volumeView(id)
  }

  async fetchVolume(id: VolumeId, options: { timeoutMs?: number } = {}): Promise<VolumeView> {
    assert(isVolumeId(id), 'a volume is fetched by its id')
    assert(this.#sync !== undefined, 'the map is open')
    const { clock, network, random } = this.#options
    const [sync, documents] = [this.#sync, this.#documents]
    const view = await fetchDocument({ id, clock, network, random, sync, documents, ...options })
    this.#asked.add(id)
    return view
  }

  spread(
    id: VolumeId,
    peers: readonly NodeId[],
    { timeoutMs }: { timeoutMs: number }
  ): Promise<boolean> {
    assert(this.#sync !== undefined, 'the map is open')
    const { clock, random } = this.#options
    return spreadDocument({ id, peers, timeoutMs, clock, random, sync: this.#sync })
  }

  resolve(nameOrId: string): VolumeId {
    return resolveVolume(this.mesh(), nameOrId)
  }

  announceNode(entry: NodeEntry): void {
    this.#announcer.announceNode(entry)
  }

  announceVolume(volume: NewVolume): void {
    this.#asked.add(volume.spec.id)
    this.#announcer.announceVolume(volume)
  }

  rename(id: VolumeId, name: string): void {
    this.#announcer.rename(id, name)
  }

  announceSize(id: VolumeId, sizeBytes: number, epoch: PlacementEpoch): void {
    this.#asked.add(id)
    this.#announcer.announceSize(id, sizeBytes, epoch)
  }

  announceLayout(id: VolumeId, run: Parameters<ShardMap['announceLayout']>[1]): void {
    this.#asked.add(id)
    this.#announcer.announceLayout(id, run)
  }

  announceClaims(spec: VolumeSpec, sizeBytes: number, claims: readonly PlacementClaim[]): void {
    this.#asked.add(spec.id)
    this.#announcer.announceClaims(spec, sizeBytes, claims)
  }

  announceHolder(id: VolumeId, token: Token, node: NodeId, since: number): void {
    this.#asked.add(id)
    this.#announcer.announceHolder(id, token, node, since)
  }

  announcePattern(id: VolumeId, declared: DeclaredPattern): void {
    this.#asked.add(id)
    this.#announcer.announcePattern(id, declared)
  }

  announcePatternRemoval(id: VolumeId, pattern: string): void {
    this.#asked.add(id)
    this.#announcer.announcePatternRemoval(id, pattern)
  }

  announceZone(id: VolumeId, zone: string): void {
    this.#asked.add(id)
    this.#announcer.announceZone(id, zone)
  }

  announcePolicy(id: VolumeId, policy: VolumeBalance): void {
    this.#asked.add(id)
    this.#announcer.announcePolicy(id, policy)
  }

  announceLink(one: string, other: string, factor: LinkFactor | undefined): void {
    this.#announcer.announceLink(one, other, factor)
  }

  announceDelete(tombstone: Tombstone): void {
    this.#announcer.announceDelete(tombstone)
  }

  announceRevocation(peer: NodeId, signed: Uint8Array): void {
    this.#announcer.announceRevocation(peer, signed)
  }

  onMesh(listener: (view: MeshView) => void): void {
    this.#watchers.onMesh(listener)
  }

  onVolume(listener: (id: VolumeId, view: VolumeView) => void): void {
    this.#watchers.onVolume(listener)
  }

  stats(): MapStats {
    const nowMs = this.#options.clock.monotonicMs()
    return {
      documents: this.#documents.count,
      bytes: this.#documents.bytes,
      badUpdates: this.#offenders.counts,
      lastSyncAgoMs: this.#lastSyncMs === undefined ? undefined : nowMs - this.#lastSyncMs
    }
  }

  async flush(): Promise<void> {
    assert(this.#log !== undefined, 'the map is open')
    await this.#log.flush()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#schedule?.close()
    this.#gossip?.close()
    this.#watchers.close()
    await this.#log?.flush().catch((error: unknown) => {
      this.#options.log.error({ error: messageOf(error) }, 'the map was not stored at the end')
    })
    await this.#log?.close()
  }

  #wants(document: DocumentName): boolean {
    if (document === 'mesh') return true
    return this.#options.hostsVolume(document) && !this.#documents.isDeleted(document)
  }

  #discard(): void {
    this.#options.log.warn({}, 'away for too long: the map is taken anew from the mesh')
    this.#documents.discard()
    this.#standing.discarded()
    this.#announcer.announceAgain()
  }

  #replay(entry: LogEntry): void {
    if (entry.is === 'agreed') this.#standing.restore(entry.at)
    else this.#documents.replay(entry)
  }

  #snapshot(): LogEntry[] {
    const { agreedAt } = this.#standing
    const entries = this.#documents.snapshot()
    if (agreedAt !== undefined) entries.push({ is: 'agreed', at: agreedAt })
    return entries
  }

  #onChange(document: DocumentName, change: ReplicaChange | undefined): void {
    if (change === undefined) {
      this.#log?.append({ is: 'drop', document })
      return
    }
    const { generation, update, begins } = change
    this.#log?.append({ is: 'update', document, generation, update, begins })
    if (change.isLocal) this.#gossip?.add(change)
    this.#watchers.changed(document)
  }

  #onGossip(from: NodeId, change: Change): void {
    const { document, generation, update } = change
    const replica = this.#documents.get(document)
    if (replica === undefined && !this.#wants(document)) return
    if (document !== 'mesh' && this.#documents.isDeleted(document)) return
    if (replica === undefined) {
      this.#schedule?.soon(from)
      return
    }
    if (update === undefined) {
      // Too large to gossip, so it is better not fetched by everyone at once.
      this.#schedule?.soon(from, MAP_SYNC_INTERVAL_MS)
      return
    }
    const received = replica.receive(generation, update)
    if (received.is === 'bad') this.#offenders.count(from, received.why)
    else if (received.is !== 'applied' && received.is !== 'known') this.#schedule?.soon(from)
  }

  #onInterval(): void {
    const { log, network, random } = this.#options
    const others = network.peers().length
    const { nodes, volumes } = this.mesh()
    this.#standing.tick(others === 0 && nodes.size <= 1)
    for (const id of volumes.keys()) {
      if (this.#documents.volume(id) !== undefined || !this.#wants(id)) continue
      this.fetchVolume(id).catch((error: unknown) => {
        log.debug({ volume: id, error: messageOf(error) }, 'the document of a volume is missing')
      })
      break
    }
    this.#dropUnasked()
    // One of the nodes should do it, not all of them at once.
    if (random.fraction() * (others + 1) > 1) return
    for (const replica of this.#documents.all()) replica.tidy()
  }

  /** Lets go of documents that an earlier start asked for, once somebody else is seen to have them. */
  #dropUnasked(): void {
    for (const head of this.#documents.heads()) {
      const { document } = head
      if (document === 'mesh' || this.#asked.has(document) || this.#wants(document)) continue
      if (this.#sync?.isKeptElsewhere(head) === true) this.#documents.drop(document)
    }
  }
}
