// Goal: the queue never exceeds its bounds, tries again what may succeed and gives up on what may
// not, and a cancellation stops what is not committed.
// Method: the real queue under a simulated clock; the handoffs are a port that the test settles.
import { describe, expect, it } from 'vitest'
import type { HandoffEnd, Handoffs, HandoffWish } from '../../node/handoff/types.ts'
import type { SavedMove } from '../../node/moves/open-move.ts'
import { MoveQueue } from '../../node/moves/queue.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { chunkName } from '../../protocols/ids.ts'
import { MiB } from '../../protocols/limits.ts'
import {
  MAX_CHUNK_ATTEMPTS,
  MAX_FAILED_CHUNKS,
  PARALLEL_HANDOFFS,
  RETRY_MAX_MS
} from '../../protocols/moves/limits.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { SeededRandom } from '../support/process-random.ts'
import { volumeId } from '../support/shard-harness.ts'
import { quiet } from '../support/storage-rig.ts'

const SOURCE = nodeId('source')
const TARGET = nodeId('target')
const V = volumeId(1)
const PASSED: HandoffEnd = { is: 'passed', bytes: MiB, pauseMs: 3 }

interface Flight extends HandoffWish {
  readonly end: (end: HandoffEnd) => void
}

class Rig {
  readonly clock = new MicroClock()
  readonly flights: Flight[] = []
  readonly ended: Move[] = []
  readonly gone = new Set<string>()
  begun = 0
  readonly handoffs: Handoffs = {
    pass: wish => {
      this.begun += 1
      return new Promise(resolve => {
        const flight = { ...wish, end: (end: HandoffEnd) => this.#settle(flight, end, resolve) }
        this.flights.push(flight)
      })
    },
    counts: () => ({ sending: this.flights.length, receiving: 0 }),
    problems: () => [],
    close: async () => {}
  }
  readonly queue = new MoveQueue({
    self: SOURCE,
    handoffs: this.handoffs,
    clock: this.clock,
    random: new SeededRandom(1),
    log: quiet,
    isHeld: chunk => !this.gone.has(chunkName(chunk)),
    onEnd: move => void this.ended.push(move)
  })

  #settle(flight: Flight, end: HandoffEnd, resolve: (end: HandoffEnd) => void): void {
    this.flights.splice(this.flights.indexOf(flight), 1)
    if (end.is === 'passed') this.gone.add(chunkName(flight.chunk))
    resolve(end)
  }

  add(id: string, extents: number, more: Partial<SavedMove> = {}): void {
    const range = { generation: 0, column: 0, replica: 0, from: 0, to: extents }
    this.queue.add({
      id,
      volume: V,
      to: TARGET,
      why: 'a test',
      since: this.clock.now(),
      isDrain: false,
      ranges: [range],
      totalBytes: extents * MiB,
      doneBytes: 0,
      longestPauseMs: 0,
      ...more
    })
    this.queue.pump()
  }

  /** Ends every handoff in flight, and those that follow, until none is left. */
  async endAll(end: HandoffEnd): Promise<void> {
    for (let step = 0; step < 10_000; step++) {
      for (const flight of [...this.flights]) flight.end(end)
      await this.clock.run(0)
      if (this.flights.length === 0) return
    }
    throw new Error('the queue does not come to an end')
  }

  async endOne(end: HandoffEnd): Promise<void> {
    this.flights[0]?.end(end)
    await this.clock.run(0)
  }
}

function failed(mayRetry: boolean, why = 'no luck'): HandoffEnd {
  return { is: 'failed', why, mayRetry }
}

const A = 'aaaaaaaaaaaa'
const B = 'bbbbbbbbbbbb'

describe('the queue of moves', () => {
  it('hands every chunk off once, and never more than so many at a time', async () => {
    const rig = new Rig()
    rig.add(A, 25)
    const seen: number[] = []
    while (rig.flights.length > 0) {
      seen.push(rig.flights.length)
      await rig.endOne(PASSED)
    }
    expect(Math.max(...seen)).toBe(PARALLEL_HANDOFFS)
    expect(rig.begun).toBe(25)
    expect(rig.ended).toMatchObject([
      { id: A, state: 'done', chunks: { total: 25, done: 25 }, bytes: { done: 25 * MiB } }
    ])
    expect(rig.ended[0]?.longestPauseMs).toBe(3)
    expect(rig.queue.views()).toEqual([])
  })

  it('lets what a person asked for go before a drain, else the older before the younger', async () => {
    const rig = new Rig()
    const first = volumeId(2)
    rig.add(A, 4, { isDrain: true, volume: first })
    await rig.clock.run(10)
    rig.add(B, 2)
    const order: VolumeId[] = []
    while (rig.flights.length > 0) {
      order.push(rig.flights[0]?.chunk.volume ?? V)
      await rig.endOne(PASSED)
    }
    // Two of the drain were in flight already.
    expect(order).toEqual([first, first, V, V, first, first])
  })

  it('shows bytes, speed and time left while it copies', async () => {
    const rig = new Rig()
    rig.add(A, 10)
    for (const flight of rig.flights) {
      flight.onProgress({ phase: 'copying', totalBytes: 2 * MiB, sentBytes: MiB / 2 })
    }
    await rig.clock.run(1_000)
    const [view] = rig.queue.views()
    expect(view).toMatchObject({
      state: 'running',
      from: SOURCE,
      chunks: { total: 10, done: 0 },
      bytes: { total: 10 * MiB, done: MiB },
      bytesPerSecond: MiB,
      leftMs: 9_000
    })
  })

  it('tries again what may succeed, with pauses that grow, and then gives the chunk up', async () => {
    const rig = new Rig()
    rig.add(A, 1)
    const pauses: number[] = []
    for (let attempt = 1; attempt < MAX_CHUNK_ATTEMPTS; attempt++) {
      await rig.endOne(failed(true))
      expect(rig.flights).toHaveLength(0)
      expect(rig.queue.views()[0]?.trouble).toMatch(/extent 0, column 0: no luck/)
      const beforeMs = rig.clock.monotonicMs()
      while (rig.flights.length === 0) await rig.clock.run(50)
      pauses.push(rig.clock.monotonicMs() - beforeMs)
    }
    expect(pauses.at(-1)).toBeGreaterThan((pauses[0] ?? 0) * 10)
    expect(Math.max(...pauses)).toBeLessThan(RETRY_MAX_MS * 1.5 + 100)
    await rig.endOne(failed(true))
    expect(rig.ended).toMatchObject([{ state: 'failed', chunks: { done: 0 } }])
    expect(rig.ended[0]?.trouble).toMatch(/no luck/)
  })

  it('goes on after a chunk that cannot move, and gives up after several', async () => {
    const rig = new Rig()
    rig.add(A, 100)
    await rig.endOne(failed(false))
    for (let i = 0; i < 20; i++) await rig.endOne(PASSED)
    expect(rig.ended).toEqual([])
    await rig.endAll(failed(false))
    expect(rig.ended).toMatchObject([{ state: 'failed', chunks: { total: 100, done: 20 } }])
    expect(rig.begun).toBeLessThanOrEqual(20 + MAX_FAILED_CHUNKS + PARALLEL_HANDOFFS)
  })

  it('passes over chunks that are not held here any more', async () => {
    const rig = new Rig()
    for (const extent of [0, 1, 2, 7]) {
      rig.gone.add(chunkName({ volume: V, extent, generation: 0, column: 0, replica: 0 }))
    }
    rig.add(A, 10)
    await rig.endAll(PASSED)
    expect(rig.begun).toBe(6)
    expect(rig.ended).toMatchObject([{ state: 'done', chunks: { total: 10, done: 10 } }])
  })

  it('cancels what has not begun at once, and what is in flight by its signal', async () => {
    const rig = new Rig()
    rig.add(A, 5)
    rig.add(B, 5, { volume: volumeId(3) })
    expect(rig.queue.cancel(B)).toMatchObject({ state: 'cancelled', chunks: { done: 0 } })
    expect(rig.queue.cancel(A)).toMatchObject({ state: 'running', trouble: 'being cancelled' })
    const [one, other] = [...rig.flights]
    expect(one?.signal.aborted).toBe(true)
    // One was past its commit: it counts; the other stopped.
    one?.end(PASSED)
    other?.end(failed(true, 'called off'))
    await rig.clock.run(60_000)
    expect(rig.ended.map(({ id, state }) => [id, state])).toEqual([
      [B, 'cancelled'],
      [A, 'cancelled']
    ])
    expect(rig.ended[1]).toMatchObject({ chunks: { total: 5, done: 1 } })
    expect(rig.begun).toBe(2)
    expect(rig.queue.cancel(A)).toBeUndefined()
  })

  it('keeps what is open for the next start when it is closed', async () => {
    const rig = new Rig()
    rig.add(A, 3)
    await rig.endOne(PASSED)
    const closing = rig.queue.close()
    expect(rig.flights.every(flight => flight.signal.aborted)).toBe(true)
    await rig.endAll(failed(true, 'closing'))
    await closing
    expect(rig.ended).toEqual([])
    expect(rig.queue.saved()).toMatchObject([{ id: A, doneBytes: MiB }])
  })

  it('counts a handoff that throws as a chunk that cannot move', async () => {
    const rig = new Rig()
    const broken = new MoveQueue({
      self: SOURCE as NodeId,
      handoffs: { ...rig.handoffs, pass: () => Promise.reject(new Error('a bug')) },
      clock: rig.clock,
      random: new SeededRandom(1),
      log: quiet,
      isHeld: () => true,
      onEnd: move => void rig.ended.push(move)
    })
    broken.add({
      id: A,
      volume: V,
      to: TARGET,
      why: '',
      since: 0,
      isDrain: false,
      ranges: [{ generation: 0, column: 0, replica: 0, from: 0, to: 1 }],
      totalBytes: 0,
      doneBytes: 0,
      longestPauseMs: 0
    })
    broken.pump()
    await rig.clock.run(0)
    expect(rig.ended).toMatchObject([{ state: 'failed', trouble: expect.stringMatching(/a bug/) }])
  })
})
