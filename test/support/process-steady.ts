/**
 * A client that asks at a rate over NBD, as a VM with a steady application does: reads and writes of
 * one size at random places, for as long as it is told to.
 *
 * Invariants: never more than MAX_IN_FLIGHT requests are open; what it could not send in time it
 * leaves out; a request that fails ends it, and `stop` says why.
 */
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { NbdDisk } from './process-nbd.ts'
import { SeededRandom } from './process-random.ts'

const PACE_MS = 20
const MAX_IN_FLIGHT = 64

export interface SteadyWish {
  readonly readsPerSecond: number
  readonly writesPerSecond: number
  readonly sizeBytes: number
  readonly seed: number
}

export class SteadyClient {
  readonly #disk: NbdDisk
  #wish: SteadyWish
  readonly #random: SeededRandom
  readonly #timer: NodeJS.Timeout
  readonly #data: Buffer
  readonly #owed = { reads: 0, writes: 0 }
  readonly #open = new Set<Promise<void>>()
  #atMs = performance.now()
  #failure: unknown

  constructor(disk: NbdDisk, wish: SteadyWish) {
    this.#disk = disk
    this.#wish = wish
    this.#random = new SeededRandom(wish.seed)
    this.#data = this.#random.bytes(wish.sizeBytes)
    this.#timer = setInterval(() => this.#turn(), PACE_MS)
  }

  /** Another rate from now on. */
  turnTo(rates: Pick<SteadyWish, 'readsPerSecond' | 'writesPerSecond'>): void {
    this.#wish = { ...this.#wish, ...rates }
  }

  /** Throws what a request failed with. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
    await this.#disk.close()
    if (this.#failure !== undefined) throw this.#failure
  }

  #turn(): void {
    const nowMs = performance.now()
    const seconds = Math.min(1, (nowMs - this.#atMs) / 1000)
    this.#atMs = nowMs
    const { readsPerSecond, writesPerSecond } = this.#wish
    this.#owed.reads = this.#send(this.#owed.reads + seconds * readsPerSecond, false)
    this.#owed.writes = this.#send(this.#owed.writes + seconds * writesPerSecond, true)
  }

  /** The fraction that is left. */
  #send(owed: number, isWrite: boolean): number {
    let left = owed
    for (; left >= 1; left--) {
      if (this.#open.size >= MAX_IN_FLIGHT) return 0
      const request = this.#one(isWrite)
        .catch((error: unknown) => {
          this.#failure ??= error
          clearInterval(this.#timer)
        })
        .finally(() => this.#open.delete(request))
      this.#open.add(request)
    }
    return left
  }

  async #one(isWrite: boolean): Promise<void> {
    const { sizeBytes } = this.#wish
    const places = Math.floor((this.#disk.sizeBytes - sizeBytes) / BLOCK_BYTES) + 1
    const at = this.#random.below(places) * BLOCK_BYTES
    if (isWrite) await this.#disk.write(at, this.#data)
    else await this.#disk.read(at, sizeBytes)
  }
}
