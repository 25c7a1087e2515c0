/**
 * Minutes as the steps of forecasts: the mean load of five of them.
 *
 * Invariant: a step leaves once, when its last minute has come, or the first of another one; minutes
 * that were not measured are not part of its mean.
 */
const MINUTES = 5

export interface Step {
  /** Steps of five minutes since 1970. */
  readonly number: number
  readonly load: number
}

export class FiveMinutes {
  #number = 0
  #sum = 0
  #count = 0

  /** The steps that this minute completes. */
  add(minute: number, load: number): Step[] {
    const number = Math.floor(minute / MINUTES)
    const done = this.#count > 0 && number !== this.#number ? [this.#take()] : []
    this.#number = number
    this.#sum += load
    this.#count++
    if (minute % MINUTES === MINUTES - 1) done.push(this.#take())
    return done
  }

  #take(): Step {
    const step = { number: this.#number, load: this.#sum / this.#count }
    this.#sum = 0
    this.#count = 0
    return step
  }
}
