/**
 * The documents that this node keeps: the mesh's, and those of the volumes that it hosts, created
 * or asked for. Everything that changes passes through here, to the log, to gossip and to whoever
 * watches.
 *
 * Invariants: the document of a deleted volume is not kept; the log's entries, replayed in order,
 * give exactly these documents.
 */
import type { ClaimSetOptions } from '../../crdt/claim-set.ts'
import { keepsAt } from '../../crdt/generation.ts'
import { CLIENT_ID_BYTES } from '../../crdt/limits.ts'
import type { AcceptsRevocation, MeshRecord } from '../../crdt/mesh-document.ts'
import { createMeshDocument, meshView } from '../../crdt/mesh-document.ts'
import type { MeshView, VolumeView } from '../../crdt/types.ts'
import type { VolumeRecord } from '../../crdt/volume-document.ts'
import { createVolumeDocument, volumeView } from '../../crdt/volume-document.ts'
import { assert } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { isNonce } from '../../protocols/ids.ts'
import type { DocumentName, Head } from '../../protocols/map-sync/messages.ts'
import { MAX_MAP_DOCUMENTS } from '../limits.ts'
import type { Clock, Log, Random } from '../ports.ts'
import type { LogEntry } from './log-format.ts'
import type { Received, ReplicaChange } from './replica.ts'
import { Replica } from './replica.ts'

export interface DocumentsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly retentionMs: number
  readonly acceptsRevocation: AcceptsRevocation
  /** A change took effect, or (`undefined` update) a document is not kept any more. */
  readonly onChange: (document: DocumentName, change: ReplicaChange | undefined) => void
}

type AnyReplica = Replica<MeshRecord> | Replica<VolumeRecord>

export class Documents {
  readonly #options: DocumentsOptions
  readonly #volumes = new Map<VolumeId, Replica<VolumeRecord>>()
  readonly #volumeViews = new Map<VolumeId, VolumeView | undefined>()
  #mesh: Replica<MeshRecord>
  #meshView: MeshView | undefined

  constructor(options: DocumentsOptions) {
    this.#options = options
    this.#mesh = this.#createMesh()
  }

  get mesh(): Replica<MeshRecord> {
    return this.#mesh
  }

  get count(): number {
    return this.#volumes.size + 1
  }

  get bytes(): number {
    let bytes = 0
    for (const replica of this.all()) bytes += replica.set.updateBytes
    return bytes
  }

  *all(): Generator<AnyReplica> {
    yield this.#mesh
    yield* this.#volumes.values()
  }

  get(document: DocumentName): AnyReplica | undefined {
    return document === 'mesh' ? this.#mesh : this.#volumes.get(document)
  }

  volume(id: VolumeId): Replica<VolumeRecord> | undefined {
    return this.#volumes.get(id)
  }

  meshView(): MeshView {
    this.#meshView ??= meshView(this.#mesh.set, this.#options.acceptsRevocation)
    return this.#meshView
  }

  volumeView(id: VolumeId): VolumeView | undefined {
    const replica = this.#volumes.get(id)
    if (replica === undefined) return undefined
    if (!this.#volumeViews.has(id)) this.#volumeViews.set(id, volumeView(replica.set))
    return this.#volumeViews.get(id)
  }

  isDeleted(id: VolumeId): boolean {
    return this.#mesh.set.greatest(`volume/${id}`)[0]?.record.kind === 'tombstone'
  }

  /** The volume's replica, an empty one if it was not kept. Throws LIMIT. */
  keep(id: VolumeId): Replica<VolumeRecord> {
    const kept = this.#volumes.get(id)
    if (kept !== undefined) return kept
    assert(!this.isDeleted(id), 'no document of a deleted volume is kept')
    if (this.#volumes.size >= MAX_MAP_DOCUMENTS) {
      const fault = { code: 'LIMIT', limit: 'MAX_MAP_DOCUMENTS' } as const
      throw new ShoalError(fault, `this node keeps ${MAX_MAP_DOCUMENTS} volume documents already`)
    }
    const replica = new Replica<VolumeRecord>(id, {
      ...this.#host(options => createVolumeDocument(id, options.clientId)),
      keeps: () => true
    })
    this.#volumes.set(id, replica)
    return replica
  }

  /**
   * Takes an update from a peer into a document, which is kept from now on; undefined if it must
   * not be. `whole`: it is all of it, and replaces an older generation.
   */
  receive(
    { document, generation }: Pick<Head, 'document' | 'generation'>,
    update: Uint8Array,
    whole: boolean
  ): Received | undefined {
    if (document !== 'mesh' && this.isDeleted(document)) return undefined
    const isNew = this.get(document) === undefined
    const replica: Pick<AnyReplica, 'receive' | 'receiveWhole'> =
      document === 'mesh' ? this.#mesh : this.keep(document)
    const received = whole
      ? replica.receiveWhole(generation, update)
      : replica.receive(generation, update)
    const isIn = received.is === 'applied' || received.is === 'known'
    if (isNew && !isIn && document !== 'mesh') this.drop(document)
    return received
  }

  drop(id: VolumeId): void {
    const replica = this.#volumes.get(id)
    if (replica === undefined) return
    this.#volumes.delete(id)
    this.#volumeViews.delete(id)
    replica.set.destroy()
    this.#options.onChange(id, undefined)
  }

  /** Drops the documents of volumes that were deleted. */
  dropDeleted(): void {
    for (const id of this.meshView().tombstones.keys()) this.drop(id)
  }

  /** Forgets everything: this node was away for longer than tombstones are kept. */
  discard(): void {
    for (const id of [...this.#volumes.keys()]) this.drop(id)
    this.#mesh.set.destroy()
    this.#mesh = this.#createMesh()
    this.#meshView = undefined
    this.#options.onChange('mesh', undefined)
  }

  heads(): Head[] {
    const heads: Head[] = []
    for (const replica of this.all()) heads.push(replica.head())
    return heads
  }

  /** Takes up one entry of our own log. */
  replay(entry: LogEntry): void {
    if (entry.is === 'agreed') return
    if (entry.is === 'drop') this.#forget(entry.document)
    else this.#reload(entry)
  }

  /** All documents, as the beginning of a new log. */
  snapshot(): LogEntry[] {
    const entries: LogEntry[] = []
    for (const replica of this.all()) {
      const { document, generation } = replica
      const update = replica.encode()
      entries.push({ is: 'update', document, generation, update, begins: true })
    }
    return entries
  }

  #reload(entry: Extract<LogEntry, { is: 'update' }>): void {
    const { document, generation, update, begins } = entry
    if (document !== 'mesh' && this.isDeleted(document)) return
    const replica: Pick<AnyReplica, 'load' | 'reload'> =
      document === 'mesh' ? this.#mesh : this.keep(document)
    const received: Received = begins ? replica.load(generation, update) : replica.reload(update)
    this.#invalidate(document)
    if (received.is !== 'bad' && received.is !== 'early') return
    this.#options.log.error({ document, received }, 'a record of the map log could not be used')
  }

  #forget(document: DocumentName): void {
    if (document === 'mesh') this.#mesh = this.#createMesh()
    else this.#volumes.delete(document)
    this.#invalidate(document)
  }

  #createMesh(): Replica<MeshRecord> {
    const { clock, retentionMs } = this.#options
    return new Replica<MeshRecord>('mesh', {
      ...this.#host(options => createMeshDocument(options.clientId)),
      keeps: record => keepsAt(clock.now(), retentionMs)(record)
    })
  }

  #host<S>(create: (options: ClaimSetOptions) => S) {
    const { random, onChange } = this.#options
    return {
      create: () => create({ clientId: freshClientId(random) }),
      nonce: () => {
        const nonce = Buffer.from(random.bytes(8)).toString('hex')
        assert(isNonce(nonce), '8 bytes are a nonce')
        return nonce
      },
      onChange: (change: ReplicaChange) => {
        this.#invalidate(change.document)
        onChange(change.document, change)
      }
    }
  }

  #invalidate(document: DocumentName): void {
    if (document === 'mesh') this.#meshView = undefined
    else this.#volumeViews.delete(document)
  }
}

/** 48 random bits. */
function freshClientId(random: Random): number {
  return Buffer.from(random.bytes(CLIENT_ID_BYTES)).readUIntBE(0, CLIENT_ID_BYTES)
}
