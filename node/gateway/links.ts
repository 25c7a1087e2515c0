/**
 * The links of one attachment, one per node, and what they share: the token, the layout, and the
 * way to stop them all at once.
 */
import type { Segment } from '../../protocols/attach/placement.ts'
import { ShoalError } from '../../protocols/fault.ts'
import {
  type ChunkKey,
  compareEpochs,
  type Incarnation,
  type NodeId,
  type PlacementEpoch,
  type Token,
  type VolumeId
} from '../../protocols/ids.ts'
import { Op } from '../../protocols/shard-io/messages.ts'
import type { Clock, Log, Random } from '../ports.ts'
import type { ChannelListener, ShardChannel } from './channel.ts'
import type { Layout } from './layout.ts'
import type { IoOptions, LinkContext } from './link-context.ts'
import type { LinkRequest } from './request.ts'
import { ShardLink } from './shard-link.ts'
import type { SilentNode } from './types.ts'

export interface LinksParts {
  readonly layout: Layout
  readonly token: Token
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly options: IoOptions
  readonly open: (node: NodeId, listener: ChannelListener) => Promise<ShardChannel>
  /** The start of each node's store that is known; a link takes no earlier one. */
  readonly starts: ReadonlyMap<NodeId, Incarnation>
  /** A shard knows another token. */
  readonly fence: (node: NodeId, tokenCounter: number) => void
  readonly fail: (error: ShoalError) => void
  readonly freed: (bytes: number) => void
  /** A shard does not hold what the layout says: ask all what they hold. */
  readonly refresh: () => void
  /** The same for one chunk. True if a cutover of it is open there. */
  readonly lost: (chunk: ChunkKey, node: NodeId) => boolean
}

export class Links implements LinkContext {
  readonly volume: VolumeId
  readonly token: Token
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly options: IoOptions
  readonly open: (node: NodeId, listener: ChannelListener) => Promise<ShardChannel>
  readonly fence: (node: NodeId, tokenCounter: number) => void
  readonly fail: (error: ShoalError) => void
  readonly freed: (bytes: number) => void
  layout: Layout
  readonly #refresh: () => void
  readonly #lost: (chunk: ChunkKey, node: NodeId) => boolean
  readonly #starts: ReadonlyMap<NodeId, Incarnation>
  readonly #links = new Map<NodeId, ShardLink>()
  #stopReason: Error | undefined

  constructor(parts: LinksParts) {
    this.layout = parts.layout
    this.volume = parts.layout.spec.id
    this.token = parts.token
    this.clock = parts.clock
    this.random = parts.random
    this.log = parts.log
    this.options = parts.options
    this.open = parts.open
    this.fence = parts.fence
    this.fail = parts.fail
    this.#starts = parts.starts
    this.freed = parts.freed
    this.#refresh = parts.refresh
    this.#lost = parts.lost
  }

  all(): Iterable<ShardLink> {
    return this.#links.values()
  }

  /** The link to a node, made if there is none. */
  to(node: NodeId): ShardLink {
    const known = this.#links.get(node)
    if (known !== undefined) return known
    const link = new ShardLink(node, this, this.#starts.get(node))
    this.#links.set(node, link)
    if (this.#stopReason !== undefined) link.stop(this.#stopReason)
    return link
  }

  of(segment: Segment): ShardLink {
    return this.to(segment.node)
  }

  /** The layout may have changed since the request was sent: then it goes there at once. */
  lost(request: LinkRequest, link: ShardLink): boolean {
    const segment = this.#segmentOf(request)
    if (segment === undefined) return false
    const isHere = segment.node === link.node && sameEpoch(segment.epoch, request.epoch)
    if (isHere) this.#lost(request.chunk, link.node)
    else this.#place(request, segment)
    return !isHere
  }

  lostInReplay(
    request: LinkRequest,
    link: ShardLink,
    isMoved: boolean
  ): 'done' | 'again' | 'refused' {
    const segment = this.#segmentOf(request)
    if (segment !== undefined && segment.node !== link.node) return 'done'
    if (segment !== undefined && !sameEpoch(segment.epoch, request.epoch)) {
      request.epoch = segment.epoch
      return 'again'
    }
    // A release is durable only once the target durably has all that was answered here before.
    if (this.#lost(request.chunk, link.node)) return isMoved ? 'done' : 'again'
    this.#refresh()
    return isMoved ? 'done' : 'refused'
  }

  /** The shard refused for want of the chunk: ask again, where the layout now says that it is. */
  reroute(request: LinkRequest, link: ShardLink): void {
    this.#refresh()
    const segment = this.#segmentOf(request)
    if (segment === undefined) link.submit(request)
    else this.#place(request, segment)
  }

  /** What waits for the chunk on the link to `node` goes to where the chunk is now. */
  resubmit(chunk: ChunkKey, node: NodeId): void {
    const link = this.#links.get(node)
    if (link === undefined) return
    for (const request of link.takeWaiting(chunk)) {
      const segment = this.#segmentOf(request)
      if (segment === undefined) link.submit(request)
      else this.#place(request, segment)
    }
  }

  /** The shards of a new layout hold durably what their chunks brought along. */
  adopt(layout: Layout): void {
    this.layout = layout
    for (const link of this.#links.values()) {
      const freed = link.buffer.dropOf(({ chunk }) => {
        const segment = layout.find(chunk.extent, chunk.column)
        return segment !== undefined && segment.node !== link.node
      })
      if (freed > 0) this.freed(freed)
    }
  }

  /** Every shard that answered a change since its last flush. Rejects with the first failure. */
  async flush(): Promise<void> {
    const flushes: Array<Promise<void>> = []
    for (const link of this.#links.values()) {
      if (link.buffer.length > 0) flushes.push(link.flusher.flush())
    }
    const failure = (await Promise.allSettled(flushes)).find(result => result.status === 'rejected')
    if (failure !== undefined) throw failure.reason
  }

  sweep(nowMs: number): void {
    for (const link of this.#links.values()) link.sweep(nowMs)
  }

  stop(reason: Error): void {
    this.#stopReason ??= reason
    for (const link of this.#links.values()) link.stop(reason)
  }

  stopReason(): Error {
    return this.#stopReason ?? new ShoalError({ code: 'CLOSED' }, 'the volume is closed')
  }

  silent(nowMs: number): SilentNode[] {
    const silent: SilentNode[] = []
    for (const link of this.#links.values()) {
      if (link.phase === 'open' && nowMs - link.heardAt < this.options.linkResetMs) continue
      const { node, trouble } = link
      const silentMs = Math.max(0, nowMs - link.heardAt)
      silent.push({ node, silentMs, ...(trouble === undefined ? {} : { why: trouble }) })
    }
    return silent
  }

  #segmentOf({ op, chunk, lengthBytes }: LinkRequest): Segment | undefined {
    const isOfChunk = op !== Op.flush && lengthBytes > 0
    return isOfChunk ? this.layout.find(chunk.extent, chunk.column) : undefined
  }

  #place(request: LinkRequest, segment: Segment): void {
    const link = this.of(segment)
    request.epoch = segment.epoch
    request.link = link
    link.submit(request)
  }
}

function sameEpoch(a: PlacementEpoch, b: PlacementEpoch): boolean {
  return a === b || compareEpochs(a, b) === 0
}
