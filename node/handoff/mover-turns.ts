/**
 * Cutovers that this node approves as a mover, one at a time for each volume: a second one would
 * take a greater token and void the first.
 */
import type { VolumeId } from '../../protocols/ids.ts'

export class MoverTurns {
  readonly #taken = new Map<VolumeId, Array<() => void>>()

  /** Resolves when it is this cutover's turn; call what it resolves with when that is over. */
  async take(volume: VolumeId): Promise<() => void> {
    const waiting = this.#taken.get(volume)
    if (waiting === undefined) this.#taken.set(volume, [])
    else await new Promise<void>(resolve => waiting.push(resolve))
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#pass(volume)
    }
  }

  #pass(volume: VolumeId): void {
    const next = this.#taken.get(volume)?.shift()
    if (next === undefined) this.#taken.delete(volume)
    else next()
  }
}
