/**
 * What this node knows of its mesh, as membership and the host want it: who may be dialled where,
 * which regions and names exist. The map knows best; before it has told anything, the peers of the
 * last run do (DIR/peers.json).
 */
import type { MeshView, NodeEntry } from '../crdt/types.ts'
import type { KnownPeer } from '../protocols/admission/messages.ts'
import { messageOf } from '../protocols/fault.ts'
import type { NodeId } from '../protocols/ids.ts'
import type { Host } from './host/host.ts'
import { KNOWN_PEERS_SAVE_MS } from './limits.ts'
import { savePeers } from './members/identity.ts'
import type { Clock, Log, Timer } from './ports.ts'

export interface KnowledgeOptions {
  readonly dir: string
  readonly self: NodeId
  /** From the last run, or from the join. */
  readonly remembered: readonly KnownPeer[]
  readonly isRevoked: (peer: NodeId) => boolean
  readonly clock: Clock
  readonly log: Log
}

export class MeshKnowledge {
  readonly #options: KnowledgeOptions
  #view: MeshView | undefined
  #host: Host | undefined
  #timer: Timer | undefined

  constructor(options: KnowledgeOptions) {
    this.#options = options
  }

  /** From now on `host` dials whom we know of. */
  guide(host: Host): void {
    this.#host = host
    host.setKnownPeers(this.peers())
  }

  /** The map has changed. */
  learn(view: MeshView): void {
    this.#view = view
    this.#host?.setKnownPeers(this.peers())
    this.#timer ??= this.#options.clock.after(KNOWN_PEERS_SAVE_MS, () => {
      this.#timer = undefined
      void this.save()
    })
  }

  /** Nodes that are in the mesh: neither left nor revoked. */
  nodes(): NodeEntry[] {
    return [...(this.#view?.nodes.values() ?? [])].filter(
      node => node.leftAt === undefined && !this.#options.isRevoked(node.id)
    )
  }

  /** Others who may be dialled, and where. */
  peers(): KnownPeer[] {
    const { self, remembered, isRevoked } = this.#options
    const known = new Map<NodeId, KnownPeer>()
    for (const peer of remembered) {
      const hasLeft = this.#view?.nodes.get(peer.id)?.leftAt !== undefined
      if (!hasLeft && !isRevoked(peer.id)) known.set(peer.id, peer)
    }
    for (const { id, addresses } of this.nodes()) {
      if (addresses.length > 0) known.set(id, { id, addresses: [...addresses] })
    }
    known.delete(self)
    return [...known.values()]
  }

  regions(): string[] {
    return [...new Set(this.nodes().map(node => node.region))]
  }

  isNameTaken(name: string, peer: NodeId): boolean {
    return this.nodes().some(node => node.name === name && node.id !== peer)
  }

  /** Whether the map has ever told of this node. */
  isKnown(peer: NodeId): boolean {
    return this.#view?.nodes.has(peer) === true
  }

  async save(): Promise<void> {
    this.#timer?.cancel()
    try {
      await savePeers(this.#options.dir, this.peers())
    } catch (error) {
      // Only a hint for the next start.
      this.#options.log.warn({ error: messageOf(error) }, 'the known peers were not saved')
    }
  }
}
