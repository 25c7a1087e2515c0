/** The requests that a link makes for itself. */
import type { ChunkKey, VolumeId } from '../../protocols/ids.ts'
import { NO_TOKEN } from '../../protocols/ids.ts'
import { Op } from '../../protocols/shard-io/messages.ts'
import type { LinkContext } from './link-context.ts'
import { type LinkRequest, NO_CRCS, NO_DATA } from './request.ts'

/** The first request of every connection. */
export function helloRequest(context: LinkContext, nowMs: number): LinkRequest {
  return { ...emptyRequest(context, Op.hello, nowMs), isOfConnection: true }
}

/** A read of nothing: tells the shard that the holder lives, and us that the shard does. */
export function pingRequest(context: LinkContext, nowMs: number): LinkRequest {
  return { ...emptyRequest(context, Op.read, nowMs), isOfConnection: true }
}

export function flushRequest(context: LinkContext, nowMs: number): LinkRequest {
  return emptyRequest(context, Op.flush, nowMs)
}

function emptyRequest(context: LinkContext, op: Op, nowMs: number): LinkRequest {
  return {
    op,
    flags: 0,
    chunk: wholeShard(context.volume),
    epoch: { token: NO_TOKEN, counter: 0 },
    offsetBytes: 0,
    lengthBytes: 0,
    crcs: NO_CRCS,
    data: NO_DATA,
    startedAt: nowMs,
    sentSession: 0,
    answered: ignore,
    failed: ignore
  }
}

function wholeShard(volume: VolumeId): ChunkKey {
  return { volume, extent: 0, generation: 0, column: 0, replica: 0 }
}

function ignore(): void {}
