// Goal: copying takes what is idle and yields to clients: it backs off within a second, never stops
// for good, and never goes beyond the bound.
// Method: the controller and its bucket under a simulated clock, against a disk of a given speed that
// serves clients and copies alike and gets slower the busier it is.
import { describe, expect, it } from 'vitest'
import { Pacer } from '../../node/moves/pace.ts'
import { MiB } from '../../protocols/limits.ts'
import {
  PACE_FLOOR_BYTES,
  PACE_ROUND_TICKS,
  PACE_STEP_BYTES
} from '../../protocols/moves/limits.ts'
import { type PaceState, startPace, stepPace } from '../../protocols/moves/pace.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { SeededRandom } from '../support/process-random.ts'

const STEP_MS = 10
const PIECE_BYTES = 256 * 1024

/** One queue for all: a request waits the longer, the larger the share of the disk in use. */
class ModelDisk {
  readonly clock = new MicroClock()
  requests = 0
  latencyMsSum = 0
  copiedBytes = 0
  /** What clients ask for, and what the disk can do; bytes per second. */
  clientBytesPerSecond = 0
  capacityBytesPerSecond = 200 * MiB
  readonly requestBytes = 16 * 1024
  readonly serviceMs = 0.4
  readonly pacer: Pacer
  #isCopying = true
  #recentBytes: number[] = []
  #stepBytes = 0
  #owedRequests = 0

  constructor(bound?: number) {
    this.pacer = new Pacer({
      clock: this.clock,
      clientLoad: () => ({ requests: this.requests, latencyMsSum: this.latencyMsSum }),
      bound
    })
    for (let stream = 0; stream < 4; stream++) void this.#copy()
  }

  /** Copies are limited by the disk too: what it cannot take waits for the next step. */
  async #copy(): Promise<void> {
    while (this.#isCopying) {
      await this.pacer.take(PIECE_BYTES)
      this.copiedBytes += PIECE_BYTES
      this.#stepBytes += PIECE_BYTES
      const perStep = (this.capacityBytesPerSecond * STEP_MS) / 1000
      if (this.#stepBytes > perStep) {
        const waitMs = Math.ceil(this.#stepBytes / perStep) * STEP_MS
        await new Promise<void>(done => void this.clock.after(waitMs, done))
      }
    }
  }

  meanMs(): number {
    const busy = this.#recentBytes.reduce((sum, bytes) => sum + bytes, 0)
    const copying = busy / ((this.#recentBytes.length || 1) * (STEP_MS / 1000))
    const use = (copying + this.clientBytesPerSecond) / this.capacityBytesPerSecond
    return this.serviceMs / (1 - Math.min(0.98, use))
  }

  /** Mean latency of what clients asked for in this time, and the copied bytes per second. */
  async run(ms: number): Promise<{ meanMs: number; perSecond: number }> {
    const before = { ...this, copiedBytes: this.copiedBytes }
    const { requests, latencyMsSum } = this
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.#stepBytes = 0
      await this.clock.run(STEP_MS)
      this.#recentBytes = [...this.#recentBytes, this.#stepBytes].slice(-5)
      this.#owedRequests += (this.clientBytesPerSecond / this.requestBytes) * (STEP_MS / 1000)
      const answered = Math.floor(this.#owedRequests)
      this.#owedRequests -= answered
      this.requests += answered
      this.latencyMsSum += answered * this.meanMs()
    }
    return {
      meanMs: (this.latencyMsSum - latencyMsSum) / Math.max(1, this.requests - requests),
      perSecond: ((this.copiedBytes - before.copiedBytes) * 1000) / ms
    }
  }

  stop(): void {
    this.#isCopying = false
    this.pacer.close()
  }
}

describe('the pace of copying', () => {
  it('is the bound at once while no client is there', async () => {
    const disk = new ModelDisk(50 * MiB)
    await disk.run(500)
    const { perSecond } = await disk.run(5_000)
    expect(perSecond / MiB).toBeGreaterThan(48)
    expect(perSecond / MiB).toBeLessThanOrEqual(51)
    disk.stop()
  })

  it('without a bound is what the disk does', async () => {
    const disk = new ModelDisk()
    await disk.run(500)
    const { perSecond } = await disk.run(3_000)
    expect(perSecond / MiB).toBeGreaterThan(120)
    disk.stop()
  })

  it('finds what busy clients leave, and costs them little', async () => {
    const disk = new ModelDisk()
    disk.clientBytesPerSecond = 80 * MiB
    await disk.run(20_000)
    const alone = disk.serviceMs / (1 - 0.4)
    const { meanMs, perSecond } = await disk.run(20_000)
    expect(meanMs).toBeLessThan(alone * 1.5)
    expect(perSecond / MiB).toBeGreaterThan(5)
    disk.stop()
  })

  it('backs off within a second when clients come to a disk that it keeps busy', async () => {
    const disk = new ModelDisk()
    await disk.run(3_000)
    disk.clientBytesPerSecond = 120 * MiB
    await disk.run(1_000)
    expect(disk.pacer.rate ?? Number.POSITIVE_INFINITY).toBeLessThan(24 * MiB)
    const alone = disk.serviceMs / (1 - 0.6)
    expect((await disk.run(1_000)).meanMs).toBeLessThan(alone * 1.5)
    disk.stop()
  })

  it('backs off within a second when clients ask for more than before', async () => {
    const disk = new ModelDisk()
    disk.clientBytesPerSecond = 40 * MiB
    await disk.run(20_000)
    const before = disk.pacer.rate ?? 0
    expect(before / MiB).toBeGreaterThan(8)
    disk.clientBytesPerSecond = 150 * MiB
    await disk.run(1_000)
    expect(disk.pacer.rate ?? 0).toBeLessThan(before / 2)
    disk.stop()
  })

  it('never stops, however bad it is for clients', async () => {
    const disk = new ModelDisk()
    disk.capacityBytesPerSecond = 8 * MiB
    disk.clientBytesPerSecond = 7.5 * MiB
    await disk.run(10_000)
    const { perSecond } = await disk.run(10_000)
    // In a fifth of the time, in which clients are measured, nothing is sent.
    expect(perSecond).toBeGreaterThan(PACE_FLOOR_BYTES * 0.5)
    expect(perSecond).toBeLessThan(PACE_FLOOR_BYTES * 4)
    disk.stop()
  })

  it('goes on with one client request in a while as with none that matters', async () => {
    const disk = new ModelDisk()
    disk.clientBytesPerSecond = 4 * disk.requestBytes
    await disk.run(60_000)
    const { perSecond } = await disk.run(10_000)
    expect(perSecond / MiB).toBeGreaterThan(8)
    disk.stop()
  })

  it.each([0.5, 2, 20])('keeps a bound of %d MiB/s, with clients and without', async mib => {
    const disk = new ModelDisk(mib * MiB)
    await disk.run(1_000)
    for (const clients of [0, 40 * MiB]) {
      disk.clientBytesPerSecond = clients
      const { perSecond } = await disk.run(10_000)
      expect(perSecond).toBeLessThanOrEqual(mib * MiB + PIECE_BYTES)
      expect(perSecond).toBeGreaterThan(mib * MiB * 0.3)
    }
    disk.stop()
  })

  it('obeys a new bound at once', async () => {
    const disk = new ModelDisk()
    await disk.run(2_000)
    disk.pacer.setBound(4 * MiB)
    await disk.run(200)
    expect((await disk.run(5_000)).perSecond).toBeLessThanOrEqual(4 * MiB + PIECE_BYTES)
    disk.pacer.setBound(undefined)
    await disk.run(200)
    expect((await disk.run(2_000)).perSecond / MiB).toBeGreaterThan(100)
    disk.stop()
  })

  it('runs no timer while nobody copies', async () => {
    const disk = new ModelDisk()
    await disk.run(1_000)
    disk.stop()
    const clock = new MicroClock()
    const pacer = new Pacer({ clock, clientLoad: () => ({ requests: 0, latencyMsSum: 0 }) })
    for (const _time of [1, 2]) {
      const taken = pacer.take(1)
      await clock.run(10)
      await taken
      expect(clock.pending).toBeGreaterThan(0)
      await clock.run(5_000)
      expect(clock.pending).toBe(0)
    }
    pacer.close()
  })
})

const CALM = { requests: 20, latencyMsSum: 20, lagMs: 1, bound: Number.POSITIVE_INFINITY }

/** Some rounds in which clients are well and copying uses what it may. */
function wellUsed(rounds: number): PaceState {
  let state = startPace(CALM.bound)
  for (let tick = 0; tick < rounds * PACE_ROUND_TICKS; tick++) {
    state = stepPace(state, { ...CALM, sentBytes: state.rate / 10 })
  }
  // To the beginning of the next round.
  const { round } = state
  while (state.round === round) state = stepPace(state, { ...CALM, sentBytes: 0 })
  return state
}

describe('the controller', () => {
  it('grows by steps while clients are as well as without copying', () => {
    const [few, many] = [wellUsed(2), wellUsed(6)]
    expect(many.target).toBeGreaterThan(few.target + PACE_STEP_BYTES * 20)
    expect(many.target).toBeLessThanOrEqual(few.target + PACE_STEP_BYTES * 45)
  })

  it('does not grow while its rate is not used', () => {
    let state = wellUsed(4)
    const { target } = state
    for (let tick = 0; tick < 40; tick++) state = stepPace(state, { ...CALM, sentBytes: 1024 })
    expect(state.target).toBe(target)
  })

  it.each([
    ['a higher mean', { latencyMsSum: 40 }, 1],
    ['a late event loop', { lagMs: 20 }, 1],
    ['no answers to clients that were busy', { requests: 0, latencyMsSum: 0 }, 2]
  ])('halves at once on %s', (_what, trouble, ticks) => {
    let state = wellUsed(4)
    const { target } = state
    for (let tick = 0; tick < ticks; tick++) {
      expect(state.target).toBe(target)
      state = stepPace(state, { ...CALM, sentBytes: 0, ...trouble })
    }
    expect(state.target).toBe(target / 2)
  })

  it('takes what is as bad without copying for what it is', () => {
    let state = wellUsed(4)
    for (let tick = 0; tick < 400; tick++) {
      state = stepPace(state, { ...CALM, latencyMsSum: 60, lagMs: 30, sentBytes: state.rate / 10 })
    }
    expect(state.target).toBeGreaterThan(wellUsed(4).target)
  })

  it.each([1, 17, 20_261_127])('keeps to its bounds whatever the samples say (seed %i)', seed => {
    const random = new SeededRandom(seed)
    let state = startPace(CALM.bound)
    for (let tick = 0; tick < 5_000; tick++) {
      const bound = random.pick([1, MiB / 2, 20 * MiB, Number.POSITIVE_INFINITY])
      const requests = random.pick([0, 0, 1, 50])
      state = stepPace(state, {
        requests,
        latencyMsSum: requests * random.fraction() * 10,
        lagMs: random.pick([0, 0, 50]),
        sentBytes: random.below(20 * MiB),
        bound
      })
      expect(state.target).toBeLessThanOrEqual(bound)
      expect(state.target).toBeGreaterThanOrEqual(Math.min(bound, PACE_FLOOR_BYTES))
      expect([0, state.target]).toContain(state.rate)
    }
  })
})
