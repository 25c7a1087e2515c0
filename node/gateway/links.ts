/**
 * The links of one attachment, one per node, and what they share: the token, the layout, and the
 * way to stop them all at once.
 */
import { type Segment, segmentAt } from '../../protocols/attach/placement.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { Incarnation, NodeId, Token, VolumeId } from '../../protocols/ids.ts'
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

  /** The shard refused for want of the chunk: ask again, where the layout now says that it is. */
  reroute(request: LinkRequest, link: ShardLink): void {
    this.#refresh()
    const { extent, column } = request.chunk
    const isOfChunk = request.op !== Op.flush && request.lengthBytes > 0
    const segments = isOfChunk ? this.layout.placement.columns[column] : undefined
    const segment = segments === undefined ? undefined : segmentAt(segments, extent)
    const next = segment === undefined ? link : this.of(segment)
    if (segment !== undefined) request.epoch = segment.epoch
    request.link = next
    next.submit(request)
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
}
