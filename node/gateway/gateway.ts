/**
 * The gateway of a node: the volumes that it holds for the VMs of its host.
 *
 *   attach --> map (who holds shards) --> protocols/attach --> VolumeAttachment --> announce
 */
import { effectiveHolders } from '../../crdt/holders.ts'
import type { Attempt, Granted } from '../../protocols/attach/machine.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import {
  type ApprovalAnswer,
  type ApprovalRequest,
  approvalRequestSchema,
  HANDOFF_APPROVAL_PROTOCOL
} from '../../protocols/handoff/calls.ts'
import type { ObserveStep } from '../../protocols/handoff/steps.ts'
import type { NodeId, Nonce, VolumeId } from '../../protocols/ids.ts'
import { SHARD_IO_PROTOCOL } from '../../protocols/shard-io/messages.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import {
  DEFAULT_ATTACH_TIMEOUT_MS,
  DEFAULT_HOLDER_TIMEOUT_MS,
  DEFAULT_IO_TIMEOUT_MS,
  GATEWAY_CLOSE_MS,
  GATEWAY_SWEEP_MS,
  LINK_DIAL_TIMEOUT_MS,
  LINK_KEEP_ALIVE_MS,
  LINK_RESET_MS,
  REPLAY_BYTES
} from '../limits.ts'
import type { ShardMap } from '../map/types.ts'
import type { Clock, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { LocalConnection } from '../shard/types.ts'
import { attachVolume, type OpenOptions, openAgain } from './attach.ts'
import { VolumeAttachment } from './attachment.ts'
import type { Reopening } from './attachment-parts.ts'
import { type ChannelListener, localChannel, type ShardChannel, streamChannel } from './channel.ts'
import { refused } from './cutover.ts'
import type { Layout } from './layout.ts'
import type { IoOptions } from './link-context.ts'
import { type OutcomeCalls, outcomeCalls, type ShardCalls, shardCalls } from './shard-calls.ts'
import type { Attachment, Gateway } from './types.ts'

export interface GatewayOptions extends Partial<IoOptions> {
  /** A holder that no shard heard for so long is taken for gone. */
  readonly holderTimeoutMs?: number
  readonly sweepMs?: number
}

export interface GatewayParts {
  readonly network: Network
  readonly rpc: Rpc
  readonly map: Pick<
    ShardMap,
    | 'mesh'
    | 'volume'
    | 'onVolume'
    | 'fetchVolume'
    | 'announceHolder'
    | 'announceSize'
    | 'announceLayout'
  >
  /** Connects to the shard server of this very node, if it has one. */
  readonly localShard?: (() => LocalConnection) | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly self: { readonly id: NodeId; readonly host: string }
  readonly options?: GatewayOptions
  /** Told of every step of a handoff that this gateway approves. */
  readonly observe?: ObserveStep | undefined
}

const REVOCATION_WAITS = 20
const REVOCATION_WAIT_MS = 200

export function createGateway(parts: GatewayParts): Gateway {
  return new VolumeGateway(parts)
}

class VolumeGateway implements Gateway {
  readonly #parts: GatewayParts
  readonly #calls: ShardCalls
  readonly #outcomes: OutcomeCalls
  readonly #io: IoOptions
  readonly #attachments = new Map<VolumeId, VolumeAttachment>()
  readonly #attaching = new Map<VolumeId, Promise<VolumeAttachment>>()
  #isClosed = false

  constructor(parts: GatewayParts) {
    const { options = {}, network, rpc, map } = parts
    this.#parts = parts
    this.#calls = shardCalls(rpc)
    this.#outcomes = outcomeCalls(rpc)
    this.#io = {
      ioTimeoutMs: options.ioTimeoutMs ?? DEFAULT_IO_TIMEOUT_MS,
      linkResetMs: options.linkResetMs ?? LINK_RESET_MS,
      keepAliveMs: options.keepAliveMs ?? LINK_KEEP_ALIVE_MS,
      replayBytes: options.replayBytes ?? REPLAY_BYTES
    }
    rpc.serve(HANDOFF_APPROVAL_PROTOCOL, approvalRequestSchema, (from, request) =>
      this.#approval(from, request)
    )
    map.onVolume((id, view) => this.#attachments.get(id)?.limit(view.policy.maxIops))
    network.onPeer((peer, connected) => {
      if (!connected) return
      for (const attachment of this.#attachments.values()) attachment.peerConnected(peer)
    })
  }

  attach(
    volume: VolumeId,
    options: { takeOver?: boolean; timeoutMs?: number } = {}
  ): Promise<Attachment> {
    if (this.#isClosed) {
      return Promise.reject(new ShoalError({ code: 'CLOSED' }, 'the gateway is going down'))
    }
    const present = this.#attachments.get(volume)
    if (present?.state() === 'serving') return Promise.resolve(present)
    const underWay = this.#attaching.get(volume)
    if (underWay !== undefined) return underWay
    const attaching = this.#attach(volume, options).finally(() => this.#attaching.delete(volume))
    this.#attaching.set(volume, attaching)
    return attaching
  }

  async #approval(from: NodeId, request: ApprovalRequest): Promise<ApprovalAnswer> {
    const attachment = this.#attachments.get(request.chunk.volume)
    if (attachment === undefined) return { is: request.call === 'settled' ? 'noted' : 'not-holder' }
    // A source that may still serve is never gone round.
    if (request.call === 'grant' && !(await this.#isRevoked(request.source))) {
      return refused('the source has not been given up, as far as this gateway knows')
    }
    return attachment.approval(from, request)
  }

  /** The word that a node was given up may be on its way still. */
  async #isRevoked(node: NodeId): Promise<boolean> {
    const { map, clock } = this.#parts
    for (let waits = 0; !map.mesh().revocations.has(node); waits++) {
      if (waits === REVOCATION_WAITS || this.#isClosed) return false
      await new Promise<void>(resolve => void clock.after(REVOCATION_WAIT_MS, resolve))
    }
    return true
  }

  attachments(): ReadonlyMap<VolumeId, Attachment> {
    return this.#attachments
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#attachments.values()].map(attachment => this.#close(attachment)))
  }

  /** Detaches; a node that is silent may hold that up, but not for ever. */
  async #close(attachment: VolumeAttachment): Promise<void> {
    const timer = this.#parts.clock.after(GATEWAY_CLOSE_MS, () => {
      attachment.abandon('the gateway is going down')
    })
    try {
      await attachment.detach()
    } catch (error) {
      const { log } = this.#parts
      const why = messageOf(error)
      log.warn({ volume: attachment.volume, why }, 'going down without a last flush of the volume')
      attachment.abandon('the gateway is going down')
    } finally {
      timer.cancel()
    }
  }

  async #attach(
    volume: VolumeId,
    options: { takeOver?: boolean; timeoutMs?: number }
  ): Promise<VolumeAttachment> {
    const { map, clock, random, self } = this.#parts
    const timeoutMs = options.timeoutMs ?? DEFAULT_ATTACH_TIMEOUT_MS
    const startedAt = clock.monotonicMs()
    if (map.mesh().tombstones.has(volume)) {
      throw new ShoalError({ code: 'NOT_FOUND', what: 'volume' }, 'the volume was deleted')
    }
    const view = map.volume(volume) ?? (await map.fetchVolume(volume, { timeoutMs }))
    const since = clock.now()
    const attachment = await attachVolume({
      ...this.#opening(volume, {
        attach: Buffer.from(random.bytes(8)).toString('hex') as Nonce,
        takeOver: options.takeOver ?? false
      }),
      nodes: effectiveHolders(view),
      holder: { node: self.id, host: self.host, since },
      timeoutMs: Math.max(1, timeoutMs - (clock.monotonicMs() - startedAt)),
      make: granted => this.#make(granted)
    })
    if (this.#isClosed) {
      attachment.abandon('the gateway is going down')
      throw new ShoalError({ code: 'CLOSED' }, 'the gateway is going down')
    }
    attachment.begin()
    attachment.limit((map.volume(volume) ?? view).policy.maxIops)
    this.#attachments.set(volume, attachment)
    attachment.onState(state => {
      const isCurrent = this.#attachments.get(volume) === attachment
      if (state === 'detached' && isCurrent) this.#attachments.delete(volume)
    })
    map.announceHolder(volume, attachment.token, self.id, since)
    this.#parts.log.info({ volume, token: attachment.token.counter }, 'attached')
    return attachment
  }

  #opening(
    volume: VolumeId,
    wish: Pick<Attempt, 'attach' | 'takeOver' | 'after'>
  ): Omit<OpenOptions, 'nodes' | 'holder' | 'timeoutMs'> {
    const { map, clock, random, self, options } = this.#parts
    return {
      attempt: {
        volume,
        ...wish,
        self: self.id,
        holderTimeoutMs: options?.holderTimeoutMs ?? DEFAULT_HOLDER_TIMEOUT_MS,
        starts: new Map([...map.mesh().nodes].map(([node, entry]) => [node, entry.incarnation]))
      },
      clock,
      random,
      calls: this.#calls,
      outcomes: this.#outcomes,
      named: async () => effectiveHolders(await map.fetchVolume(volume))
    }
  }

  /** Only movers came between, or the attachment is over. */
  #openAgain(
    volume: VolumeId,
    { after, attach, since, nodes }: Reopening,
    signal: AbortSignal
  ): Promise<Granted> {
    const { id, host } = this.#parts.self
    const options = {
      ...this.#opening(volume, { attach, after, takeOver: false }),
      nodes: [...new Set([...nodes, ...this.#named(volume)])],
      holder: { node: id, host, since },
      timeoutMs: DEFAULT_ATTACH_TIMEOUT_MS
    }
    return openAgain(options, signal)
  }

  #named(volume: VolumeId): NodeId[] {
    const view = this.#parts.map.volume(volume)
    return view === undefined ? [] : effectiveHolders(view)
  }

  #make(granted: Granted): VolumeAttachment {
    const { clock, random, log, map, self } = this.#parts
    const { id } = granted.spec
    return new VolumeAttachment({
      granted,
      clock,
      random,
      log,
      options: this.#io,
      open: (node, listener) => this.#open(node, listener),
      calls: this.#calls,
      outcomes: this.#outcomes,
      observe: this.#parts.observe ?? (() => {}),
      sweepMs: this.#parts.options?.sweepMs ?? GATEWAY_SWEEP_MS,
      openAgain: (wish, signal) => this.#openAgain(id, wish, signal),
      regained: (token, since) => map.announceHolder(id, token, self.id, since),
      named: () => this.#named(id),
      grown: (before, after, token) => this.#announceGrowth(before, after, token)
    })
  }

  async #open(node: NodeId, listener: ChannelListener): Promise<ShardChannel> {
    const { self, localShard, network } = this.#parts
    if (node === self.id && localShard !== undefined) {
      return localChannel(localShard(), listener)
    }
    const timeoutMs = Math.min(LINK_DIAL_TIMEOUT_MS, this.#io.linkResetMs)
    return streamChannel(await network.open(node, SHARD_IO_PROTOCOL, { timeoutMs }), listener)
  }

  #announceGrowth(before: Layout, after: Layout, token: VolumeAttachment['token']): void {
    const { map } = this.#parts
    const { spec, sizeBytes } = after
    const from = extentCount(spec, before.sizeBytes)
    const to = extentCount(spec, sizeBytes)
    const epoch = { token, counter: to }
    if (to > from) {
      const nodes = after.placement.columns.map(segments => {
        const last = segments.at(-1)
        return last === undefined ? [] : [last.node]
      })
      map.announceLayout(spec.id, { from, to, nodes, epoch })
    }
    map.announceSize(spec.id, sizeBytes, epoch)
  }
}
