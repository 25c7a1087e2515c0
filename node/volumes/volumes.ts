/**
 * The volume operations of a daemon: what the control API calls. Each is in a file of its own; here
 * they meet the one rule they share.
 *
 * Invariant: at most one operation of this daemon works on a volume (or on a name that is being
 * created) at a time; a second one is refused with words that name the first.
 */
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { RESTORE_RETRY_MS } from '../limits.ts'
import type { Timer } from '../ports.ts'
import {
  type Attached,
  type AttachOptions,
  attachAgain,
  attachQuietly,
  attachVolume,
  detachVolume,
  resizeVolume
} from './attach.ts'
import { type Created, type CreateWish, createVolume } from './create.ts'
import { createImageTarget, type ImageSource } from './image.ts'
import { checkName, checkNameFree, resolveVolume, volumeName } from './names.ts'
import { type Removed, removeVolume } from './remove.ts'
import { SavedList } from './saved-list.ts'
import { callShards, shardNodes, statesOf } from './shards.ts'
import { exportImage, importImage } from './transfer.ts'
import {
  newNonce,
  type SavedAttachment,
  type TransferOptions,
  type TransferResult,
  type VolumeParts
} from './types.ts'

export type ImportWish = Omit<CreateWish, 'sizeBytes'> & {
  /** For a new volume; else the length of the image, rounded up to whole blocks. */
  readonly sizeBytes?: number | undefined
  /** Replace what an existing volume holds. */
  readonly overwrite?: boolean | undefined
}

/** Another gateway has, or had, the volume since: it is not attached again by itself. */
const PASSED_ON = ['STALE_TOKEN', 'VOLUME_ATTACHED'] as const

export class Volumes {
  readonly #parts: VolumeParts
  readonly #host: string
  readonly #saved: SavedList
  readonly #busy = new Map<string, string>()
  /** Why a saved volume is not served, in words. */
  readonly #waiting = new Map<VolumeId, string>()
  readonly #timers = new Set<Timer>()
  #isClosed = false

  private constructor(parts: VolumeParts, host: string, saved: SavedList) {
    this.#parts = parts
    this.#host = host
    this.#saved = saved
  }

  static async open(parts: VolumeParts, host: string): Promise<Volumes> {
    return new Volumes(parts, host, await SavedList.open(parts.savedAttachments))
  }

  resolve(nameOrId: string): VolumeId {
    return resolveVolume(this.#parts.map, nameOrId)
  }

  create(wish: CreateWish): Promise<Created> {
    checkName('volume', wish.name)
    return this.#alone(wish.name, 'being created', () => createVolume(this.#parts, wish))
  }

  remove(id: VolumeId, options: { force: boolean }): Promise<Removed> {
    return this.#alone(id, 'being deleted', async () => {
      const isHere = this.#parts.gateway.attachments().has(id) || this.#saved.has(id)
      if (isHere && !options.force) throw this.#attachedHere(id)
      if (isHere) await detachVolume(this.#parts, this.#saved, id)
      return removeVolume(this.#parts, id, { ...options, self: { host: this.#host } })
    })
  }

  rename(id: VolumeId, name: string): Promise<void> {
    checkName('volume', name)
    return this.#alone(id, 'being renamed', async () => {
      if (this.#parts.map.mesh().volumes.get(id)?.name === name) return
      checkNameFree(this.#parts.map.mesh(), name)
      this.#parts.map.rename(id, name)
      await this.#parts.map.flush()
    })
  }

  attach(id: VolumeId, options: AttachOptions): Promise<Attached> {
    return this.#alone(id, 'being attached', async () => {
      const attached = await attachVolume(this.#parts, this.#saved, id, options)
      this.#waiting.delete(id)
      return attached
    })
  }

  detach(id: VolumeId): Promise<void> {
    return this.#alone(id, 'being detached', async () => {
      await detachVolume(this.#parts, this.#saved, id)
      this.#waiting.delete(id)
    })
  }

  resize(id: VolumeId, sizeBytes: number): Promise<{ oldBytes: number; isAttached: boolean }> {
    return this.#alone(id, 'being resized', () => resizeVolume(this.#parts, id, sizeBytes))
  }

  /** To a sparse file at an absolute path. Refuses an attached volume. */
  export(id: VolumeId, path: string, options: TransferOptions): Promise<TransferResult> {
    return this.#alone(id, 'being exported', async () => {
      if (this.#parts.gateway.attachments().has(id)) throw this.#attachedHere(id)
      const target = await createImageTarget(path, newNonce(this.#parts.random))
      try {
        const attachment = await attachQuietly(this.#parts, id, 'detach it there first')
        try {
          const result = await exportImage(attachment.user(), target, options)
          await target.finish(result.bytes)
          return { volume: id, ...result }
        } finally {
          await attachment.detach()
        }
      } catch (error) {
        await target.abandon()
        throw error
      }
    })
  }

  /** Into the volume of that name, which is created if there is none. Closes the source. */
  async import(
    wish: ImportWish,
    source: ImageSource,
    options: TransferOptions
  ): Promise<TransferResult> {
    try {
      const existing = this.#existing(wish.name)
      if (existing !== undefined) return await this.#fill(existing, { wish, source, options })
      const created = await this.create({ ...wish, sizeBytes: sizeForImport(wish, source) })
      try {
        return await this.#fill(created.id, { wish, source, options })
      } catch (error) {
        await this.#undoCreation(created)
        throw error
      }
    } finally {
      await source.close()
    }
  }

  /** Attaches again, in the background, what was attached when the daemon stopped. */
  restore(): void {
    for (const entry of this.#saved.entries()) void this.#restoreOne(entry)
  }

  /** Volumes that should be served here and are not, in words. */
  problems(): string[] {
    return [...this.#waiting.values()]
  }

  close(): void {
    this.#isClosed = true
    for (const timer of this.#timers) timer.cancel()
  }

  #existing(nameOrId: string): VolumeId | undefined {
    try {
      return this.resolve(nameOrId)
    } catch (error) {
      if (isFault(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  #fill(
    id: VolumeId,
    job: { wish: ImportWish; source: ImageSource; options: TransferOptions }
  ): Promise<TransferResult> {
    return this.#alone(id, 'being imported', async () => {
      if (this.#parts.gateway.attachments().has(id)) throw this.#attachedHere(id)
      if (job.wish.overwrite !== true) await this.#refuseData(id)
      const attachment = await attachQuietly(this.#parts, id, 'detach it there first')
      try {
        return { volume: id, ...(await importImage(attachment.user(), job.source, job.options)) }
      } finally {
        await attachment.detach()
      }
    })
  }

  async #refuseData(id: VolumeId): Promise<void> {
    const nodes = shardNodes(await this.#parts.map.fetchVolume(id))
    const replies = await callShards(this.#parts, nodes, () => ({ call: 'query', volume: id }))
    const states = [...statesOf(replies).values()]
    if (states.every(state => state.allocatedBytes === 0)) return
    const name = volumeName(this.#parts.map.mesh(), id)
    throw new ShoalError(
      { code: 'NEEDS_FORCE', why: 'the volume holds data' },
      `volume ${name} holds data already: pass --overwrite to replace it`
    )
  }

  async #undoCreation(created: Created): Promise<void> {
    try {
      await this.remove(created.id, { force: false })
    } catch (error) {
      const fields = { volume: created.id, error: messageOf(error) }
      this.#parts.log.warn(fields, 'the volume of a failed import was not deleted')
    }
  }

  async #restoreOne(entry: SavedAttachment): Promise<void> {
    if (this.#isClosed || !this.#saved.has(entry.volume)) return
    try {
      await this.#alone(entry.volume, 'being attached', () =>
        attachAgain(this.#parts, this.#saved, entry)
      )
      this.#waiting.delete(entry.volume)
      this.#parts.log.info({ volume: entry.volume, name: entry.name }, 'volume attached again')
    } catch (error) {
      this.#waiting.set(entry.volume, `volume ${entry.name} is not served: ${messageOf(error)}`)
      this.#parts.log.warn(
        { volume: entry.volume, error: messageOf(error) },
        'volume not attached again'
      )
      // A map that does not know the volume yet is no reason to forget it; a tombstone is.
      const isDeleted = this.#parts.map.mesh().tombstones.has(entry.volume)
      if (isDeleted || isFault(error, ...PASSED_ON)) await this.#saved.drop(entry.volume)
      else this.#retryLater(entry)
    }
  }

  #retryLater(entry: SavedAttachment): void {
    if (this.#isClosed) return
    const { clock, random } = this.#parts
    const delayMs = RESTORE_RETRY_MS * (0.5 + random.fraction())
    const timer = clock.after(delayMs, () => {
      this.#timers.delete(timer)
      void this.#restoreOne(entry)
    })
    this.#timers.add(timer)
  }

  #attachedHere(id: VolumeId): ShoalError {
    const name = volumeName(this.#parts.map.mesh(), id)
    const since = this.#parts.gateway.attachments().get(id)?.since ?? this.#parts.clock.now()
    return new ShoalError(
      { code: 'VOLUME_ATTACHED', host: this.#host, since },
      `volume ${name} is attached on this host (${this.#host}): run \`shoal volume detach ` +
        `${name}\` first`
    )
  }

  async #alone<T>(key: string, doing: string, work: () => Promise<T>): Promise<T> {
    const other = this.#busy.get(key)
    if (other !== undefined) {
      const what = volumeName(this.#parts.map.mesh(), key as VolumeId)
      throw new ShoalError({ code: 'CONFLICT', what }, `volume ${what} is ${other}: wait for that`)
    }
    this.#busy.set(key, doing)
    try {
      return await work()
    } finally {
      this.#busy.delete(key)
    }
  }
}

function sizeForImport(wish: ImportWish, source: ImageSource): number {
  const sizeBytes = wish.sizeBytes ?? source.sizeBytes
  if (sizeBytes === undefined) {
    throw new ShoalError(
      { code: 'BAD_INPUT', field: 'size' },
      'the length of a stream is not known beforehand: pass --size, for example --size 20G'
    )
  }
  return Math.max(BLOCK_BYTES, Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES)
}
