/**
 * Attach, detach and resize: the gateway's attachment, its NBD export, and the durable list from
 * which a restarted daemon attaches again.
 *
 * Invariants: an export never outlives its attachment; the list names a volume before `attach`
 * answers, and no longer when `detach` answers; a failed `attach` undoes only what it made; a restart attaches only what nobody else has
 * attached since.
 */
import { assert } from '../../protocols/assert.ts'
import { greatestWriter } from '../../protocols/attach/shards.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import { compareTokens, type VolumeId } from '../../protocols/ids.ts'
import { checkVolumeSize, formatSize } from '../../protocols/layout/sizes.ts'
import type { Attachment } from '../gateway/types.ts'
import { volumeName } from './names.ts'
import type { SavedList } from './saved-list.ts'
import { callShards, nodeNames, type ShardReply, shardNodes, statesOf } from './shards.ts'
import type { ExportPoint, SavedAttachment, VolumeParts } from './types.ts'

export interface Attached {
  readonly id: VolumeId
  readonly name: string
  readonly sizeBytes: number
  readonly since: number
  readonly point: ExportPoint
}

export interface AttachOptions {
  readonly takeOver?: boolean | undefined
  readonly timeoutMs?: number | undefined
}

/** Attaches here and exports over NBD; answers the same again if that is so already. */
export async function attachVolume(
  parts: VolumeParts,
  saved: SavedList,
  id: VolumeId,
  options: AttachOptions = {}
): Promise<Attached> {
  const name = volumeName(parts.map.mesh(), id)
  checkExportName(parts, id, name)
  const wasServing = parts.gateway.attachments().get(id)?.state() === 'serving'
  const attachment = await holdVolume(parts, id, options)
  const wasExported = parts.exports.point(id) !== undefined
  try {
    const point = parts.exports.point(id) ?? (await parts.exports.add(id, name, attachment))
    await saved.put({ volume: id, name, token: attachment.token })
    if (!wasServing) followToken(parts, saved, attachment)
    return { id, name, sizeBytes: attachment.sizeBytes(), since: attachment.since, point }
  } catch (error) {
    if (!wasExported) await parts.exports.remove(id)
    if (!wasServing) await attachment.detach()
    throw error
  }
}

/** The list names the token that a restart has to find, also after a mover came between. */
function followToken(parts: VolumeParts, saved: SavedList, attachment: Attachment): void {
  const { volume } = attachment
  attachment.onToken(token => {
    const before = saved.entry(volume)
    if (before === undefined) return
    saved.put({ ...before, token }).catch(error => {
      parts.log.warn({ volume, error: messageOf(error) }, 'the new token was not saved')
    })
  })
}

/** A renamed volume keeps its export name until it is attached anew: its clients are connected. */
function checkExportName(parts: VolumeParts, id: VolumeId, name: string): void {
  for (const other of parts.gateway.attachments().keys()) {
    if (other === id || parts.exports.point(other)?.exportName !== name) continue
    const holder = volumeName(parts.map.mesh(), other)
    throw new ShoalError(
      { code: 'CONFLICT', what: name },
      `volume ${holder} is still exported under its old name ${name} here: detach and attach it`
    )
  }
}

/** The serving attachment of this gateway, made if there is none. */
async function holdVolume(
  parts: VolumeParts,
  id: VolumeId,
  options: AttachOptions
): Promise<Attachment> {
  const present = parts.gateway.attachments().get(id)
  if (present?.state() === 'serving') return present
  if (present !== undefined) {
    await parts.exports.remove(id)
    await present.detach()
  }
  return parts.gateway.attach(id, {
    ...(options.takeOver === undefined ? {} : { takeOver: options.takeOver }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs })
  })
}

/** Ends the export, flushes and lets go. NOT_FOUND if the volume is not attached here. */
export async function detachVolume(
  parts: VolumeParts,
  saved: SavedList,
  id: VolumeId
): Promise<void> {
  const attachment = parts.gateway.attachments().get(id)
  const wasSaved = saved.has(id)
  if (attachment === undefined && !wasSaved) throw notAttachedHere(parts, id)
  await parts.exports.remove(id)
  await attachment?.detach()
  await saved.drop(id)
}

function notAttachedHere(parts: VolumeParts, id: VolumeId): ShoalError {
  const mesh = parts.map.mesh()
  const name = volumeName(mesh, id)
  const holder = parts.map.volume(id)?.holder
  const host = holder === undefined ? undefined : mesh.nodes.get(holder.node)?.host
  const where = host === undefined ? '' : `; it was last attached on host ${host}`
  return new ShoalError(
    { code: 'NOT_FOUND', what: name },
    `volume ${name} is not attached on this host${where}`
  )
}

/** Grows a volume that is attached here or nowhere. Throws VOLUME_ATTACHED naming the host. */
export async function resizeVolume(
  parts: VolumeParts,
  id: VolumeId,
  sizeBytes: number
): Promise<{ oldBytes: number; isAttached: boolean }> {
  checkVolumeSize(sizeBytes)
  const present = parts.gateway.attachments().get(id)
  if (present !== undefined) {
    return { oldBytes: await grow(present, sizeBytes), isAttached: true }
  }
  const attachment = await attachQuietly(parts, id, 'resize it there')
  try {
    return { oldBytes: await grow(attachment, sizeBytes), isAttached: false }
  } finally {
    await attachment.detach()
  }
}

async function grow(attachment: Attachment, sizeBytes: number): Promise<number> {
  const oldBytes = attachment.sizeBytes()
  if (sizeBytes < oldBytes) {
    throw new ShoalError(
      { code: 'BAD_INPUT', field: 'size' },
      `a volume only grows: it has ${formatSize(oldBytes)} (${oldBytes} bytes) now`
    )
  }
  if (sizeBytes > oldBytes) await attachment.grow(sizeBytes)
  return oldBytes
}

/** An attachment without an export, for work of our own. `elsewhere` says what to do instead. */
export async function attachQuietly(
  parts: VolumeParts,
  id: VolumeId,
  elsewhere: string
): Promise<Attachment> {
  try {
    return await parts.gateway.attach(id)
  } catch (error) {
    if (!isFault(error, 'VOLUME_ATTACHED')) throw error
    const { fault } = error
    assert(fault.code === 'VOLUME_ATTACHED', 'the code was checked')
    const name = volumeName(parts.map.mesh(), id)
    throw new ShoalError(fault, `volume ${name} is attached on host ${fault.host}: ${elsewhere}`, {
      cause: error
    })
  }
}

/**
 * Attaches again what this gateway served before it stopped. Throws UNREACHABLE while a shard
 * cannot be asked, and STALE_TOKEN if the volume was attached elsewhere since.
 */
export async function attachAgain(
  parts: VolumeParts,
  saved: SavedList,
  entry: SavedAttachment
): Promise<Attached> {
  const view = await parts.map.fetchVolume(entry.volume)
  const replies = await callShards(parts, shardNodes(view), () => ({
    call: 'query',
    volume: entry.volume
  }))
  const silent = replies.filter(reply => 'error' in reply).map(reply => reply.node)
  const [first] = silent
  if (first !== undefined) {
    const names = nodeNames(parts.map.mesh(), silent)
    throw new ShoalError({ code: 'UNREACHABLE', peer: first }, `${names} cannot be reached`)
  }
  if (statesOf(replies).size === 0) {
    throw new ShoalError({ code: 'NOT_FOUND', what: entry.name }, 'the volume was deleted')
  }
  if (hasPassedOn(parts, entry, replies)) {
    throw new ShoalError(
      { code: 'STALE_TOKEN' },
      'it was attached elsewhere since; attach it here with `shoal volume attach`'
    )
  }
  return attachVolume(parts, saved, entry.volume)
}

/**
 * A greater token of a gateway is another's, unless all shards that know it name us: our attempt
 * that failed. A mover's says nothing.
 */
function hasPassedOn(
  parts: VolumeParts,
  entry: SavedAttachment,
  replies: readonly ShardReply[]
): boolean {
  const isDeleted = replies.some(reply => 'answer' in reply && reply.answer.is === 'removed')
  const states = [...statesOf(replies).values()]
  const greatest = greatestWriter(states)
  if (compareTokens(greatest, entry.token) <= 0) return isDeleted
  const knowing = states.filter(state => compareTokens(state.writer, greatest) === 0)
  return isDeleted || !knowing.every(state => state.holder?.node === parts.network.self)
}
