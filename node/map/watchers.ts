/** Who follows the map: told once per tick of everything that changed in it. */
import type { MeshView, VolumeView } from '../../crdt/types.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import type { DocumentName } from '../../protocols/map-sync/messages.ts'
import type { Clock, Log } from '../ports.ts'
import type { Documents } from './documents.ts'

export interface WatchersOptions {
  readonly clock: Clock
  readonly log: Log
  readonly documents: Documents
}

export class Watchers {
  readonly #options: WatchersOptions
  readonly #meshListeners: Array<(view: MeshView) => void> = []
  readonly #volumeListeners: Array<(id: VolumeId, view: VolumeView) => void> = []
  readonly #changed = new Set<DocumentName>()
  #isClosed = false

  constructor(options: WatchersOptions) {
    this.#options = options
  }

  onMesh(listener: (view: MeshView) => void): void {
    this.#meshListeners.push(listener)
  }

  onVolume(listener: (id: VolumeId, view: VolumeView) => void): void {
    this.#volumeListeners.push(listener)
  }

  changed(document: DocumentName): void {
    if (this.#changed.size === 0) this.#options.clock.soon(() => this.#notify())
    this.#changed.add(document)
  }

  close(): void {
    this.#isClosed = true
  }

  #notify(): void {
    const { documents } = this.#options
    const changed = [...this.#changed]
    this.#changed.clear()
    if (this.#isClosed) return
    if (changed.includes('mesh')) {
      documents.dropDeleted()
      const view = documents.meshView()
      for (const listener of this.#meshListeners) this.#tell(() => listener(view))
    }
    for (const id of changed) {
      const view = id === 'mesh' ? undefined : documents.volumeView(id)
      if (id === 'mesh' || view === undefined) continue
      for (const listener of this.#volumeListeners) this.#tell(() => listener(id, view))
    }
  }

  #tell(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#options.log.error({ error: messageOf(error) }, 'a listener of the map failed')
    }
  }
}
