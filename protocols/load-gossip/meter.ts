/** Bytes of the last minute, in steps of a second: 60 numbers, whatever was counted. */
const SECONDS = 60

export class Meter {
  readonly #bytes = new Float64Array(SECONDS)
  #second = 0

  /** `nowMs` never goes back. */
  add(bytes: number, nowMs: number): void {
    this.#advance(nowMs)
    const at = this.#second % SECONDS
    this.#bytes[at] = (this.#bytes[at] ?? 0) + bytes
  }

  /** In the 60 s that end with the present second. */
  perMinute(nowMs: number): number {
    this.#advance(nowMs)
    return this.#bytes.reduce((sum, bytes) => sum + bytes, 0)
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1000)
    const passed = Math.min(SECONDS, second - this.#second)
    for (let i = 1; i <= passed; i++) this.#bytes[(second - passed + i) % SECONDS] = 0
    this.#second = Math.max(this.#second, second)
  }
}
