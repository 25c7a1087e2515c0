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

import type { AcceptsRevocation, MeshRecord } from '../../crdt/mesh-document.ts'
import { meshRules, nameRecord, nodeRecord } from '../../crdt/mesh-document.ts'
import type { MeshView, NodeEntry, Tombstone, VolumeView } from '../../crdt/types.ts'
import type { VolumeRecord } from '../../crdt/volume-document.ts'
import { volumeRules } from '../../crdt/volume-document.ts'
import { assert } from '../../protocols/assert.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId, PlacementEpoch, Token, VolumeId } from '../../protocols/ids.ts'
import { isName, isVolumeId } from '../../protocols/ids.ts'
import type { Change, DocumentName } from '../../protocols/map-sync/messages.ts'
import {
  MAP_PEERS_REMEMBERED,
  MAP_SYNC_INTERVAL_MS,
  MAX_MAP_SESSION_RECORDS,
  TOMBSTONE_RETENTION_MS
} from '../limits.ts'
import type { Clock, Disk, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import { Documents } from './documents.ts'
import { fetchDocument } from './fetch.ts'
import { Gossip } from './gossip.ts'
import type { MapLog } from './log.ts'
import { openMapLog } from './log.ts'
import type { LogEntry } from './log-format.ts'
import type { ReplicaChange } from './replica.ts'
import { notFound, resolveVolume } from './resolve.ts'
import { Schedule } from './schedule.ts'
import { StandingKeeper } from './standing.ts'
import { Sync } from './sync.ts'
import type { MapStats, NewVolume, ShardMap } from './types.ts'

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

interface Announced {
  readonly id: DocumentName
  readonly mesh?: MeshRecord
  readonly volume?: VolumeRecord
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
  readonly #badUpdates = new Map<NodeId, number>()
  readonly #meshListeners: Array<(view: MeshView) => void> = []
  readonly #volumeListeners: Array<(id: VolumeId, view: VolumeView) => void> = []
  readonly #dirty = new Set<DocumentName>()
  /** What this start announced: announced again should the documents be discarded. */
  readonly #session: Announced[] = []
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
    const note = (at: number) => this.#log?.append({ is: 'agreed', at })
    this.#standing = new StandingKeeper({ clock, retentionMs, note })
  }

  async open(): Promise<void> {
    const { clock, disk, log, network, random, rpc } = this.#options
    const snapshot = () => this.#snapshot()
    this.#log = await openMapLog({ disk, clock, log, snapshot }, entry => this.#replay(entry))
    const onBad = (from: NodeId, why: string) => this.#countBad(from, why)
    const soon = (peer: NodeId) => this.#schedule?.soon(peer)
    const sync = new Sync({
      rpc,
      log,
      documents: this.#documents,
      standing: () => this.#standing.standing,
      wants: document => this.#wants(document),
      discard: () => this.#discard(),
      onAgreed: theirs => {
        this.#lastSyncMs = clock.monotonicMs()
        this.#standing.agreed(theirs)
      },
      onBad,
      soon
    })
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
    this.#asked.add(id)
    return fetchDocument({ id, clock, network, random, sync, documents, ...options })
  }

  resolve(nameOrId: string): VolumeId {
    return resolveVolume(this.mesh(), nameOrId)
  }

  announceNode(entry: NodeEntry): void {
    assert(entry.id === this.#options.network.self, 'a node announces itself and no other')
    const record = nodeRecord(this.#documents.mesh.set, entry)
    if (record !== undefined) this.#addToMesh(record)
  }

  announceVolume(volume: NewVolume): void {
    const { spec, sizeBytes, epoch, nodes, expectedIops, near } = volume
    const extents = Math.ceil(sizeBytes / spec.extentBytes)
    const { generation } = spec
    this.#addToVolume(spec.id, { kind: 'spec', spec, expectedIops, near })
    this.#addToVolume(spec.id, { kind: 'size', sizeBytes, epoch })
    const run = { from: 0, to: extents, generation, nodes, epoch }
    this.#addToVolume(spec.id, { kind: 'layout', ...run })
    this.#addName(spec.id, volume.name)
  }

  rename(id: VolumeId, name: string): void {
    const said = this.#documents.mesh.set.greatest(`volume/${id}`)[0]?.record
    if (said?.kind !== 'name') throw notFound(id)
    this.#addName(id, name)
  }

  announceSize(id: VolumeId, sizeBytes: number, epoch: PlacementEpoch): void {
    this.#addToVolume(id, { kind: 'size', sizeBytes, epoch })
  }

  announceLayout(
    id: VolumeId,
    run: {
      from: number
      to: number
      nodes: ReadonlyArray<readonly NodeId[]>
      epoch: PlacementEpoch
    }
  ): void {
    const generation = this.volume(id)?.spec.generation ?? 0
    const { from, to, nodes, epoch } = run
    this.#addToVolume(id, { kind: 'layout', from, to, generation, nodes, epoch })
  }

  announceHolder(id: VolumeId, token: Token, node: NodeId, since: number): void {
    this.#addToVolume(id, { kind: 'holder', token, node, since })
  }

  announceDelete(tombstone: Tombstone): void {
    const { id, token, at } = tombstone
    this.#addToMesh({ kind: 'tombstone', id, token, at })
    this.#documents.drop(id)
  }

  announceRevocation(peer: NodeId, signed: Uint8Array): void {
    this.#addToMesh({ kind: 'revocation', peer, signed })
  }

  onMesh(listener: (view: MeshView) => void): void {
    this.#meshListeners.push(listener)
  }

  onVolume(listener: (id: VolumeId, view: VolumeView) => void): void {
    this.#volumeListeners.push(listener)
  }

  stats(): MapStats {
    const nowMs = this.#options.clock.monotonicMs()
    return {
      documents: this.#documents.count,
      bytes: this.#documents.bytes,
      badUpdates: this.#badUpdates,
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
    await this.#log?.flush().catch((error: unknown) => {
      this.#options.log.error({ error: messageOf(error) }, 'the map was not stored at the end')
    })
    await this.#log?.close()
  }

  #addName(id: VolumeId, name: string): void {
    assert(isName(name), 'a volume is announced under a proper name')
    const { clock, network } = this.#options
    const [by, createdAt] = [network.self, clock.now()]
    const record = nameRecord(this.#documents.mesh.set, { id, name, by, createdAt })
    if (record !== undefined) this.#addToMesh(record)
  }

  #addToMesh(record: MeshRecord): void {
    const isValid = meshRules.decode(meshRules.encode(record)) !== undefined
    assert(isValid, `what we announce of the mesh is valid (${record.kind})`)
    this.#remember({ id: 'mesh', mesh: record })
    this.#documents.mesh.add([record])
  }

  /** Of a volume that was deleted meanwhile nothing is announced any more. */
  #addToVolume(id: VolumeId, record: VolumeRecord): void {
    const rules = volumeRules(id)
    const isValid = isVolumeId(id) && rules.decode(rules.encode(record)) !== undefined
    assert(isValid, `what we announce of a volume is valid (${record.kind})`)
    if (this.#documents.isDeleted(id)) return
    this.#remember({ id, volume: record })
    this.#asked.add(id)
    this.#documents.keep(id).add([record])
  }

  #remember(added: Announced): void {
    if (this.#session.length < MAX_MAP_SESSION_RECORDS) this.#session.push(added)
  }

  #wants(document: DocumentName): boolean {
    if (document === 'mesh') return true
    return this.#options.hostsVolume(document) && !this.#documents.isDeleted(document)
  }

  #discard(): void {
    this.#options.log.warn({}, 'away for too long: the map is taken anew from the mesh')
    this.#documents.discard()
    this.#standing.discarded()
    for (const { id, mesh, volume } of this.#session) {
      if (mesh !== undefined) this.#documents.mesh.add([mesh])
      if (volume === undefined || id === 'mesh' || this.#documents.isDeleted(id)) continue
      this.#documents.keep(id).add([volume])
    }
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
    if (this.#dirty.size === 0) this.#options.clock.soon(() => this.#notify())
    this.#dirty.add(document)
  }

  #notify(): void {
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    if (this.#isClosed) return
    if (dirty.includes('mesh')) {
      this.#documents.dropDeleted()
      const view = this.mesh()
      for (const listener of this.#meshListeners) this.#tell(() => listener(view))
    }
    for (const id of dirty) {
      const view = id === 'mesh' ? undefined : this.volume(id)
      if (id === 'mesh' || view === undefined) continue
      for (const listener of this.#volumeListeners) this.#tell(() => listener(id, view))
    }
  }

  #tell(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#options.log.error({ error: messageOf(error) }, 'a listener of the map failed')
    }
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
    if (received.is === 'bad') this.#countBad(from, received.why)
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

  #countBad(from: NodeId, why: string): void {
    const count = (this.#badUpdates.get(from) ?? 0) + 1
    const isKnown = this.#badUpdates.has(from)
    if (isKnown || this.#badUpdates.size < MAP_PEERS_REMEMBERED) this.#badUpdates.set(from, count)
    // A peer that keeps sending nonsense must not fill the log.
    const isMilestone = Number.isInteger(Math.log2(count))
    if (isMilestone) this.#options.log.warn({ from, why, count }, 'dropped a bad map update')
  }
}
