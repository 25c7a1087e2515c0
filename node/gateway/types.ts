/** The gateway as the daemon uses it. Implemented by gateway.ts and attachment.ts. */
import type { Token, VolumeId } from '../../protocols/ids.ts'
import type { SharedDevice } from '../block-device.ts'

/**
 * - serving: requests are answered (they may be waiting for a silent node meanwhile)
 * - fenced: a greater token was met; every request fails, nothing is retried
 * - failed: it cannot go on (a shard lost data it had acknowledged as durable, or similar)
 * - detached: ended on purpose
 */
export type AttachmentState = 'serving' | 'fenced' | 'failed' | 'detached'

export interface AttachmentStats {
  readonly readOperations: number
  readonly writeOperations: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly flushes: number
  readonly inFlight: number
  /** Changes kept for replay. */
  readonly replayBytes: number
  readonly replayEntries: number
  readonly silent: readonly SilentNode[]
  /** Requests that wait because of the volume's limit. */
  readonly held: number
}

/** A node that does not serve its shard at present. */
export interface SilentNode {
  readonly node: string
  /** Since it was last heard. */
  readonly silentMs: number
  /** What is in the way, if it answers and cannot serve. */
  readonly why?: string
}

/** Its own methods are not limited (`--max-iops`); those of its users are. */
export interface Attachment extends SharedDevice {
  readonly volume: VolumeId
  /** The present one: a new one is taken if a mover came between. */
  readonly token: Token
  readonly since: number
  /** Told of every new token, once the attachment goes on under it. */
  onToken: (listener: (token: Token) => void) => void
  state: () => AttachmentState
  /** Why the state is fenced or failed, in words. */
  reason: () => string | undefined
  onState: (listener: (state: AttachmentState) => void) => void
  stats: () => AttachmentStats
  /** Grows the volume: shards first, durably; then the map. */
  grow: (sizeBytes: number) => Promise<void>
  /** Flushes, tells the shards, closes. Idempotent. */
  detach: () => Promise<void>
}

export interface Gateway {
  /**
   * Throws VOLUME_ATTACHED (unless `takeOver`), UNREACHABLE naming the node that is missing after
   * `timeoutMs`, NOT_FOUND, NO_CHUNK.
   */
  attach: (
    volume: VolumeId,
    options?: { takeOver?: boolean; timeoutMs?: number }
  ) => Promise<Attachment>
  attachments: () => ReadonlyMap<VolumeId, Attachment>
  close: () => Promise<void>
}
