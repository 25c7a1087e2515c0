/**
 * Deletes a volume.
 *
 *   query all -> open(greatest + 1) on all: fences whoever wrote -> tombstone -> remove on all
 *
 * Invariants: nothing is removed while a gateway holds the volume, unless forced; the tombstone is
 * durable here before the first byte is freed, so that a deletion that was interrupted, or that a
 * node missed, is completed by reaper.ts; a shard is removed only under a token at least as great
 * as its own.
 */

import type { MeshView } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, Token, VolumeId } from '../../protocols/ids.ts'
import { volumeName } from './names.ts'
import {
  callShards,
  greatestToken,
  nodeNames,
  refusal,
  type ShardReply,
  shardNodes,
  statesOf
} from './shards.ts'
import { newNonce, type VolumeParts } from './types.ts'

/** A forced deletion must outbid a node that nobody could ask: it may know some later attaches. */
const FORCED_TOKEN_STEP = 1_000_000

export interface Removed {
  readonly id: VolumeId
  readonly name: string
  /** Nodes that will free their shard when they are back. */
  readonly pending: readonly NodeId[]
}

export interface RemoveOptions {
  /** Delete even if a gateway holds the volume, or a node cannot be asked. */
  readonly force: boolean
  readonly self: { readonly host: string }
}

/** Throws VOLUME_ATTACHED, UNREACHABLE (unless forced), NOT_FOUND. */
export async function removeVolume(
  parts: VolumeParts,
  id: VolumeId,
  options: RemoveOptions
): Promise<Removed> {
  const mesh = parts.map.mesh()
  const name = volumeName(mesh, id)
  const nodes = shardNodes(await parts.map.fetchVolume(id))
  const replies = await callShards(parts, nodes, () => ({ call: 'query', volume: id }))
  if (!options.force) {
    refuseUnlessFree(name, replies)
    refuseUnlessAnswered(mesh, name, replies)
  }
  const greatest = greatestToken(replies)
  const token = {
    counter: greatest.counter + (options.force ? FORCED_TOKEN_STEP : 1),
    attach: newNonce(parts.random)
  }
  await fence(parts, id, token, { replies, ...options })
  parts.map.announceDelete({ id, token, at: parts.clock.now() })
  await parts.map.flush()
  const removals = await callShards(parts, nodes, () => ({ call: 'remove', volume: id, token }))
  const pending = removals.filter(reply => !isGone(reply)).map(reply => reply.node)
  parts.log.info({ volume: id, name, pending }, 'volume deleted')
  return { id, name, pending }
}

/** Takes the volume from whoever may still write, so that the deletion is the last change. */
async function fence(
  parts: VolumeParts,
  id: VolumeId,
  token: Token,
  options: RemoveOptions & { replies: readonly ShardReply[] }
): Promise<void> {
  const holder = {
    node: parts.network.self,
    host: options.self.host,
    since: parts.clock.now()
  }
  const nodes = [...statesOf(options.replies).keys()]
  const opened = await callShards(parts, nodes, () => ({ call: 'open', volume: id, token, holder }))
  if (options.force) return
  for (const reply of opened) {
    if ('error' in reply)
      throw unreachable(parts.map.mesh(), volumeName(parts.map.mesh(), id), [reply])
    if (reply.answer.is !== 'state') throw refusal(parts.map.mesh(), reply.node, reply.answer)
  }
}

function refuseUnlessFree(name: string, replies: readonly ShardReply[]): void {
  for (const state of statesOf(replies).values()) {
    const { holder } = state
    if (holder === undefined) continue
    const since = new Date(holder.since).toISOString()
    throw new ShoalError(
      { code: 'VOLUME_ATTACHED', host: holder.host, since: holder.since },
      `volume ${name} is attached on host ${holder.host} since ${since}: detach it there with ` +
        `\`shoal volume detach ${name}\`, or pass --force if that gateway is gone`
    )
  }
}

function refuseUnlessAnswered(mesh: MeshView, name: string, replies: readonly ShardReply[]): void {
  const silent = replies.filter(reply => 'error' in reply)
  if (silent.length > 0) throw unreachable(mesh, name, silent)
}

function unreachable(mesh: MeshView, name: string, silent: readonly ShardReply[]): ShoalError {
  const nodes = silent.map(reply => reply.node)
  const [first] = nodes
  return new ShoalError(
    { code: 'UNREACHABLE', peer: first ?? '' },
    `volume ${name} has shards on ${nodeNames(mesh, nodes)}, which cannot be reached: bring ` +
      'them back, or pass --force, and they free the space when they return'
  )
}

function isGone(reply: ShardReply): boolean {
  return 'answer' in reply && ['done', 'absent', 'removed'].includes(reply.answer.is)
}
