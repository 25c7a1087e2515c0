// Goal: of every move both ends keep what it was decided on and what became of it; an hour after its
//   end it is judged once, from what was measured; the score counts each thing once, whatever restarts.
// Method: receipts, judge, teller and score keeper of two nodes on disks in memory, under a simulated
//   load clock; loads by the minute are what a test says.
import { beforeEach, describe, expect, it } from 'vitest'
import { Judge } from '../../node/balance/judge.ts'
import { openReceipts, type Receipts } from '../../node/balance/receipts.ts'
import { ScoreKeeper } from '../../node/balance/score-keeper.ts'
import { tellTargets } from '../../node/balance/teller.ts'
import type { AfterMessage, AfterQuery } from '../../protocols/balance/messages.ts'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import { MAX_RECEIPTS, RECEIPT_DAYS } from '../../protocols/balance/receipt-limits.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { MapDisk } from '../support/map-disk.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { receiptMade, SOURCE, TARGET, V } from '../support/receipts-made.ts'
import { quiet } from '../support/storage-rig.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const RANGES = [{ generation: 0, column: 0, replica: 0, from: 0, to: 3 }]
const ID = '3fa9c2d01b7e'

let clock: MicroClock
let disk: MapDisk
let source: Receipts
let target: Receipts
/** The target answers. */
let isThere: boolean
let asked: AfterQuery[]
/** Loads of the source's node, of what moved and of the target's node: of every minute. */
let loads: { source: number; moved: number; target: number }

beforeEach(async () => {
  clock = new MicroClock()
  disk = new MapDisk()
  isThere = true
  asked = []
  loads = { source: 600, moved: 300, target: 500 }
  source = await openSource()
  target = await openReceipts({ self: TARGET, disk: new MapDisk(), log: quiet, clock })
})

function openSource(on = disk): Promise<Receipts> {
  return openReceipts({ self: SOURCE, disk: on, log: quiet, clock })
}

function decided(more: Partial<Receipt> = {}): Receipt {
  const made = receiptMade({ decidedAt: clock.now(), state: 'open', ...more })
  const { startedAt: _s, endedAt: _e, movedChunks: _m, longestPauseMs: _l, ...rest } = made
  return rest
}

function move(state: Move['state'] = 'running', more: Partial<Move> = {}): Move {
  return {
    id: ID,
    volume: V,
    from: SOURCE,
    to: TARGET,
    state,
    why: 'a person wanted it',
    chunks: { total: 3, done: state === 'done' ? 3 : 0 },
    bytes: { total: 300, done: state === 'done' ? 200 : 0 },
    bytesPerSecond: 0,
    since: clock.now(),
    longestPauseMs: 12,
    ...more
  }
}

async function moved(more: Partial<Receipt> = {}): Promise<void> {
  const receipt = decided(more)
  source.opened(receipt)
  source.started(move('running', { id: receipt.id }), receipt.reason, RANGES)
  await clock.run(40_000)
  source.ended(move('done', { id: receipt.id }), receipt.reason)
}

function judge(): Judge {
  return new Judge({
    clock,
    log: quiet,
    receipts: source,
    measured: { minutes: async (_volume, from, to) => Array(to - from).fill(loads.source) },
    threshold: () => 800,
    askAfter: async (_target, query) => answer(query)
  })
}

function answer(query: AfterQuery): AfterMessage {
  asked.push(query)
  if (!isThere) throw new ShoalError({ code: 'TIMEOUT', afterMs: 1 }, 'host-b does not answer')
  const minutes = Array.from({ length: query.to - query.from }, () => 0)
  return {
    node: minutes.map(() => loads.target),
    moved: minutes.map(() => loads.moved),
    threshold: 900
  }
}

function tell(): Promise<void> {
  const say = async (to: NodeId, receipt: Receipt): Promise<void> => {
    if (!isThere) throw new ShoalError({ code: 'TIMEOUT', afterMs: 1 }, 'silent')
    expect(to).toBe(TARGET)
    target.keep(SOURCE, receipt)
  }
  return tellTargets({ clock, log: quiet, receipts: source, tell: say })
}

const kept = (receipts: Receipts, id = ID) => receipts.book.get(id)?.receipt

describe('a receipt', () => {
  it('begins with the award of a negotiated move and follows its course, at both ends', async () => {
    const receipt = decided()
    source.opened(receipt)
    target.opened({ ...receipt, keptBy: 'target' })
    source.started(move())
    await clock.run(41_000)
    const endedAt = clock.now()
    source.ended(move('done'))
    expect(kept(source)).toEqual({
      ...receipt,
      state: 'done',
      startedAt: endedAt - 41_000,
      endedAt,
      bytes: 200,
      movedChunks: 3,
      longestPauseMs: 12
    })
    await tell()
    const [own] = receipt.alternatives
    expect(kept(target)).toEqual({ ...kept(source), keptBy: 'target', alternatives: [own] })
  })

  it('of what people asked for, or of a drain, begins with its move', async () => {
    source.started(move(), 'asked')
    source.started(move('running', { id: 'aaaaaaaaaaaa', why: 'the node is drained' }), 'drain')
    await tell()
    for (const receipts of [source, target]) {
      expect(kept(receipts)).toMatchObject({ reason: 'asked', why: 'a person wanted it' })
      expect(kept(receipts, 'aaaaaaaaaaaa')).toMatchObject({
        reason: 'drain',
        why: 'the node is drained',
        state: 'open'
      })
    }
  })

  it('never goes back: what ended stays so, and what is said twice counts once', async () => {
    await moved()
    const ended = kept(source)
    source.opened(decided())
    source.started(move())
    source.ended(move('failed'))
    expect(kept(source)).toEqual(ended)
    await tell()
    target.settled(ID, 'failed', clock.now())
    target.keep(SOURCE, { ...decided(), keptBy: 'target' })
    expect(kept(target)).toMatchObject({ state: 'done' })
  })

  it('of another node is kept only from the source of a move to here', async () => {
    const said: Receipt = { ...decided(), keptBy: 'target' }
    const refused = (from: NodeId, receipt: Receipt) => () => target.keep(from, receipt)
    expect(refused(nodeId('host-c'), said)).toThrow(/its own moves only/)
    expect(refused(SOURCE, { ...said, target: nodeId('host-c') })).toThrow(/its own moves only/)
    expect(refused(SOURCE, { ...said, keptBy: 'source' })).toThrow(/its own moves only/)
    expect(refused(SOURCE, { ...said, decidedAt: clock.now() + 2 * DAY_MS })).toThrow(/day to come/)
    target.keep(SOURCE, said)
    const other = nodeId('host-c')
    expect(refused(other, { ...said, source: other })).toThrow(/another move has this id/)
  })

  it('is told to a target that comes back, with all that happened meanwhile', async () => {
    isThere = false
    await moved()
    await tell()
    expect(kept(target)).toBeUndefined()
    isThere = true
    await clock.run(2 * HOUR_MS)
    await judge().look()
    await tell()
    expect(kept(target)).toMatchObject({ state: 'done', outcome: { wasNeeded: true } })
  })

  it('ends with words when the node stopped before the move had begun', async () => {
    source.opened(decided())
    source.opened(decided({ id: 'aaaaaaaaaaaa' }))
    await source.flush()
    const again = await openSource(disk.crash())
    again.reconcile(new Set(['aaaaaaaaaaaa']))
    expect(kept(again)).toMatchObject({ state: 'failed', trouble: /stopped/ })
    expect(kept(again, 'aaaaaaaaaaaa')).toMatchObject({ state: 'open' })
  })

  it('is kept for 90 days, and not longer, and only so many of them', async () => {
    await moved()
    await clock.run(RECEIPT_DAYS * DAY_MS - HOUR_MS)
    source.addSteps([], 0)
    expect(kept(source)).toBeDefined()
    await clock.run(2 * HOUR_MS)
    source.addSteps([], 0)
    expect(kept(source)).toBeUndefined()
    const id = (i: number) => i.toString(16).padStart(12, '0')
    for (let i = 0; i < MAX_RECEIPTS / 2 + 5; i++) {
      source.book.put({ receipt: { ...receiptMade({ id: id(i) }), decidedAt: i }, isTold: true })
    }
    expect(source.book.all()).toHaveLength(MAX_RECEIPTS / 2)
    expect(kept(source, id(4))).toBeUndefined()
    expect(kept(source, id(5))).toBeDefined()
  })

  it('is listed by time, volume and first digits, page by page', () => {
    for (let i = 0; i < 7; i++) {
      const id = `${i % 2 === 0 ? 'aa' : 'bb'}${String(i).padStart(10, '0')}`
      source.book.put({ receipt: receiptMade({ id, decidedAt: 10 * i }), isTold: true })
    }
    const { receipts, next } = source.book.list({ limit: 3, since: 10 })
    expect(receipts.map(one => one.decidedAt)).toEqual([60, 50, 40])
    const more = source.book.list({ limit: 5, since: 10, ...(next && { before: next }) })
    expect(more.receipts.map(one => one.decidedAt)).toEqual([30, 20, 10])
    expect(more.next).toBeUndefined()
    expect(source.book.list({ limit: 9, id: 'bb' }).receipts).toHaveLength(3)
    const ids = ['aa0000000000', 'bb0000000001', 'cccccccccccc']
    expect(source.book.list({ limit: 9, ids }).receipts).toHaveLength(2)
    expect(source.book.list({ limit: 9, source: SOURCE }).receipts).toHaveLength(7)
    expect(source.book.list({ limit: 9, source: TARGET }).receipts).toHaveLength(0)
    expect(source.book.list({ limit: 9, volume: 'f'.repeat(32) as Receipt['volume'] })).toEqual({
      receipts: []
    })
  })
})

describe('the judge', () => {
  it('says an hour later whether it was needed, and counts it', async () => {
    await moved()
    await clock.run(HOUR_MS)
    await judge().look()
    expect(kept(source)?.outcome).toBeUndefined()
    await clock.run(3 * MINUTE_MS)
    await judge().look()
    expect(kept(source)?.outcome).toEqual({
      judgedAt: clock.now(),
      wasNeeded: true,
      sourcePeak: 600,
      sourcePeakWithout: 900,
      sourceThreshold: 800,
      targetPeak: 500,
      targetThreshold: 900,
      targetStayedWell: true,
      avoidedMinutes: 60,
      sufferedMinutes: 0,
      longestPauseMs: 12
    })
    expect(asked).toMatchObject([{ volume: V, ranges: RANGES, chunks: 3 }])
    const score = { needed: 1, unneeded: 0, predicted: 1, cameTrue: 1, avoidedMinutes: 60 }
    expect(source.score.totals(clock.now(), 1)).toMatchObject(score)
  })

  it('says so when it was not needed, and when the target did not stay well', async () => {
    loads = { source: 500, moved: 200, target: 950 }
    await moved()
    await clock.run(65 * MINUTE_MS)
    await judge().look()
    expect(kept(source)?.outcome).toMatchObject({
      wasNeeded: false,
      targetStayedWell: false,
      avoidedMinutes: 0,
      sufferedMinutes: 60
    })
    expect(source.score.totals(clock.now(), 1)).toMatchObject({ unneeded: 1, cameTrue: 0 })
  })

  it('judges once, also after a restart', async () => {
    await moved()
    await clock.run(65 * MINUTE_MS)
    await judge().look()
    await judge().look()
    await source.flush()
    source = await openSource(disk.crash())
    await judge().look()
    expect(asked).toHaveLength(1)
    expect(source.score.totals(clock.now(), 1)).toMatchObject({ needed: 1 })
  })

  it('asks a silent target again, for a day, and then says that nobody knows', async () => {
    isThere = false
    await moved()
    await clock.run(65 * MINUTE_MS)
    await judge().look()
    expect(kept(source)?.unjudged).toBeUndefined()
    await clock.run(DAY_MS)
    await judge().look()
    expect(kept(source)).toMatchObject({ unjudged: 'host-b does not answer' })
    expect(source.score.totals(clock.now(), 2)).toMatchObject({ unjudged: 1, needed: 0 })
    isThere = true
    await judge().look()
    expect(asked).toHaveLength(2)
  })

  it('puts back what left later within the hour, so that each move has its part', async () => {
    loads = { source: 300, moved: 300, target: 500 }
    await moved({ id: 'aaaaaaaaaaaa' })
    await clock.run(10 * MINUTE_MS)
    await moved({ id: 'bbbbbbbbbbbb' })
    await clock.run(90 * MINUTE_MS)
    await judge().look()
    // 300 are left, and are all that the source's series says: what left took its past along. Until
    // the second move it had 600; without both it would have had 900.
    expect(kept(source, 'aaaaaaaaaaaa')?.outcome).toMatchObject({
      wasNeeded: true,
      sourcePeak: 600,
      sourcePeakWithout: 900
    })
    expect(kept(source, 'bbbbbbbbbbbb')?.outcome).toMatchObject({
      wasNeeded: false,
      sourcePeakWithout: 600
    })
  })

  it('does not judge drains, failed moves, nor what others decided', async () => {
    await moved({ reason: 'drain' })
    source.started(move('running', { id: 'bbbbbbbbbbbb' }))
    source.ended(move('failed', { id: 'bbbbbbbbbbbb' }))
    source.book.put({
      receipt: receiptMade({
        id: 'cccccccccccc',
        keptBy: 'target',
        target: SOURCE,
        source: TARGET
      }),
      isTold: true
    })
    await clock.run(3 * HOUR_MS)
    expect(judge().due()).toEqual([])
  })
})

describe('the score', () => {
  const STEP_MS = 5 * MINUTE_MS
  beforeEach(() => clock.run(STEP_MS - (clock.now() % STEP_MS)))

  const keeper = () =>
    new ScoreKeeper({
      clock,
      receipts: source,
      measured: { minutes: async (_volume, from, to) => Array(to - from).fill(loads.source) },
      threshold: () => 800
    })

  it('counts each step once, from the first look on, also after a restart', async () => {
    await keeper().look()
    await keeper().look()
    expect(source.score.totals(clock.now(), 1)).toMatchObject({ measuredMinutes: 5 })
    loads = { ...loads, source: 900 }
    await clock.run(17 * MINUTE_MS)
    await keeper().look()
    await source.flush()
    source = await openSource(disk.crash())
    await clock.run(15 * MINUTE_MS)
    await keeper().look()
    expect(source.score.totals(clock.now(), 2)).toMatchObject({
      measuredMinutes: 40,
      sufferedMinutes: 35
    })
  })

  it('counts an overload once that no move was meant against', async () => {
    const one = keeper()
    await one.look()
    loads = { ...loads, source: 900 }
    await clock.run(22 * MINUTE_MS)
    await one.look()
    expect(source.score.totals(clock.now(), 1)).toMatchObject({ missed: 1, sufferedMinutes: 20 })
    loads = { ...loads, source: 100 }
    await clock.run(10 * MINUTE_MS)
    await one.look()
    await moved()
    loads = { ...loads, source: 900 }
    await clock.run(20 * MINUTE_MS)
    await one.look()
    expect(source.score.totals(clock.now(), 1)).toMatchObject({ missed: 1 })
  })

  it('counts a minute as it was, though what moved away took its past along', async () => {
    const one = keeper()
    await one.look()
    loads = { ...loads, source: 900 }
    for (let minute = 0; minute < 10; minute++) {
      await clock.run(MINUTE_MS)
      await one.look()
    }
    loads = { ...loads, source: 100 }
    await clock.run(10 * MINUTE_MS)
    await one.look()
    const { sufferedMinutes } = source.score.totals(clock.now(), 1)
    expect(sufferedMinutes).toBe(10)
  })

  it('forgets days that are too old', async () => {
    await moved()
    await clock.run(65 * MINUTE_MS)
    await judge().look()
    await clock.run(RECEIPT_DAYS * DAY_MS)
    source.addSteps([], clock.now())
    expect(source.score.days()).toEqual([])
  })
})
