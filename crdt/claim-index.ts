/**
 * The greatest epoch at which each chunk of a volume is known to be held, found by chunk. Made once
 * for a view, which never changes.
 */
import type { ChunkKey, PlacementEpoch } from '../protocols/ids.ts'
import { compareEpochs } from '../protocols/ids.ts'
import { MAX_COLUMNS, MAX_COPIES } from '../protocols/limits.ts'
import type { LayoutRun, VolumeView } from './types.ts'

type Where = Omit<ChunkKey, 'volume'>

const indexes = new WeakMap<VolumeView, ClaimIndex>()

/** Undefined: the map knows nothing of the chunk. */
export function claimedEpoch(
  view: VolumeView | undefined,
  chunk: Where
): PlacementEpoch | undefined {
  if (view === undefined) return undefined
  let index = indexes.get(view)
  if (index === undefined) {
    index = new ClaimIndex(view)
    indexes.set(view, index)
  }
  return index.epochOf(chunk)
}

class ClaimIndex {
  readonly #claims = new Map<number, Map<number, PlacementEpoch>>()
  readonly #layout: readonly LayoutRun[]

  constructor({ claims, layout }: VolumeView) {
    this.#layout = layout
    for (const { epoch, ...chunk } of claims) {
      const slot = slotOf(chunk)
      const extents = this.#claims.get(slot) ?? new Map<number, PlacementEpoch>()
      this.#claims.set(slot, extents)
      const known = extents.get(chunk.extent)
      if (known === undefined || compareEpochs(epoch, known) > 0) extents.set(chunk.extent, epoch)
    }
  }

  epochOf(chunk: Where): PlacementEpoch | undefined {
    let greatest = this.#claims.get(slotOf(chunk))?.get(chunk.extent)
    for (const { from, to, generation, epoch } of this.#layout) {
      if (generation !== chunk.generation || chunk.extent < from || chunk.extent >= to) continue
      if (greatest === undefined || compareEpochs(epoch, greatest) > 0) greatest = epoch
    }
    return greatest
  }
}

function slotOf({ generation, column, replica }: Omit<Where, 'extent'>): number {
  return (generation * MAX_COLUMNS + column) * MAX_COPIES + replica
}
