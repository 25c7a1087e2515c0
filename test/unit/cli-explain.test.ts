// Goal: `shoal explain` tells a move and a shard in sentences that are true and that a person reads
// once: what was foretold, who bid, how it went, what really happened; in the zone of the volume.
// Method: the real command over a real socket, with documents as a daemon sends them.
import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type {
  AlternativeDocument,
  ExplainDocument,
  MoveDetailDocument,
  ReceiptDocument,
  ShardExplainDocument
} from '../../node/control/balance-documents.ts'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import { NO_SCORE } from '../../protocols/balance/score.ts'
import { Terminal } from '../support/cli-terminal.ts'
import {
  DECIDED_AT,
  outcomeMade,
  receiptMade,
  SOURCE,
  TARGET,
  V
} from '../support/receipts-made.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

let document: ExplainDocument
let terminal: Terminal

beforeEach(async () => {
  const app = new Hono()
  app.get('/v1/explain', c => c.json(document))
  terminal = await Terminal.open({ app })
})
afterEach(() => terminal.close())

function named({ alternatives, ...receipt }: Receipt): ReceiptDocument {
  const names = ['host-b', 'host-c', 'host-d', 'host-e']
  return {
    ...receipt,
    sourceName: 'host-a',
    targetName: 'host-b',
    volumeName: 'web',
    alternatives: alternatives.map(
      (one, i): AlternativeDocument => ({ ...one, name: names[i] ?? 'host-z', region: 'eu' })
    )
  }
}

async function lines(
  receipt: Receipt,
  more: Partial<MoveDetailDocument> = {},
  judgedFrom?: number
): Promise<string[]> {
  document = {
    kind: 'move',
    id: receipt.id,
    zone: 'Europe/Berlin',
    at: DECIDED_AT + 3 * HOUR_MS,
    receipt: { ...named(receipt), ...(judgedFrom === undefined ? {} : { judgedFrom }) },
    keptBy: ['host-a', 'host-b'],
    silent: [],
    ...more
  }
  const { out, code } = await terminal.run(['explain', receipt.id])
  expect(code).toBe(0)
  return out.trimEnd().split('\n')
}

describe('a predicted move', () => {
  it('is told from what was expected to what really happened', async () => {
    expect(await lines(receiptMade({ outcome: outcomeMade() }))).toEqual([
      'Move 3fa9c2d01b7e: 3 chunks of web, from host-a to host-b, done. Times are those of Europe/Berlin.',
      'At 14:05 host-a expected to come to 930 to 1,240 units/s: above its threshold of 800 from 14:50 ' +
        'on if it went high (q90), from 14:55 on as expected, for about 35 min of the next 60 min.',
      'Of that, 320 to 410 units/s would have been of what moves.',
      'It asked host-b and host-c; host-b bid 390 units/s of headroom left at 3 ms; host-c bid 40 ' +
        'units/s of headroom left, 300 units of overload added.',
      'host-b was chosen.',
      'It was worth 118k units of overload and cost 9.3k; the move was to take 40 s.',
      'It moved 3 chunks (192 MiB) in 41 s, done at 14:27, 22 min before the threshold could be ' +
        'exceeded; the longest pause of a client was 12 ms.',
      'In the hour after it, without the move host-a would have peaked at 1,100 units/s, above its ' +
        'threshold of 800: so it was needed. It did peak at 640.',
      'host-b stayed well: it peaked at 510 units/s, of 900.',
      'Overload: 25 min avoided, 0 min suffered.',
      'The receipt is kept by host-a and host-b.'
    ])
  })

  it('says so if it was not needed, came late, or harmed its target', async () => {
    const outcome = outcomeMade({
      wasNeeded: false,
      sourcePeakWithout: 700,
      targetStayedWell: false,
      targetPeak: 950
    })
    const told = await lines(receiptMade({ outcome, endedAt: DECIDED_AT + 50 * MINUTE_MS }))
    expect(told).toContain(
      'In the hour after it, without the move host-a would have peaked at 700 units/s, within its ' +
        'threshold of 800: so it was not needed. It did peak at 640.'
    )
    expect(told).toContain(
      'host-b did not stay well: it peaked at 950 units/s, above its threshold of 900.'
    )
    expect(told.join(' ')).toContain('5 min after the threshold could be exceeded first')
  })

  it('says less where there is less to say', async () => {
    const { predicted } = receiptMade()
    if (predicted === undefined) throw new Error('a prediction')
    const { expectedAtMs: _e, ...high } = predicted
    const [, unexpected] = await lines(receiptMade({ predicted: { ...high, overMs: 0 } }))
    expect(unexpected).toMatch(/from 14:50 on if it went high \(q90\), not as expected\.$/)
    const sure = { ...predicted, expectedAtMs: predicted.highAtMs }
    const [, expected] = await lines(receiptMade({ predicted: sure }))
    expect(expected).toMatch(/above its threshold of 800 from 14:50 on, for about 35 min of /)
    const own = receiptMade().alternatives.slice(0, 1)
    const there = await lines(receiptMade({ keptBy: 'target', alternatives: own }))
    expect(there).toContain(
      'Of the bids only one is known: host-b bid 390 units/s of headroom left at 3 ms.'
    )
  })

  it('that nobody can judge, or not yet, says that', async () => {
    const later = await lines(receiptMade(), {}, DECIDED_AT + 83 * MINUTE_MS)
    expect(later).toContain('What really happened is judged from 15:28 on, an hour after its end.')
    const never = await lines(receiptMade({ unjudged: 'host-b does not answer' }))
    expect(never).toContain('What really happened nobody can say: host-b does not answer.')
  })

  it('says of each whom it asked what that one said, and whom it did not ask', async () => {
    const [chosen] = receiptMade().alternatives
    if (chosen === undefined) throw new Error('one is chosen')
    const told = await lines(
      receiptMade({
        alternatives: [
          { ...chosen, bid: { headroom: -20, addedExcess: 0, freeBytes: 1 } },
          { node: TARGET, is: 'declined', why: 'it is being drained' },
          { node: TARGET, is: 'silent', why: '' },
          { node: TARGET, is: 'unfit', why: 'too far from the gateway of web' }
        ]
      })
    )
    expect(told).toContain(
      'It asked host-b, host-c and host-d; host-b bid 20 units/s more than it should have; host-c ' +
        'declined (it is being drained); host-d did not answer.'
    )
    expect(told).toContain('It did not ask host-e: too far from the gateway of web.')
  })
})

describe('other moves', () => {
  it('of people and of drains give the words of whoever wanted them', async () => {
    const { predicted: _p, cost: _c, ...bare } = receiptMade({ alternatives: [] })
    const asked = await lines({ ...bare, reason: 'asked', why: 'new disks' })
    expect(asked[1]).toBe('At 14:05 somebody asked for it: new disks.')
    const drain = await lines({ ...bare, reason: 'drain', why: 'the node leaves the mesh' })
    expect(drain[1]).toBe('At 14:05 the node was being emptied: the node leaves the mesh.')
    expect(drain.join(' ')).not.toMatch(/asked|needed|worth/)
  })

  it('that failed, were called off or go on say how far they are', async () => {
    const failed = receiptMade({ state: 'failed', movedChunks: 1, trouble: 'extent 4: bad blocks' })
    expect(await lines(failed)).toContain(
      'It failed at 14:27: extent 4: bad blocks. 1 of 3 chunks had moved.'
    )
    const { endedAt: _e, movedChunks: _m, ...open } = receiptMade({ state: 'open' })
    const told = await lines(open, { silent: ['host-a'] })
    expect(told).toContain('It has not ended, as far as those who answer know.')
    expect(told.at(-1)).toBe('No answer from host-a.')
  })

  it('hide no control characters', async () => {
    const told = await lines(receiptMade({ reason: 'asked', why: 'x\u001b[2J\u009b' }))
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(told.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
  })
})

describe('a shard', () => {
  const settings = { isPaused: false, thresholdPart: 0.8, horizonMinutes: 60, movesPerHour: 12 }
  const status = {
    at: DECIDED_AT,
    settings,
    load: 600,
    threshold: 800,
    incurable: [],
    underWay: [],
    promises: [],
    movesLeft: 12,
    problems: []
  }
  const shard: ShardExplainDocument = {
    kind: 'shard',
    subject: 'web@host-b',
    volume: V,
    volumeName: 'web',
    zone: 'Europe/Berlin',
    at: DECIDED_AT + 3 * HOUR_MS,
    createdAt: DECIDED_AT - 5 * 24 * HOUR_MS,
    near: 'eu',
    holder: { node: SOURCE, name: 'gate', region: 'eu' },
    places: [
      {
        node: TARGET,
        name: 'host-b',
        region: 'eu',
        chunks: 12,
        load: 340,
        roundTripMs: 2.1,
        balance: { ...status, node: TARGET, name: 'host-b', region: 'eu', score: NO_SCORE },
        wants: [],
        incurable: []
      }
    ],
    receipts: [named(receiptMade({ outcome: outcomeMade() }))],
    silent: []
  }
  const told = async (more: Partial<ShardExplainDocument> = {}): Promise<string[]> => {
    document = { ...shard, ...more }
    const { out } = await terminal.run(['explain', 'web@host-b'])
    return out.trimEnd().split('\n')
  }

  it('is told by what brought it there, what it is in, and what would make it move', async () => {
    expect(await told()).toEqual([
      'web is on host-b. Times are those of Europe/Berlin.',
      'It was to be near eu when it was created.',
      'It is attached at gate (eu).',
      '',
      'web@host-b (eu, 3 ms from its gateway): 12 chunks; 340 units/s now.',
      '3 chunks came from host-a at 14:27: an overload was foretold (shoal explain 3fa9c2d01b7e).',
      'host-b expects to stay within its threshold of 800 units/s for the next 60 min. Of its 600 ' +
        'units/s now 340 are of web. It moves when what it may come to (q90) exceeds that within ' +
        '60 min, and a move is worth its cost.',
      '',
      'DECIDED  MOVE          FROM    TO      CHUNKS  REASON     STATE  WORTH          OUTCOME',
      '14:05    3fa9c2d01b7e  host-a  host-b  3 of 3  predicted  done   118k for 9.3k  needed, target well'
    ])
  })

  it('that nothing moved, on a paused node, or on one that is silent, says so', async () => {
    const [place] = shard.places
    if (place?.balance === undefined) throw new Error('a place')
    const paused = { ...place, balance: { ...place.balance, idle: 'paused' as const } }
    const still = await told({ receipts: [], places: [paused] })
    expect(still).toContain(
      'It was placed there when web was created (2026-01-10 14:05): no move there is known.'
    )
    expect(still).toContain('host-b begins nothing by itself now: paused.')
    expect(still.at(-1)).toBe('No move to or from here is remembered.')
    const { balance: _b, load: _l, ...bare } = place
    const silent = await told({ places: [bare], silent: ['host-b'] })
    expect(silent).toContain('host-b does not say what would make it move.')
    expect(silent.at(-1)).toBe('No answer from host-b.')
  })
})
