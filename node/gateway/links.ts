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
import { type MovedTo, Op } from '../../protocols/shard-io/messages.ts'
import type { Clock, Log, Random } from '../ports.ts'
import type { Change } from './change.ts'
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
  readonly lost: (chunk: ChunkKey, node: NodeId, movedTo: MovedTo | undefined) => boolean
}

export class Links implements LinkContext {
  readonly volume: VolumeId
  token: Token
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly options: IoOptions
  readonly open: (node: NodeId, listener: ChannelListener) => Promise<ShardChannel>
  readonly fence: (node: NodeId, tokenCounter: number) => void
  readonly fail: (error: ShoalError) => void
  readonly freed: (bytes: number) => void
  layout: Layout
  /** Every node to which there is a link, or was one. */
  readonly known = new Set<NodeId>()
  readonly #refresh: () => void
  readonly #lost: LinksParts['lost']
  readonly #starts: Map<NodeId, Incarnation>
  readonly #links = new Map<NodeId, ShardLink>()
  #stopReason: Error | undefined
  #sessions = 0
  /** How often changes went from the buffer of one link to that of another. */
  #relocations = 0

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
    this.#starts = new Map(parts.starts)
    this.freed = parts.freed
    this.#refresh = parts.refresh
    this.#lost = parts.lost
  }

  nextSession(): number {
    return ++this.#sessions
  }

  all(): Iterable<ShardLink> {
    return this.#links.values()
  }

  get(node: NodeId): ShardLink | undefined {
    return this.#links.get(node)
  }

  /** The link to a node, made if there is none. */
  to(node: NodeId): ShardLink {
    const known = this.#links.get(node)
    if (known !== undefined) return known
    const link = new ShardLink(node, this, this.#starts.get(node))
    this.#links.set(node, link)
    this.known.add(node)
    if (this.#stopReason !== undefined) link.stop(this.#stopReason)
    return link
  }

  /** A change that may be sent now; its chunk may have passed on since it started. */
  send(change: Change): void {
    const link = change.placedOn
    const segment = link.phase === 'stopped' ? this.#segmentOf(change) : undefined
    if (segment === undefined) link.submit(change)
    else this.#place(change, segment)
  }

  of(segment: Segment): ShardLink {
    return this.to(segment.node)
  }

  /** The layout may have changed since the request was sent: then it goes there at once. */
  lost(request: LinkRequest, link: ShardLink, movedTo: MovedTo | undefined): boolean {
    if (request.lengthBytes > 0) this.#lost(request.chunk, link.node, movedTo)
    const segment = this.#segmentOf(request)
    if (segment === undefined) return false
    const isHere = segment.node === link.node && sameEpoch(segment.epoch, request.epoch)
    if (!isHere) this.#place(request, segment)
    return !isHere
  }

  lostInReplay(
    request: LinkRequest,
    link: ShardLink,
    movedTo: MovedTo | undefined
  ): 'done' | 'again' | 'refused' {
    const isOpen = this.#lost(request.chunk, link.node, movedTo)
    const segment = this.#segmentOf(request)
    if (segment !== undefined && segment.node !== link.node) return 'done'
    if (segment !== undefined && !sameEpoch(segment.epoch, request.epoch)) {
      request.epoch = segment.epoch
      return 'again'
    }
    // A release is durable only once the target durably has all that was answered here before.
    if (movedTo !== undefined) return 'done'
    if (isOpen) return 'again'
    this.#refresh()
    return 'refused'
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

  /** Changes go to the link of another shard, to be replayed there before anything else. */
  relocate(changes: readonly Change[], to: ShardLink, epoch: PlacementEpoch): void {
    this.#relocations++
    for (const change of changes) change.epoch = epoch
    to.takeOver(changes)
  }

  /** Nothing is sent to anybody until `rebase`. */
  hold(): void {
    for (const link of this.#links.values()) link.hold()
  }

  /** The volume was attached anew: under this token, with the chunks where movers put them. */
  rebase(token: Token, layout: Layout, starts: ReadonlyMap<NodeId, Incarnation>): void {
    this.token = token
    this.layout = layout
    for (const [node, start] of starts) this.#starts.set(node, start)
    const links = [...this.#links.values()]
    for (const link of links) this.#follow(link)
    const waiting = links.flatMap(link => link.takeAllWaiting().map(request => ({ link, request })))
    for (const { link, request } of waiting) {
      const segment = this.#segmentOf(request)
      if (segment === undefined) link.submit(request)
      else this.#place(request, segment)
    }
    for (const link of links) link.resume()
  }

  /** Makes durable all that the shards answered until now. Rejects with the first failure. */
  async flush(): Promise<void> {
    let relocations: number
    do {
      relocations = this.#relocations
      await this.#flushOnce()
      // What went to another shard meanwhile was not among what the flush covered there.
    } while (relocations !== this.#relocations)
  }

  async #flushOnce(): Promise<void> {
    const flushes: Array<Promise<void>> = []
    for (const link of this.#links.values()) {
      if (link.buffer.length > 0) flushes.push(link.flusher.flush())
    }
    const failure = (await Promise.allSettled(flushes)).find(result => result.status === 'rejected')
    if (failure !== undefined) throw failure.reason
  }

  sweep(nowMs: number): void {
    const { nodes } = this.layout
    for (const link of this.#links.values()) {
      link.sweep(nowMs)
      if (!nodes.has(link.node) && link.isIdle) this.#retire(link)
    }
  }

  /** Its shard holds nothing any more, and nothing is owed to it. */
  #retire(link: ShardLink): void {
    if (link.latest !== undefined) this.#starts.set(link.node, link.latest)
    this.#links.delete(link.node)
    link.flusher.end()
    link.stop(new ShoalError({ code: 'CLOSED' }, 'the shard holds nothing of the volume'))
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

  /** Entries whose chunk left, under an older token, follow it: the copy may lack them. */
  #follow(link: ShardLink): void {
    const leaving = new Map<Segment, Change[]>()
    const entries = link.buffer.take(change => {
      const segment = this.#segmentOf(change)
      if (segment !== undefined) change.epoch = segment.epoch
      return segment !== undefined && segment.node !== link.node
    })
    for (const change of entries) {
      const segment = this.#segmentOf(change)
      if (segment === undefined) continue
      const changes = leaving.get(segment)
      if (changes === undefined) leaving.set(segment, [change])
      else changes.push(change)
    }
    for (const [segment, changes] of leaving) {
      this.relocate(changes, this.of(segment), segment.epoch)
    }
  }

  #segmentOf({ op, chunk, lengthBytes }: LinkRequest): Segment | undefined {
    const isOfChunk = op !== Op.flush && lengthBytes > 0
    return isOfChunk ? this.layout.find(chunk.extent, chunk.column) : undefined
  }

  #place(request: LinkRequest, segment: Segment): void {
    const link = this.of(segment)
    // What it was sent to does not hold the chunk any more, and can apply nothing to it.
    if (link !== request.link) request.sentSession = 0
    request.epoch = segment.epoch
    request.link = link
    link.submit(request)
  }
}

function sameEpoch(a: PlacementEpoch, b: PlacementEpoch): boolean {
  return a === b || compareEpochs(a, b) === 0
}
