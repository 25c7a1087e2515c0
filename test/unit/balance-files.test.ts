// Goal: what people set, what left within six hours, and what was seen of peers survives restarts; a damaged file is named and
// never makes a node do more than its defaults.
// Method: the real files on disks in memory.
import { describe, expect, it } from 'vitest'
import { BALANCE_MOVES_FILE, openPast, type SavedOrder } from '../../node/balance/past.ts'
import { BALANCE_PEERS_FILE, openPeerRecords } from '../../node/balance/peer-records.ts'
import { BALANCE_FILE, openSettings } from '../../node/balance/settings-file.ts'
import { RETURN_MS } from '../../protocols/balance/limits.ts'
import { DEFAULT_SETTINGS } from '../../protocols/balance/settings.ts'
import type { ChunkKey, Nonce } from '../../protocols/ids.ts'
import { MAX_MOVE_RANGES } from '../../protocols/moves/limits.ts'
import { RECORD_HALVES_MS } from '../../protocols/negotiate/limits.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { TurnedClock } from '../support/load-clock.ts'
import { randomNodeId } from '../support/load-mesh.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { SeededRandom } from '../support/process-random.ts'
import { quietLog, volumeId } from '../support/shard-harness.ts'

const V = volumeId(1)
const OTHER = volumeId(2)
const RANGE = { generation: 0, column: 0, replica: 0, from: 3, to: 6 }

function chunk(extent: number): ChunkKey {
  return { volume: V, extent, generation: 0, column: 0, replica: 0 }
}

async function write(disk: MemoryDisk, name: string, text: string): Promise<void> {
  const file = await disk.open(name, 'if-absent')
  await file.write([Buffer.from(text)], 0)
  await file.sync()
  await file.close()
}

describe('the settings of a node', () => {
  it('are the defaults until somebody sets something, which then stays', async () => {
    const disk = new MemoryDisk()
    const settings = await openSettings(disk, quietLog)
    expect(settings.now).toEqual(DEFAULT_SETTINGS)
    await settings.set({ isPaused: true, regions: ['eu-west'], bytesPerHour: 1000 })
    await settings.set({ thresholdPart: 0.5, bytesPerHour: null })
    const image = disk.crashImage({ loss: 'all' })
    expect((await openSettings(image, quietLog)).now).toEqual({
      ...DEFAULT_SETTINGS,
      isPaused: true,
      thresholdPart: 0.5,
      regions: ['eu-west']
    })
  })

  it('are refused in words beyond their bounds, and then stay as they were', async () => {
    const settings = await openSettings(new MemoryDisk(), quietLog)
    for (const change of [
      { thresholdPart: 1.5 },
      { horizonMinutes: 5 },
      { movesPerHour: -1 },
      { movesPerHour: Number.NaN },
      { regions: ['No Region'] }
    ]) {
      await expect(settings.set(change)).rejects.toMatchObject({ fault: { code: 'BAD_INPUT' } })
    }
    expect(settings.now).toEqual(DEFAULT_SETTINGS)
  })

  it('are the defaults if the file is damaged, which is kept and named', async () => {
    for (const text of ['{"version":1', '{"version":2}', '{"version":1,"isPaused":"no"}', '']) {
      const disk = new MemoryDisk()
      await write(disk, BALANCE_FILE, text)
      const settings = await openSettings(disk, quietLog)
      expect(settings.now).toEqual(DEFAULT_SETTINGS)
      expect(settings.problem).toMatch(/balance\.json could not be read \(kept as /)
      expect(await disk.list('.')).toContain(`${BALANCE_FILE}.damaged`)
    }
  })
})

describe('what is remembered of moves', () => {
  const order: SavedOrder = {
    ...{ id: '0123456789ab', volume: V, to: nodeId('b'), reason: 'predicted', since: 5, bytes: 9 },
    reservation: '0123456789abcdef' as Nonce,
    ranges: [RANGE],
    path: { atMs: 0, stepMs: 300_000, expected: [1], high: [2] }
  }

  it('is read again however many scattered chunks left, the youngest surely', async () => {
    const disk = new MemoryDisk()
    const clock = new TurnedClock(1)
    const past = await openPast(disk, quietLog, clock)
    for (let move = 0; move < 17; move++) {
      const ranges = Array.from({ length: MAX_MOVE_RANGES }, (_, i) => {
        const from = 2 * (move * MAX_MOVE_RANGES + i)
        return { ...RANGE, from, to: from + 1 }
      })
      past.noted('left', V, ranges)
    }
    past.noted('left', V, [{ ...RANGE, from: 1, to: 0xffff }])
    past.noted('left', V, [{ ...RANGE, column: 1 }])
    await past.save()
    const again = await openPast(disk.crashImage({ loss: 'all' }), quietLog, clock)
    expect(again.problem).toBeUndefined()
    expect(again.history.returnsAt({ ...chunk(3), column: 1 }, 2)).toBeDefined()
  })

  it('keeps chunks away for six hours, over a restart, and no longer', async () => {
    const disk = new MemoryDisk()
    const clock = new TurnedClock(Date.UTC(2026, 2, 9))
    const past = await openPast(disk, quietLog, clock)
    past.begun(V, 77)
    past.noted('left', V, [RANGE])
    past.noted('arrived', V, [{ ...RANGE, from: 20, to: 21 }])
    past.put(order)
    await past.save()
    const again = await openPast(disk.crashImage({ loss: 'all' }), quietLog, clock)
    const now = clock.now()
    expect(again.orders).toEqual([order])
    expect(again.history.ofHour(now)).toEqual({ moves: 1, bytes: 77 })
    expect(again.history.ofVolume(V, now)).toEqual({ moves: 1, bytes: 77 })
    expect(again.history.ofVolume(OTHER, now)).toEqual({ moves: 0, bytes: 0 })
    expect(again.history.returnsAt(chunk(5), now)).toBe(now + RETURN_MS)
    expect(again.history.returnsAt(chunk(6), now)).toBeUndefined()
    expect(again.history.leavesAt(chunk(20), now)).toBeGreaterThan(now)
    await clock.turn(RETURN_MS)
    expect(again.history.returnsAt(chunk(5), clock.now())).toBeUndefined()
    again.drop(order.id)
    await again.save()
    const text = JSON.stringify((await openPast(disk, quietLog, clock)).orders)
    expect(text).toContain(order.id)
  })

  it('counts a move of a file of before, which names no volume, for every volume', async () => {
    const disk = new MemoryDisk()
    const event = { is: 'begun', atMs: 5, bytes: 7 }
    await write(
      disk,
      BALANCE_MOVES_FILE,
      JSON.stringify({ version: 1, events: [event], orders: [] })
    )
    const { history, problem } = await openPast(disk, quietLog, new TurnedClock(9))
    expect([problem, history.ofVolume(V, 9)]).toEqual([undefined, { moves: 1, bytes: 7 }])
    expect(history.ofVolume(OTHER, 9)).toEqual({ moves: 1, bytes: 7 })
  })

  it('is nothing if the file is damaged, and that is a problem', async () => {
    const disk = new MemoryDisk()
    await write(disk, BALANCE_MOVES_FILE, '{"version":1,"events":[{"is":"left"}],"orders":[]}')
    const past = await openPast(disk, quietLog, new TurnedClock(0))
    expect([past.orders, past.problem]).toEqual([[], expect.stringMatching(/24 hours/)])
  })
})

describe('what a node has seen of its peers', () => {
  const random = new SeededRandom(1)
  const [liar, silent] = [randomNodeId(random), randomNodeId(random)]
  const lie = { headroom: 90, threshold: 100, peak: 130 }

  it('survives a crash once it is saved, and fades while the node is down', async () => {
    const disk = new MemoryDisk()
    const records = await openPeerRecords(disk, quietLog, new TurnedClock(1_000_000))
    for (let i = 0; i < 9; i++) records.trust.judged(liar, lie, 0)
    records.trust.note(silent, 'silent', 0)
    await records.save()
    const image = disk.crashImage({ loss: 'all' })
    const at = async (wallMs: number) => {
      return (await openPeerRecords(image, quietLog, new TurnedClock(wallMs))).trust
    }
    for (const wallMs of [1_000_001, 5]) {
      const again = await at(wallMs)
      expect(again.factor(liar, 0)).toBeCloseTo(records.trust.factor(liar, 0))
      expect(again.mayAsk(silent, 0)).toBe(false)
    }
    const late = await at(1_000_000 + 10 * RECORD_HALVES_MS)
    expect(late.factor(liar, 0)).toBeGreaterThan(0.95)
    expect(late.mayAsk(silent, 0)).toBe(true)
  })

  it('begins anew with a damaged file, which is a problem', async () => {
    const many = { node: liar, silences: -1 }
    for (const text of [
      '{',
      '{"version":2}',
      JSON.stringify({ version: 1, atMs: 1, peers: [many] })
    ]) {
      const disk = new MemoryDisk()
      await write(disk, BALANCE_PEERS_FILE, text)
      const records = await openPeerRecords(disk, quietLog, new TurnedClock(0))
      expect(records.problem).toMatch(/balance-peers\.json\.damaged/)
      expect(records.trust.size).toBe(0)
      records.trust.note(liar, 'broke', 0)
      await records.save()
      const again = await openPeerRecords(disk, quietLog, new TurnedClock(0))
      expect([again.problem, again.trust.size]).toEqual([undefined, 1])
    }
  })
})
