// Goal: what a keeper is told and asked happens in the order in which it was said, between short
// slices; training takes its part of a core and no more; who asks gets an answer or a fault.
// Method: a real keeper, its runner and its port on a simulated clock; files in memory.
import { describe, expect, it } from 'vitest'
import { KEEPER_ASK_TIMEOUT_MS, MAX_KEEPER_ASKS, TRAINING_CORE_PART } from '../../node/limits.ts'
import { LoadKeeper } from '../../node/load/keeper.ts'
import type { KeeperAnswers, KeeperNews } from '../../node/load/keeper-messages.ts'
import { type FromKeeper, KeeperPort } from '../../node/load/keeper-port.ts'
import { KeeperRunner } from '../../node/load/keeper-runner.ts'
import { unpackPiece } from '../../node/load/piece-codec.ts'
import { isFault, ShoalError } from '../../protocols/fault.ts'
import { IDLE } from '../../protocols/load/record.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { keeperHere } from '../support/load-keeper.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { MemorySeriesFiles } from '../support/series-memory-files.ts'
import { volumeId } from '../support/shard-harness.ts'

const VOLUME = volumeId(1)
const SETTINGS = { zone: 'UTC', patterns: [], threshold: 'usual' } as const

/** Turns one by one, and time by hand. */
class Stepped extends MicroClock {
  readonly tasks: Array<() => void> = []

  override soon(task: () => void): void {
    this.tasks.push(task)
  }

  turn(): boolean {
    const task = this.tasks.shift()
    task?.()
    return task !== undefined
  }

  turns(): number {
    let count = 0
    while (this.turn()) count++
    return count
  }
}

class Rig {
  readonly clock = new Stepped()
  readonly files: MemorySeriesFiles
  readonly sent: Array<FromKeeper> = []
  readonly keeper: LoadKeeper
  readonly runner: KeeperRunner
  #next = 1

  constructor(files = new MemorySeriesFiles(), keeper?: LoadKeeper) {
    this.files = files
    this.keeper =
      keeper ??
      new LoadKeeper({ files, seed: 1, now: () => this.clock.now(), send: () => undefined })
    this.runner = new KeeperRunner(this.keeper, this.clock, message => this.sent.push(message))
  }

  open(): void {
    this.runner.receive({ tell: 'subject', key: VOLUME, settings: SETTINGS })
    this.clock.turns()
  }

  minutes(count: number): void {
    const last = Math.floor(this.clock.now() / 60_000)
    for (let slot = last - count; slot < last; slot++) this.minute(slot)
  }

  minute(slot: number): void {
    const records = [{ key: VOLUME, record: { ...IDLE, reads: 100 } }]
    const tick = { tell: 'tick', second: slot * 60 + 59, seconds: [] } as const
    this.runner.receive({ ...tick, minute: { slot, records } })
  }

  take(share = 1): number {
    const id = this.#next++
    const to = nodeId('target')
    const question = {
      ask: 'take',
      key: VOLUME,
      id: `00000000000000${id + 10}`,
      to,
      part: { share }
    } as const
    this.runner.receive({ id, question })
    return id
  }

  forecast(horizonMinutes = 60): number {
    const id = this.#next++
    const question = { ask: 'forecast', subject: { key: VOLUME }, horizonMinutes } as const
    this.runner.receive({ id, question })
    return id
  }

  answerOf(id: number): FromKeeper | undefined {
    return this.sent.find(message => 'id' in message && message.id === id)
  }

  piece(id: number): KeeperAnswers['take'] {
    const found = this.answerOf(id)
    if (found === undefined || !('answer' in found)) throw new Error('it was not answered')
    return found.answer as KeeperAnswers['take']
  }
}

function minutesIn(piece: Uint8Array | undefined): number | undefined {
  return piece && unpackPiece(piece)?.minutes.states.length
}

describe('turns of a keeper', () => {
  it('let nothing that is told overtake what was asked', () => {
    const rig = new Rig()
    rig.open()
    rig.minutes(60)
    rig.forecast()
    const taken = rig.take()
    rig.runner.receive({ tell: 'gone', key: VOLUME, forget: true })
    const after = rig.take()
    rig.clock.turns()
    expect(minutesIn(rig.piece(taken).piece)).toBe(60)
    expect(minutesIn(rig.piece(after).piece)).toBe(0)
    expect(rig.files.list().some(name => name.startsWith(VOLUME))).toBe(false)
    expect(rig.sent.map(message => 'id' in message && message.id)).toEqual([1, 2, 3])
  })

  it('are one slice each, and what arrives comes before a past that is being read', () => {
    const rig = new Rig()
    rig.open()
    rig.minutes(3000)
    rig.clock.turns()
    const again = new Rig(rig.files.image())
    again.runner.receive({ tell: 'subject', key: VOLUME, settings: SETTINGS })
    for (let i = 0; i < 3; i++) again.clock.turn()
    const id = again.forecast()
    let turns = 0
    while (again.answerOf(id) === undefined && again.clock.turn()) turns++
    expect(turns).toBeGreaterThan(2)
    expect(again.clock.turns()).toBeGreaterThan(2)
  })

  it('go on after one question that cannot be answered', () => {
    const rig = new Rig()
    rig.open()
    rig.minutes(10)
    const piece = Uint8Array.of(1, 2, 3)
    rig.runner.receive({ id: 77, question: { ask: 'give', key: VOLUME, piece } })
    const next = rig.take()
    rig.clock.turns()
    expect(rig.answerOf(77)).toEqual({ id: 77, failed: expect.stringMatching(/no piece/) })
    expect(rig.answerOf(next)).toHaveProperty('answer')
  })

  it('end with what was told, and with what was to leave before it was forgotten', () => {
    const rig = new Rig()
    rig.open()
    rig.minutes(60)
    rig.forecast()
    rig.take()
    rig.runner.receive({ tell: 'gone', key: VOLUME, forget: true })
    rig.runner.stop()
    expect(rig.clock.turns()).toBeLessThanOrEqual(1)
    const again = new LoadKeeper({
      files: rig.files.image(),
      seed: 1,
      now: () => rig.clock.now(),
      send: () => undefined
    })
    const answer = again.answer({ ask: 'undelivered' }).next().value as KeeperAnswers['undelivered']
    expect(answer).toHaveLength(1)
    expect(minutesIn(answer[0]?.piece)).toBe(60)
    rig.minute(1)
    expect(rig.clock.turns()).toBe(0)
  })

  it('give training its part of a core, whatever else is asked', async () => {
    const SLICE_MS = 4
    let slices = 0
    const clock = new MicroClock()
    /** A keeper that always has something to learn. */
    class Learner extends LoadKeeper {
      override train(): boolean {
        slices++
        clock.stall(SLICE_MS)
        return true
      }
    }
    const files = new MemorySeriesFiles()
    const learner = new Learner({ files, seed: 1, now: () => clock.now(), send: () => undefined })
    const runner = new KeeperRunner(learner, clock, () => undefined)
    const startMs = clock.monotonicMs()
    for (let second = 0; second < 20; second++) {
      runner.receive({ tell: 'tick', second, seconds: [] })
      await clock.run(1000)
    }
    const part = (slices * SLICE_MS) / (clock.monotonicMs() - startMs)
    expect(part).toBeLessThanOrEqual(TRAINING_CORE_PART * 1.02)
    expect(part).toBeGreaterThan(TRAINING_CORE_PART * 0.9)
    runner.stop()
    const before = slices
    await clock.run(10_000)
    expect(slices).toBe(before)
  })
})

describe('the way to a keeper', () => {
  const history = { ask: 'history', key: VOLUME, steps: 3 } as const
  const codeOf = async (ask: Promise<unknown>): Promise<string> => {
    try {
      await ask
      return 'answered'
    } catch (error) {
      return isFault(error) ? error.fault.code : String(error)
    }
  }

  it('answers a question, and fails with the keeper’s words', async () => {
    const clock = new MicroClock()
    const news: KeeperNews[] = []
    const port = new KeeperPort(clock, one => news.push(one))
    let starts = 0
    const running = keeperHere(new MemorySeriesFiles(), clock)(port, () => starts++)
    expect(starts).toBe(1)
    port.tell({ tell: 'subject', key: VOLUME, settings: SETTINGS })
    const asked = port.ask(history)
    const bad = port.ask({ ask: 'give', key: VOLUME, piece: Uint8Array.of(9) })
    const words = bad.catch((error: unknown) => error)
    await clock.run(10)
    expect((await asked).loads).toHaveLength(0)
    expect(await words).toMatchObject({ fault: { code: 'BAD_INPUT' } })
    expect(String(await words)).toMatch(/no piece of history/)
    expect(news.some(one => one.news === 'state')).toBe(true)
    const waiting = codeOf(port.ask(history))
    await running.close()
    expect(await waiting).toBe('CLOSED')
    expect(await codeOf(port.ask(history))).toBe('CLOSED')
    // Told to nobody, and no harm.
    port.tell({ tell: 'delivered', id: 'x' })
    expect(clock.pending).toBe(0)
  })

  it('fails what nobody answers in time, and drops the answer that comes after', async () => {
    const clock = new MicroClock()
    const port = new KeeperPort(clock, () => undefined)
    expect(await codeOf(port.ask(history))).toBe('CLOSED')
    const ids: number[] = []
    const send = (message: object) => void ('id' in message && ids.push(Number(message.id)))
    port.connect({ send, close: async () => undefined })
    const late = codeOf(port.ask(history))
    await clock.run(KEEPER_ASK_TIMEOUT_MS - 1)
    const next = codeOf(port.ask(history))
    await clock.run(2)
    expect(await late).toBe('TIMEOUT')
    port.receive({ id: ids[0] ?? 0, failed: 'too late' })
    port.receive({ id: ids[1] ?? 0, answer: { loads: new Float64Array(0), endMs: 0 } })
    expect(await next).toBe('answered')
    expect(clock.pending).toBe(0)
  })

  it('has so many questions open and no more, and fails all of them when the keeper is lost', async () => {
    const clock = new MicroClock()
    const port = new KeeperPort(clock, () => undefined)
    const wire = { send: () => undefined, close: async () => undefined }
    port.connect(wire)
    const open = Array.from({ length: MAX_KEEPER_ASKS }, () => codeOf(port.ask(history)))
    expect(await codeOf(port.ask(history))).toBe('LIMIT')
    port.lost()
    expect(new Set(await Promise.all(open))).toEqual(new Set(['CLOSED']))
    expect(clock.pending).toBe(0)
    port.connect(wire)
    const again = codeOf(port.ask(history))
    port.lost()
    expect(await again).toBe('CLOSED')
  })

  it('passes on the trouble of a keeper that is closing', async () => {
    const clock = new MicroClock()
    const news: KeeperNews[] = []
    const port = new KeeperPort(clock, one => news.push(one))
    const files = new MemorySeriesFiles()
    const running = keeperHere(files, clock)(port, () => undefined)
    port.tell({ tell: 'subject', key: VOLUME, settings: SETTINGS })
    files.beforeStep = () => {
      throw new ShoalError({ code: 'NO_SPACE' }, 'the disk is full')
    }
    const slot = Math.floor(clock.now() / 60_000)
    const minute = { slot, records: [] }
    port.tell({ tell: 'tick', second: slot * 60, seconds: [], minute })
    await running.close()
    expect(news.filter(one => one.news === 'trouble')).toHaveLength(1)
  })
})
