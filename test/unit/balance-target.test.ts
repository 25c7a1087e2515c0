// Goal: chunks go where they hurt least, never where they may not, and not all sources ask the same.
// Method: bids and gossip are made up; ranks and refusals are read.
import { expect, test } from 'vitest'
import { meanAbove } from '../../protocols/balance/excess.ts'
import { MoveHistory } from '../../protocols/balance/history-of-moves.ts'
import { LEAST_STAY_MS, RETURN_MS } from '../../protocols/balance/limits.ts'
import { addPaths, loadAt } from '../../protocols/balance/paths.ts'
import { DEFAULT_SETTINGS } from '../../protocols/balance/settings.ts'
import {
  appraise,
  type Bid,
  candidates,
  type KnownPeer,
  type RankTerms,
  rank
} from '../../protocols/balance/target.ts'
import { chunkOf, flat, HOUR, NOW, nodeOf, outlookOf } from '../support/balance-looks.ts'

const offered = { reason: 'predicted', bytes: 1e9, path: flat(300), copyMs: 60_000 } as const
const asked = { nowMs: NOW, offered, settings: DEFAULT_SETTINGS }

test('a bidder counts the load that comes, and refuses what has no room', () => {
  const room = appraise({ ...asked, own: outlookOf(1, flat(400)) })
  expect(room.is === 'bid' && room.figures.addedExcess).toBeLessThan(1)
  expect(room.is === 'bid' && room.figures.headroom).toBeGreaterThan(200)
  const full = appraise({ ...asked, own: outlookOf(1, flat(950)) })
  expect(full.is === 'bid' && full.figures.addedExcess).toBeGreaterThan(100 * 3_600)
  expect(full.is === 'bid' && full.figures.headroom).toBeLessThan(0)
  expect(appraise({ ...asked, own: outlookOf(1, flat(1), { freeBytes: 1e8 }) }).is).toBe('refusal')
})

test('what left less than 6 hours ago is refused, and later only a quiet day takes it back', () => {
  const quiet = { ...flat(100), stepMs: HOUR }
  const loud = { ...flat(900), stepMs: HOUR }
  const of = (more: object, day = quiet): string =>
    appraise({ ...asked, own: outlookOf(1, flat(100), { day }), ...more }).is
  expect(of({ returnsAt: NOW + 1 })).toBe('refusal')
  expect(of({ wasHere: true })).toBe('bid')
  expect(of({ wasHere: true }, loud)).toBe('refusal')
  expect(of({ offered: { ...offered, reason: 'home' } }, loud)).toBe('refusal')
  expect(appraise({ ...asked, own: outlookOf(1, flat(100)), wasHere: true }).is).toBe('refusal')
})

const terms: RankTerms = {
  want: { benefit: 1e6, cost: 1e4, bytes: 1e9, reason: 'predicted' },
  volume: { isOn: true, maxRttMs: 20, regions: ['region-0', 'region-1'] },
  settings: DEFAULT_SETTINGS,
  takenHosts: new Set(['host-9']),
  source: { node: nodeOf(0), region: 'region-0', host: 'host-0' }
}

function bidOf(i: number, more: Partial<Bid> & { added?: number; rttMs?: number } = {}): Bid {
  const { added = 0, rttMs = 1, ...rest } = more
  const figures = { headroom: 100, addedExcess: added, freeBytes: 1e12, rttMs }
  const place = { node: nodeOf(i), region: `region-${i % 3}`, host: `host-${i}` }
  return { ...place, figures, trust: 1, linkCost: 0, ...rest }
}

test('hard limits come before any score', () => {
  const bids = [
    bidOf(1, { rttMs: 21 }),
    bidOf(2),
    bidOf(3, { linkCost: 'never' }),
    bidOf(9),
    bidOf(4, { added: 1e6 }),
    bidOf(6)
  ]
  const ranked = rank(bids, terms)
  expect(ranked[0]?.bid.node).toBe(nodeOf(6))
  expect(ranked.slice(1).map(({ score }) => score)).toEqual(new Array(5).fill(undefined))
})

test('less overload, a shorter way, a cheaper link and a trusted bidder are better', () => {
  const best = (a: Bid, b: Bid): boolean => rank([a, b], terms)[0]?.bid === a
  expect(best(bidOf(3), bidOf(1, { added: 1e5 }))).toBe(true)
  expect(best(bidOf(3), bidOf(1, { rttMs: 15 }))).toBe(true)
  expect(best(bidOf(3), bidOf(1, { linkCost: 2 }))).toBe(true)
  expect(best(bidOf(3), bidOf(1, { trust: 0.5 }))).toBe(true)
})

test('a few with room are asked, and different seeds ask differently', () => {
  const peers = Array.from({ length: 40 }, (_, i): KnownPeer => {
    const place = { node: nodeOf(i + 20), region: 'region-0', host: `host-${i + 20}` }
    const load = i < 20 ? 990 : 300
    return { ...place, load, threshold: 1_000, freeBytes: 1e12, trust: 1, linkCost: 0 }
  })
  const all = new Set<string>()
  for (let seed = 0; seed < 20; seed++) {
    const some = candidates(peers, terms, seed)
    expect(some).toHaveLength(4)
    expect(some.every(({ load }) => load === 300)).toBe(true)
    for (const { node } of some) all.add(node)
  }
  expect(all.size).toBeGreaterThan(10)
})

test('a history forbids returns for 6 hours and leaving for half an hour, also of what it forgot', () => {
  const history = new MoveHistory(4)
  for (let extent = 0; extent < 9; extent++) {
    history.note({ is: 'left', atMs: NOW, chunks: [chunkOf(1, extent)], bytes: 0 })
  }
  history.note({ is: 'arrived', atMs: NOW, chunks: [chunkOf(2)], bytes: 0 })
  for (const extent of [0, 8]) {
    expect(history.returnsAt(chunkOf(1, extent), NOW + RETURN_MS - 1)).toBe(NOW + RETURN_MS)
    expect(history.returnsAt(chunkOf(1, extent), NOW + RETURN_MS)).toBe(undefined)
    expect(history.wasHere(chunkOf(1, extent), NOW + RETURN_MS)).toBe(true)
  }
  expect(history.leavesAt(chunkOf(2), NOW + LEAST_STAY_MS - 1)).toBe(NOW + LEAST_STAY_MS)
  expect(history.leavesAt(chunkOf(2), NOW + LEAST_STAY_MS)).toBe(undefined)
})

test('expected excess is that of the lognormal load, and adding then taking away gives it back', () => {
  expect(meanAbove({ expected: 100, high: 200 }, 150)).toBeCloseTo(14.2721, 3)
  const sum = addPaths(flat(500, 1.3), [flat(200, 1.5)], [flat(200, 1.5)])
  expect(loadAt(sum, NOW).expected).toBeCloseTo(500, 6)
  expect(loadAt(sum, NOW).high).toBeCloseTo(650, 6)
})
