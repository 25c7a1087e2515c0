/** Tasks that take turns: at most `running` at a time, at most `waiting` more in order of arrival. */
import { assert } from '../../protocols/assert.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { SHARD_CALLS_WAITING } from '../limits.ts'

export class Turns {
  readonly #mayRun: number
  readonly #mayWait: number
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor(running: number, waiting: number) {
    this.#mayRun = running
    this.#mayWait = waiting
  }

  get isIdle(): boolean {
    return this.#running === 0
  }

  /** Undefined, at once, if too many wait already. */
  async take<T>(task: () => Promise<T>): Promise<T | undefined> {
    const isFull = this.#running >= this.#mayRun && this.#waiting.length >= this.#mayWait
    return isFull ? undefined : this.takeAnyway(task)
  }

  /** However many wait: for callers that are few by themselves. */
  async takeAnyway<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#mayRun) {
      // Whoever ends passes its place on, so nobody who comes later gets in between.
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    } else this.#running += 1
    assert(this.#running <= this.#mayRun, 'no more tasks run than may')
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}

/** Whatever changes one volume's shard waits for whatever else does. */
export class VolumeTurns {
  readonly #turns = new Map<VolumeId, Turns>()

  /** Undefined, at once, if too many wait already. */
  async take<T>(volume: VolumeId, task: () => Promise<T>): Promise<T | undefined> {
    return this.#with(volume, turns => turns.take(task))
  }

  /** However many wait: for callers on this node, which are few by themselves. */
  async takeAnyway<T>(volume: VolumeId, task: () => Promise<T>): Promise<T> {
    return this.#with(volume, turns => turns.takeAnyway(task))
  }

  async #with<T>(volume: VolumeId, take: (turns: Turns) => Promise<T>): Promise<T> {
    const turns = this.#turns.get(volume) ?? new Turns(1, SHARD_CALLS_WAITING)
    this.#turns.set(volume, turns)
    try {
      return await take(turns)
    } finally {
      // Another may have begun new turns in the meantime: those stay.
      if (turns.isIdle && this.#turns.get(volume) === turns) this.#turns.delete(volume)
    }
  }
}
