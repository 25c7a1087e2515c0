// Goal: history goes after its data: little by little taken together, much at once, all of it with the
// last chunk, and to every target its own part; and nothing is lost between a start and the next.
// Method: the real carrier on a simulated clock; what it takes and gives is written down.
import { describe, expect, it } from 'vitest'
import { CARRY_AFTER_MS, CARRY_RETRY_MAX_MS, CARRY_RETRY_MIN_MS } from '../../node/limits.ts'
import { Carrier, type CarrierOptions, type PartOfShard } from '../../node/load/carrier.ts'
import type { HistoryPart, PieceOnItsWay } from '../../node/load/keeper-messages.ts'
import type { ChunkKey, NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAX_PIECE_CHUNKS } from '../../protocols/load/limits.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { quietLog, volumeId } from '../support/shard-harness.ts'

const VOLUME = volumeId(1)
const A = nodeId('a')
const B = nodeId('b')
const HALF_HOUR_MS = 1_800_000

interface Taken {
  readonly volume: VolumeId
  readonly to: NodeId
  readonly part: HistoryPart
}

class Rig {
  readonly clock = new MicroClock()
  readonly taken: Taken[] = []
  readonly given: Array<{ id: string; to: string; atMs: number; heat: number }> = []
  readonly delivered: string[] = []
  readonly warned: string[] = []
  readonly gone: VolumeId[] = []
  part: PartOfShard = { share: 0.001, byHour: undefined, heat: undefined }
  isEmpty = false
  accepts: () => Promise<boolean> = async () => true
  undelivered: PieceOnItsWay[] = []
  readonly carrier: Carrier
  #ids = 0

  constructor(more: Partial<CarrierOptions> = {}) {
    this.carrier = new Carrier({
      clock: this.clock,
      loadClock: this.clock,
      random: { bytes: length => new Uint8Array(length).fill(++this.#ids), fraction: () => 0 },
      log: { ...quietLog, warn: (_fields, message) => void this.warned.push(message) },
      partOf: () => this.part,
      isEmpty: () => this.isEmpty,
      take: async (volume, id, to, part) => {
        this.taken.push({ volume, to, part })
        return { id, key: volume, to, piece: new Uint8Array(0) }
      },
      undelivered: async () => this.undelivered,
      give: async ({ id, to }, heat) => {
        this.given.push({ id, to, atMs: this.clock.monotonicMs(), heat: heat.length })
        return this.accepts()
      },
      delivered: id => void this.delivered.push(id),
      gone: volume => void this.gone.push(volume),
      ...more
    })
  }

  pass(to: NodeId, share: number, extent = 0, byHour?: Float64Array): void {
    this.part = { share, byHour, heat: undefined }
    this.carrier.passed(chunk(extent), to)
  }
}

function chunk(extent: number, volume = VOLUME): ChunkKey {
  return { volume, extent, generation: 1, column: 0, replica: 0 }
}

describe('the carrier of history', () => {
  it('takes many cold chunks together, a while after the first', async () => {
    const rig = new Rig()
    for (let i = 0; i < 5; i++) {
      rig.pass(A, 0.001, i)
      await rig.clock.run(1000)
    }
    await rig.clock.run(CARRY_AFTER_MS - 5001)
    expect(rig.taken).toEqual([])
    await rig.clock.run(1)
    expect(rig.taken).toHaveLength(1)
    expect(rig.taken[0]?.part.share).toBeCloseTo(1 - 0.999 ** 5, 12)
    await rig.clock.run(HALF_HOUR_MS)
    expect(rig.taken).toHaveLength(1)
    expect(rig.delivered).toHaveLength(1)
  })

  it('takes a hot chunk at once, with the cold ones that wait for the same node', async () => {
    const rig = new Rig()
    rig.pass(A, 0.004)
    rig.pass(A, 0.004, 1)
    await rig.clock.run(10)
    expect(rig.taken).toEqual([])
    rig.pass(A, 0.3, 2)
    await rig.clock.run(0)
    expect(rig.taken.map(({ part }) => part.share)).toEqual([expect.closeTo(1 - 0.996 ** 2 * 0.7)])
    await rig.clock.run(HALF_HOUR_MS)
    expect(rig.taken).toHaveLength(1)
  })

  it('keeps to what each hour of the day says', async () => {
    const rig = new Rig()
    const night = new Float64Array(24)
    night[3] = 0.5
    rig.pass(A, 0.2, 0, night)
    rig.pass(A, 0.2, 1)
    await rig.clock.run(0)
    const [first, second] = rig.taken.map(({ part }) => part)
    expect(first?.share).toBeCloseTo(0.2)
    expect(first?.byHour?.[3]).toBe(0.5)
    expect(first?.byHour?.[4]).toBe(0)
    expect(second?.byHour).toEqual(new Array(24).fill(expect.closeTo(0.2)))
  })

  it('gives the last target all that is left, after what is owed to others', async () => {
    const rig = new Rig()
    rig.pass(A, 0.002)
    rig.carrier.passed(chunk(0, volumeId(2)), A)
    rig.isEmpty = true
    rig.pass(B, 0.001, 1, new Float64Array(24))
    await rig.clock.run(0)
    expect(rig.taken.map(({ to, volume }) => [to, volume])).toEqual([
      [A, VOLUME],
      [B, VOLUME]
    ])
    expect(rig.taken[0]?.part.share).toBeCloseTo(0.002)
    expect(rig.taken[1]?.part).toEqual({ share: 1, byHour: new Array(24).fill(1) })
    expect(rig.gone).toEqual([VOLUME])
    await rig.clock.run(CARRY_AFTER_MS)
    expect(rig.taken.filter(({ volume }) => volume === VOLUME)).toHaveLength(2)
  })

  it('says of nothing that it is gone while history of it is here, or it has come back', async () => {
    const rig = new Rig()
    rig.accepts = async () => false
    rig.isEmpty = true
    rig.pass(A, 0.5)
    await rig.clock.run(1000)
    expect(rig.gone).toEqual([])
    rig.isEmpty = false
    rig.accepts = async () => true
    await rig.clock.run(HALF_HOUR_MS)
    expect(rig.delivered).toHaveLength(1)
    expect(rig.gone).toEqual([])
    const failing = new Rig({ take: () => Promise.reject(new Error('the keeper is gone')) })
    failing.isEmpty = true
    failing.pass(A, 0.5)
    await failing.clock.run(HALF_HOUR_MS)
    expect(failing.gone).toEqual([])
    expect(failing.warned).toEqual(['the history of what moved stays here'])
  })

  it('sends no more heat with one piece than one message may have', async () => {
    const rig = new Rig()
    const state = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 }
    for (let i = 0; i < MAX_PIECE_CHUNKS + 1; i++) {
      rig.part = { share: 0, byHour: undefined, heat: { chunk: chunk(i), state } }
      rig.carrier.passed(chunk(i), A)
    }
    await rig.clock.run(CARRY_AFTER_MS)
    expect(rig.given.map(({ heat }) => heat)).toEqual([MAX_PIECE_CHUNKS, 1])
  })

  it('offers a piece ever more rarely until it is taken', async () => {
    const rig = new Rig()
    let refusals = 5
    rig.accepts = async () => {
      if (refusals-- > 3) throw new Error('unreachable')
      return refusals < 0
    }
    rig.pass(A, 0.5)
    await rig.clock.run(HALF_HOUR_MS)
    const times = rig.given.map(({ atMs }) => atMs)
    expect(times).toEqual([0, 1, 3, 7, 15, 31].map(units => units * CARRY_RETRY_MIN_MS))
    expect(new Set(rig.given.map(({ id }) => id)).size).toBe(1)
    expect(rig.delivered).toHaveLength(1)
    expect(rig.warned).toEqual([])
  })

  it('gives up a piece after the longest pause, and says so', async () => {
    const rig = new Rig()
    rig.accepts = async () => false
    rig.pass(A, 0.5)
    await rig.clock.run(CARRY_RETRY_MAX_MS / 2)
    expect(rig.delivered).toEqual([])
    await rig.clock.run(2 * CARRY_RETRY_MAX_MS)
    expect(rig.delivered).toHaveLength(1)
    expect(rig.warned).toEqual(['the history of what moved was not taken there'])
    const { length } = rig.given
    await rig.clock.run(10 * CARRY_RETRY_MAX_MS)
    expect(rig.given).toHaveLength(length)
    expect(rig.clock.pending).toBe(0)
  })

  it('stops when it is closed, and leaves what is not delivered to the next start', async () => {
    const rig = new Rig()
    rig.accepts = async () => false
    rig.pass(A, 0.5)
    rig.pass(B, 0.001)
    await rig.clock.run(2000)
    const { length } = rig.given
    rig.carrier.close()
    rig.pass(A, 0.5, 7)
    await rig.clock.run(10 * HALF_HOUR_MS)
    expect(rig.given).toHaveLength(length)
    expect(rig.taken).toHaveLength(1)
    expect(rig.delivered).toEqual([])
    expect(rig.warned).toEqual([])
  })

  it('resumes what an earlier start left, each piece once at a time', async () => {
    const rig = new Rig()
    const piece = (id: string) => ({ id, key: VOLUME, to: A, piece: new Uint8Array(0) })
    rig.undelivered = [piece('1'), piece('2')]
    rig.accepts = async () => rig.clock.monotonicMs() > 0
    await rig.carrier.resume()
    // The keeper alone failed, and its next start lists them again.
    await rig.carrier.resume()
    await rig.clock.run(CARRY_RETRY_MIN_MS)
    expect(rig.given.map(({ id }) => id)).toEqual(['1', '2', '1', '2'])
    expect(rig.delivered).toEqual(['1', '2'])
    const broken = new Rig({ undelivered: () => Promise.reject(new Error('closed')) })
    await expect(broken.carrier.resume()).rejects.toThrow('closed')
  })
})
