/**
 * The volumes that this gateway serves until it is told to detach them: a small list, durable as a
 * whole, read once at the start.
 */
import { assert } from '../../protocols/assert.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { MAX_SAVED_ATTACHMENTS } from '../limits.ts'
import type { AttachmentList, SavedAttachment } from './types.ts'

export class SavedList {
  readonly #entries: Map<VolumeId, SavedAttachment>
  readonly #file: AttachmentList | undefined
  #saving: Promise<void> = Promise.resolve()

  private constructor(file: AttachmentList | undefined, entries: readonly SavedAttachment[]) {
    this.#file = file
    this.#entries = new Map(entries.map(entry => [entry.volume, entry]))
  }

  /** Without a file the list lasts as long as the process. */
  static async open(file: AttachmentList | undefined): Promise<SavedList> {
    return new SavedList(file, (await file?.load()) ?? [])
  }

  entries(): SavedAttachment[] {
    return [...this.#entries.values()]
  }

  entry(volume: VolumeId): SavedAttachment | undefined {
    return this.#entries.get(volume)
  }

  has(volume: VolumeId): boolean {
    return this.#entries.has(volume)
  }

  /** Durable when it resolves; as before when it rejects. */
  async put(entry: SavedAttachment): Promise<void> {
    assert(this.#entries.size < MAX_SAVED_ATTACHMENTS, 'the list of attachments is bounded')
    const { volume } = entry
    const before = this.#entries.get(volume)
    this.#entries.set(volume, entry)
    try {
      await this.#save()
    } catch (error) {
      if (this.#entries.get(volume) === entry) {
        if (before === undefined) this.#entries.delete(volume)
        else this.#entries.set(volume, before)
      }
      throw error
    }
  }

  drop(volume: VolumeId): Promise<void> {
    return this.#entries.delete(volume) ? this.#save() : this.#saving
  }

  #save(): Promise<void> {
    const file = this.#file
    if (file === undefined) return Promise.resolve()
    const saved = this.#saving.catch(() => undefined).then(() => file.save(this.entries()))
    this.#saving = saved
    return saved
  }
}
