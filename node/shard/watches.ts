/**
 * The chunks of one shard that a handoff watches: frozen ones, whose changes are refused for a
 * moment, and tracked ones, whose changes leave a mark for the copy to follow.
 *
 * Invariants: a frozen chunk stays so until every handoff that froze it has thawed it; a chunk has
 * at most one tracker; without any watch nothing is looked up.
 */
import { assert } from '../../protocols/assert.ts'
import { DirtyBlocks } from '../../protocols/handoff/dirty-blocks.ts'
import type { ChunkKey, HandoffId } from '../../protocols/ids.ts'
import { chunkNumber } from './chunk-number.ts'

export interface Watch {
  readonly frozenBy: Set<HandoffId>
  dirty: DirtyBlocks | undefined
}

export class Watches {
  readonly #watches = new Map<number, Watch>()

  find(chunk: ChunkKey): Watch | undefined {
    return this.#watches.size === 0 ? undefined : this.#watches.get(chunkNumber(chunk))
  }

  freeze(chunk: ChunkKey, handoff: HandoffId): void {
    this.#at(chunk).frozenBy.add(handoff)
  }

  thaw(chunk: ChunkKey, handoff: HandoffId): void {
    this.find(chunk)?.frozenBy.delete(handoff)
    this.#tidy(chunk)
  }

  track(chunk: ChunkKey, blocks: number): DirtyBlocks {
    const watch = this.#at(chunk)
    assert(watch.dirty === undefined, 'a chunk has at most one tracker')
    const dirty = new DirtyBlocks(blocks, () => {
      if (watch.dirty === dirty) watch.dirty = undefined
      this.#tidy(chunk)
    })
    watch.dirty = dirty
    return dirty
  }

  #at(chunk: ChunkKey): Watch {
    const watch = this.find(chunk) ?? { frozenBy: new Set(), dirty: undefined }
    this.#watches.set(chunkNumber(chunk), watch)
    return watch
  }

  #tidy(chunk: ChunkKey): void {
    const watch = this.find(chunk)
    if (watch === undefined || watch.frozenBy.size > 0 || watch.dirty !== undefined) return
    this.#watches.delete(chunkNumber(chunk))
  }
}
