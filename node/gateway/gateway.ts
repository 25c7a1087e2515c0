/**
 * The gateway of a node: the volumes that it holds for the VMs of its host.
 *
 *   attach --> map (who holds shards) --> protocols/attach --> VolumeAttachment --> announce
 */
import { chunksByNode } from '../../crdt/holders.ts'
import type { VolumeView } from '../../crdt/types.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
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
import { attachVolume } from './attach.ts'
import { VolumeAttachment } from './attachment.ts'
import { type ChannelListener, localChannel, type ShardChannel, streamChannel } from './channel.ts'
import type { Layout } from './layout.ts'
import type { IoOptions } from './link-context.ts'
import { type ShardCalls, shardCalls } from './shard-calls.ts'
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
    'mesh' | 'volume' | 'fetchVolume' | 'announceHolder' | 'announceSize' | 'announceLayout'
  >
  /** Connects to the shard server of this very node, if it has one. */
  readonly localShard?: (() => LocalConnection) | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly self: { readonly id: NodeId; readonly host: string }
  readonly options?: GatewayOptions
}

export function createGateway(parts: GatewayParts): Gateway {
  return new VolumeGateway(parts)
}

class VolumeGateway implements Gateway {
  readonly #parts: GatewayParts
  readonly #calls: ShardCalls
  readonly #io: IoOptions
  readonly #attachments = new Map<VolumeId, VolumeAttachment>()
  readonly #attaching = new Map<VolumeId, Promise<VolumeAttachment>>()
  #isClosed = false

  constructor(parts: GatewayParts) {
    const { options = {}, network, rpc } = parts
    this.#parts = parts
    this.#calls = shardCalls(rpc)
    this.#io = {
      ioTimeoutMs: options.ioTimeoutMs ?? DEFAULT_IO_TIMEOUT_MS,
      linkResetMs: options.linkResetMs ?? LINK_RESET_MS,
      keepAliveMs: options.keepAliveMs ?? LINK_KEEP_ALIVE_MS,
      replayBytes: options.replayBytes ?? REPLAY_BYTES
    }
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
      attempt: {
        volume,
        attach: Buffer.from(random.bytes(8)).toString('hex') as Nonce,
        self: self.id,
        takeOver: options.takeOver ?? false,
        holderTimeoutMs: this.#parts.options?.holderTimeoutMs ?? DEFAULT_HOLDER_TIMEOUT_MS,
        starts: new Map([...map.mesh().nodes].map(([node, entry]) => [node, entry.incarnation]))
      },
      nodes: nodesOf(view),
      holder: { node: self.id, host: self.host, since },
      timeoutMs: Math.max(1, timeoutMs - (clock.monotonicMs() - startedAt)),
      clock,
      random,
      calls: this.#calls,
      make: granted => this.#make(granted)
    })
    if (this.#isClosed) {
      attachment.abandon('the gateway is going down')
      throw new ShoalError({ code: 'CLOSED' }, 'the gateway is going down')
    }
    this.#attachments.set(volume, attachment)
    attachment.onState(state => {
      const isCurrent = this.#attachments.get(volume) === attachment
      if (state === 'detached' && isCurrent) this.#attachments.delete(volume)
    })
    map.announceHolder(volume, attachment.token, self.id, since)
    this.#parts.log.info({ volume, token: attachment.token.counter }, 'attached')
    return attachment
  }

  #make(granted: ConstructorParameters<typeof VolumeAttachment>[0]['granted']): VolumeAttachment {
    const { clock, random, log } = this.#parts
    return new VolumeAttachment({
      granted,
      clock,
      random,
      log,
      options: this.#io,
      open: (node, listener) => this.#open(node, listener),
      calls: this.#calls,
      sweepMs: this.#parts.options?.sweepMs ?? GATEWAY_SWEEP_MS,
      grown: (before, after) => this.#announceGrowth(before, after, granted.token)
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

/** Every node that the map names as a holder of some chunk; one that was emptied may have left. */
function nodesOf(view: VolumeView): NodeId[] {
  return [...chunksByNode(view).keys()]
}
