/**
 * The mesh as this node sees it: libp2p behind the Network port. Everything above here knows peers
 * by id, streams as ByteStream, and never a stranger.
 *
 * Invariants: a connection exists only after admission (admission.ts), and ends at once, with all
 * its streams, when its peer is revoked; gossip counts only if its signed author is a member; of
 * several connections to a peer the newest is used, since an older one may be a dead host's.
 */
import './polyfill.ts'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { KnownPeer } from '../../protocols/admission/messages.ts'
import { assert } from '../../protocols/assert.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_ADDRESSES } from '../../protocols/limits.ts'
import { MAX_STREAMS_PER_PROTOCOL, OPEN_TIMEOUT_MS } from '../limits.ts'
import type { ByteStream, Clock, Log, Network, Random } from '../ports.ts'
import { adaptStream } from '../stream/adapter.ts'
import { announceable } from './addresses.ts'
import { Dialler } from './dialler.ts'
import type { Gate } from './gate.ts'
import type { GossipListener } from './gossip.ts'
import { Gossip } from './gossip.ts'
import type { Encryption, Node } from './libp2p.ts'
import { createNode } from './libp2p.ts'
import { assertPortsFree, listenFailure } from './ports-free.ts'
import { RoundTrips } from './round-trip.ts'

export interface HostOptions {
  /** 32 bytes: the Ed25519 seed that is this node's identity. */
  readonly seed: Uint8Array
  /** Multiaddrs, for example /ip4/0.0.0.0/tcp/4750; port 0 lets the system choose. */
  readonly listen: readonly string[]
  readonly announce?: readonly string[]
  /** Every topic that will ever be subscribed to, besides those subscribed before `start`. */
  readonly topics?: readonly string[]
  /** In order of preference; TLS first if absent. */
  readonly encryption?: readonly Encryption[]
  readonly gate: Gate
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Host extends Network {
  /** Throws ShoalError PORT_TAKEN or BAD_INPUT (an address that cannot be listened on). */
  start: () => Promise<void>
  stop: () => Promise<void>
  /** Multiaddrs under which others may reach us, without the peer id. */
  addresses: () => string[]
  /** Ends every connection to `peer` at once. */
  disconnect: (peer: NodeId, reason: string) => void
  /** The members that there are, and where; replaces the last list. */
  setKnownPeers: (peers: readonly KnownPeer[]) => void
  /** Members to stay connected to before others where the mesh is too large for all; replaces. */
  setPreferredPeers: (peers: readonly NodeId[]) => void
}

type StreamHandler = (stream: ByteStream) => void

export async function createHost(options: HostOptions): Promise<Host> {
  const privateKey = await generateKeyPairFromSeed('Ed25519', options.seed)
  const refusals = new Map<NodeId, unknown>()
  const create = (topics: readonly string[]): Promise<Node> =>
    createNode({
      privateKey,
      listen: options.listen,
      announce: options.announce ?? [],
      gate: options.gate,
      topics,
      encryption: options.encryption ?? ['tls', 'noise'],
      clock: options.clock,
      onAdmissionError: (peer, error) => refusals.set(peer, error)
    })
  const self = peerIdFromString(privateKey.publicKey.toString()).toString() as NodeId
  return new MeshHost(self, options, create, refusals)
}

class MeshHost implements Host {
  readonly self: NodeId
  readonly #options: HostOptions
  readonly #create: (topics: readonly string[]) => Promise<Node>
  /** Why admission failed, by peer, until the dial that failed picks it up. */
  readonly #refusals: Map<NodeId, unknown>
  readonly #handlers = new Map<string, StreamHandler>()
  readonly #peerListeners: Array<(peer: NodeId, connected: boolean) => void> = []
  readonly #dialler: Dialler
  readonly #roundTrips: RoundTrips
  readonly #gossip: Gossip
  #node: Node | undefined

  constructor(
    self: NodeId,
    options: HostOptions,
    create: (topics: readonly string[]) => Promise<Node>,
    refusals: Map<NodeId, unknown>
  ) {
    this.self = self
    this.#options = options
    this.#create = create
    this.#refusals = refusals
    this.#roundTrips = new RoundTrips(options)
    this.#gossip = new Gossip({ isMember: peer => this.#isMember(peer), log: options.log })
    this.#dialler = new Dialler({
      ...options,
      self,
      dial: (peer, addresses, signal) => this.#dialAt(peer, addresses, signal),
      isConnected: peer => this.#connection(peer) !== undefined,
      connectedCount: () => this.peers().length,
      isWelcome: peer => options.gate.standing(peer) !== 'revoked'
    })
  }

  async start(): Promise<void> {
    assert(this.#node === undefined, 'a host starts once')
    await assertPortsFree(this.#options.listen)
    const node = await this.#create(this.#gossip.fixTopics(this.#options.topics ?? []))
    this.#node = node
    this.#watch(node)
    // Before anyone can ask: a peer that is told once that we lack a protocol may believe it.
    for (const [protocol, handler] of this.#handlers) await this.#register(protocol, handler)
    try {
      await node.start()
    } catch (cause) {
      await node.stop()
      throw listenFailure(this.#options.listen, cause)
    }
    this.#gossip.start(node.services.pubsub)
    this.#dialler.start()
  }

  async stop(): Promise<void> {
    this.#dialler.stop()
    this.#roundTrips.stop()
    this.#gossip.stop()
    await this.#node?.stop()
  }

  addresses(): string[] {
    return announceable((this.#node?.getMultiaddrs() ?? []).map(String)).slice(0, MAX_ADDRESSES)
  }

  disconnect(peer: NodeId, reason: string): void {
    for (const connection of this.#connections(peer)) connection.abort(new Error(reason))
  }

  setKnownPeers(peers: readonly KnownPeer[]): void {
    this.#dialler.setKnown(peers)
  }

  setPreferredPeers(peers: readonly NodeId[]): void {
    this.#dialler.setPreferred(peers)
  }

  // -- streams

  async open(
    peer: NodeId,
    protocol: string,
    options: { timeoutMs?: number } = {}
  ): Promise<ByteStream> {
    const timeoutMs = options.timeoutMs ?? OPEN_TIMEOUT_MS
    const late = new AbortController()
    const timer = this.#options.clock.after(timeoutMs, () => late.abort(new Error('too late')))
    try {
      const connection = this.#connection(peer) ?? (await this.#dial(peer, late.signal))
      const stream = await connection.newStream([protocol], {
        signal: late.signal,
        maxOutboundStreams: MAX_STREAMS_PER_PROTOCOL
      })
      return adaptStream(stream, peer, this.#options.clock)
    } catch (cause) {
      if (isFault(cause)) throw cause
      if (late.signal.aborted) throw timedOut(peer, timeoutMs, cause)
      throw unreachable(peer, cause)
    } finally {
      timer.cancel()
    }
  }

  handle(protocol: string, handler: StreamHandler): void {
    this.#handlers.set(protocol, handler)
    if (this.#node !== undefined) void this.#register(protocol, handler)
  }

  async #register(protocol: string, handler: StreamHandler): Promise<void> {
    const onStream = (stream: Stream, connection: Connection): void => {
      const peer = connection.remotePeer.toString() as NodeId
      try {
        handler(adaptStream(stream, peer, this.#options.clock))
      } catch (error) {
        this.#options.log.error({ peer, protocol, error: messageOf(error) }, 'a handler failed')
        stream.abort(error instanceof Error ? error : new Error(String(error)))
      }
    }
    await this.#running().handle(protocol, onStream, {
      maxInboundStreams: MAX_STREAMS_PER_PROTOCOL,
      maxOutboundStreams: MAX_STREAMS_PER_PROTOCOL,
      force: true
    })
  }

  // -- gossip

  publish(topic: string, bytes: Uint8Array): Promise<void> {
    return this.#gossip.publish(topic, bytes)
  }

  subscribe(topic: string, listener: GossipListener): () => void {
    return this.#gossip.subscribe(topic, listener)
  }

  #isMember(peer: NodeId): boolean {
    const standing = this.#options.gate.standing(peer)
    return standing === 'member' || (standing === 'unknown' && this.#dialler.knows(peer))
  }

  // -- peers

  peers(): NodeId[] {
    return (this.#node?.getPeers() ?? []).map(peer => peer.toString() as NodeId)
  }

  onPeer(listener: (peer: NodeId, connected: boolean) => void): void {
    this.#peerListeners.push(listener)
  }

  roundTripMs(peer: NodeId): number | undefined {
    return this.#roundTrips.smoothedMs(peer)
  }

  #watch(node: Node): void {
    node.addEventListener('connection:open', event => this.#onOpen(event.detail))
    node.addEventListener('connection:close', event => this.#roundTrips.unwatch(event.detail))
    node.addEventListener('peer:connect', event => {
      this.#notify(event.detail.toString() as NodeId, true)
    })
    node.addEventListener('peer:disconnect', event => {
      const peer = event.detail.toString() as NodeId
      this.#roundTrips.forget(peer)
      this.#dialler.onLost(peer)
      this.#notify(peer, false)
    })
  }

  /** A revocation may have arrived between the handshake and now. */
  #onOpen(connection: Connection): void {
    const peer = connection.remotePeer.toString() as NodeId
    if (this.#options.gate.standing(peer) !== 'member') {
      connection.abort(new Error(`${peer} is not a member any more`))
      return
    }
    this.#roundTrips.watch(connection)
    for (const older of this.#connections(peer)) {
      if (older !== connection) void this.#roundTrips.suspect(older)
    }
  }

  #notify(peer: NodeId, connected: boolean): void {
    for (const listener of this.#peerListeners) listener(peer, connected)
  }

  // -- connections

  async #dial(peer: NodeId, signal: AbortSignal): Promise<Connection> {
    if (peer === this.self) throw unreachable(peer, 'this is ourselves')
    try {
      return await this.#dialler.dial(peer, signal)
    } catch (error) {
      throw isFault(error, 'UNREACHABLE') || !isFault(error) ? error : unreachable(peer, error)
    }
  }

  async #dialAt(peer: NodeId, at: Multiaddr[], signal: AbortSignal): Promise<Connection> {
    this.#refusals.delete(peer)
    try {
      return await this.#running().dial(at, { signal })
    } catch (error) {
      throw this.#refusals.get(peer) ?? error
    } finally {
      this.#refusals.delete(peer)
    }
  }

  /** The newest that is open. */
  #connection(peer: NodeId): Connection | undefined {
    return this.#connections(peer)
      .filter(connection => connection.status === 'open')
      .reduce<Connection | undefined>(
        (best, one) => (best === undefined || one.timeline.open > best.timeline.open ? one : best),
        undefined
      )
  }

  #connections(peer: NodeId): Connection[] {
    return this.#node?.getConnections(peerIdFromString(peer)) ?? []
  }

  #running(): Node {
    if (this.#node === undefined) throw new ShoalError({ code: 'CLOSED' }, 'the host is not up')
    return this.#node
  }
}

function unreachable(peer: NodeId, cause: unknown): ShoalError {
  const message = `${peer} cannot be reached: ${messageOf(cause)}`
  return new ShoalError({ code: 'UNREACHABLE', peer }, message, { cause })
}

function timedOut(peer: NodeId, afterMs: number, cause: unknown): ShoalError {
  const message = `${peer} did not answer within ${afterMs} ms`
  return new ShoalError({ code: 'TIMEOUT', afterMs }, message, { cause })
}
