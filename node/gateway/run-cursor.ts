/**
 * Walks the allocation of one chunk, as a shard describes it (lengths in blocks, alternating data,
 * hole, data ...), a stretch at a time. What the shard does not describe counts as data: reading it
 * is always right.
 */
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { DeviceExtent } from '../block-device.ts'

export class RunCursor {
  readonly #runs: DeviceExtent[] = []
  #index = 0
  #takenBytes = 0

  /** Appends the next answer for the same chunk. */
  add(lengths: Uint32Array): void {
    lengths.forEach((blocks, i) => {
      if (blocks > 0) this.#runs.push({ lengthBytes: blocks * BLOCK_BYTES, hole: i % 2 === 1 })
    })
  }

  /** Appends the next `lengthBytes` to `extents`, joined with the last one if it is of its kind. */
  take(lengthBytes: number, extents: DeviceExtent[]): void {
    let left = lengthBytes
    while (left > 0) {
      const run = this.#runs[this.#index]
      const available = run === undefined ? left : run.lengthBytes - this.#takenBytes
      const taken = Math.min(left, available)
      append(extents, { lengthBytes: taken, hole: run?.hole ?? false })
      left -= taken
      this.#takenBytes += taken
      if (run !== undefined && this.#takenBytes === run.lengthBytes) {
        this.#index++
        this.#takenBytes = 0
      }
    }
  }
}

function append(extents: DeviceExtent[], next: DeviceExtent): void {
  const last = extents.at(-1)
  if (last?.hole !== next.hole) extents.push(next)
  else {
    extents[extents.length - 1] = {
      lengthBytes: last.lengthBytes + next.lengthBytes,
      hole: next.hole
    }
  }
}
