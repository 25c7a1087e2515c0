/** What a link asks of the attachment that it belongs to. */
import type { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, Token, VolumeId } from '../../protocols/ids.ts'
import type { MovedTo } from '../../protocols/shard-io/messages.ts'
import type { Clock, Log, Random } from '../ports.ts'
import type { ChannelListener, ShardChannel } from './channel.ts'
import type { LinkRequest } from './request.ts'
import type { ShardLink } from './shard-link.ts'

export interface IoOptions {
  /** A node that is silent for so long fails what waits for it. */
  readonly ioTimeoutMs: number
  readonly linkResetMs: number
  readonly keepAliveMs: number
  /** Bound of the changes kept for replay and in flight. */
  readonly replayBytes: number
}

export interface LinkContext {
  readonly volume: VolumeId
  readonly token: Token
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly options: IoOptions
  /**
   * Of the next connection: above all that came before, of every link. A shard remembers the greatest
   * that it met under the token, also when the link to it was given up and is made anew.
   */
  nextSession: () => number
  /** A new connection to the shard on `node`. */
  open: (node: NodeId, listener: ChannelListener) => Promise<ShardChannel>
  /** A shard knows another token, with this counter: everything must stop, or start anew. */
  fence: (node: NodeId, tokenCounter: number) => void
  /** The volume cannot be served any more: everything must stop. */
  fail: (error: ShoalError) => void
  /** Why the links were stopped. */
  stopReason: () => Error
  /** The shard answered that it does not hold the chunk. True: the request is taken elsewhere. */
  lost: (request: LinkRequest, link: ShardLink, movedTo: MovedTo | undefined) => boolean
  /**
   * The same for a part of a replay. `done`: another shard holds all of it durably; `again`: ask
   * once more after a pause; `refused`: nobody is known to hold it.
   */
  lostInReplay: (
    request: LinkRequest,
    link: ShardLink,
    movedTo: MovedTo | undefined
  ) => 'done' | 'again' | 'refused'
  /** The shard does not hold the chunk: submit the request again, where the chunk is now. */
  reroute: (request: LinkRequest, link: ShardLink) => void
  /** A flush made room in the budget for replay. */
  freed: (bytes: number) => void
}
