// Goal: a token is raised only over a whole volume, once per attempt, and served only when all of it
// granted; no order or repetition of answers changes that.
// Method: the pure machine against shards that answer by the book, late, twice, or wrongly.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type AttachEffect,
  type AttachEvent,
  type AttachState,
  type Attempt,
  start,
  step
} from '../../protocols/attach/machine.ts'
import { placementOf, segmentAt, withExtent } from '../../protocols/attach/placement.ts'
import {
  compareTokens,
  type HandoffId,
  type NodeId,
  type Nonce,
  type Run,
  type Token
} from '../../protocols/ids.ts'
import { MiB } from '../../protocols/limits.ts'
import type { ControlAnswer, ShardState } from '../../protocols/shard-control/messages.ts'
import { FIRST_EPOCH, FIRST_TOKEN, run, spec, token, volumeId } from '../support/shard-harness.ts'

const VOLUME = volumeId(1)
const node = (name: string): NodeId => name as NodeId
const NODES = [node('a'), node('b')]
const attempt: Attempt = {
  volume: VOLUME,
  attach: 'aaaaaaaaaaaaaaaa' as Nonce,
  self: node('gateway'),
  takeOver: false,
  holderTimeoutMs: 30_000,
  starts: new Map()
}

/** Harness runs are of generation 1 and so is its spec. */
function shard(column: number, parts: Partial<ShardState> = {}): ShardState {
  return {
    spec: spec(VOLUME),
    sizeBytes: 4 * MiB,
    token: FIRST_TOKEN,
    writer: FIRST_TOKEN,
    incarnation: { number: 1, nonce: '0000000000000001' as Nonce },
    runs: [run(0, 4, column)],
    released: [],
    receiving: [],
    allocatedBytes: 0,
    ...parts
  }
}

const state = (of: ShardState): ControlAnswer => ({ is: 'state', state: of })

function feed(nodes: readonly NodeId[], events: readonly AttachEvent[], of = attempt) {
  let { state: at, effects } = start(of, nodes)
  const all: AttachEffect[] = [...effects]
  let last: readonly AttachEffect[] = effects
  for (const event of events) {
    ;({ state: at, effects } = step(at, event))
    last = effects
    all.push(...effects)
  }
  return { at, all, last }
}

const answer = (from: NodeId, of: ShardState): AttachEvent => ({
  type: 'answer',
  node: from,
  answer: state(of)
})
const [a, b] = NODES as [NodeId, NodeId]
const opens = (effects: readonly AttachEffect[]) => effects.filter(({ type }) => type === 'open')

describe('the attach machine', () => {
  it('asks, opens with the greatest counter plus one, flushes, serves', () => {
    const greatest = shard(1, { token: token(7) })
    const asked = feed(NODES, [answer(a, shard(0)), answer(b, greatest)])
    const mine: Token = { counter: 8, attach: attempt.attach }
    expect(asked.last).toEqual([
      { type: 'open', node: a, token: mine },
      { type: 'open', node: b, token: mine }
    ])
    const granted = [answer(a, shard(0, { token: mine })), answer(b, shard(1, { token: mine }))]
    const events: AttachEvent[] = [answer(a, shard(0)), answer(b, greatest), ...granted]
    const flushing = feed(NODES, events)
    expect(flushing.last.map(({ type }) => type)).toEqual(['flush', 'flush'])
    const served = feed(NODES, [
      ...events,
      { type: 'flushed', node: b },
      { type: 'flushed', node: a }
    ])
    expect(served.at.at).toBe('serving')
  })

  it('follows a shard that another one names before it raises anything', () => {
    const c = node('c')
    const moved = shard(1, { runs: [], released: [{ run: run(0, 4, 1), to: c }] })
    const asked = feed(NODES, [answer(a, shard(0)), answer(b, moved)])
    expect(asked.last).toEqual([{ type: 'query', node: c }])
    const { last } = feed(NODES, [answer(a, shard(0)), answer(b, moved), answer(c, shard(1))])
    expect(opens(last).length).toBe(3)
  })

  it('looks again, and raises nothing, while a chunk is held by no shard', () => {
    const short = shard(1, { runs: [run(0, 3, 1)] })
    const { all, last } = feed(NODES, [answer(a, shard(0)), answer(b, short)])
    expect(opens(all)).toEqual([])
    expect(last.map(({ type }) => type)).toEqual(['retry', 'retry'])
  })

  it('takes the volume for as large as before a growth that reached only some shards', () => {
    const grown = shard(0, { sizeBytes: 8 * MiB, runs: [run(0, 8)] })
    const mine: Token = { counter: 2, attach: attempt.attach }
    const { at } = feed(NODES, [
      answer(a, grown),
      answer(b, shard(1)),
      answer(a, { ...grown, token: mine }),
      answer(b, shard(1, { token: mine }))
    ])
    expect(at).toMatchObject({ at: 'flushing', granted: { sizeBytes: 4 * MiB } })
  })

  it('refuses what another gateway still renews, unless told to take over', () => {
    const holder = { node: node('other'), host: 'vm-7', since: 0 }
    const held = (holderSilentMs: number) => [answer(a, shard(0, { holder, holderSilentMs }))]
    expect(feed(NODES, held(1)).at).toMatchObject({
      at: 'refused',
      fault: { code: 'VOLUME_ATTACHED', host: 'vm-7' }
    })
    expect(feed(NODES, held(30_000)).at.at).toBe('asking')
    expect(feed(NODES, held(1), { ...attempt, takeOver: true }).at.at).toBe('asking')
    expect(feed(NODES, held(1), { ...attempt, self: node('other') }).at.at).toBe('asking')
  })

  it('gives up, and never raises again, when a shard knows a greater token', () => {
    const stale: ControlAnswer = { is: 'stale', token: token(99), writer: token(99) }
    const events: AttachEvent[] = [
      answer(a, shard(0)),
      answer(b, shard(1)),
      { type: 'answer', node: a, answer: stale },
      answer(b, shard(1, { token: { counter: 2, attach: attempt.attach } })),
      { type: 'again', node: a }
    ]
    const { at, all } = feed(NODES, events)
    expect(at).toMatchObject({ at: 'refused', fault: { code: 'FENCED' } })
    expect(opens(all).length).toBe(2)
  })

  it('takes a node that holds nothing for an answer, and still waits for every chunk', () => {
    const c = node('c')
    const absent: AttachEvent = { type: 'answer', node: c, answer: { is: 'absent' } }
    const early = feed([...NODES, c], [absent, answer(a, shard(0)), answer(b, shard(1))])
    expect(opens(early.last).length).toBe(3)
    const granted = [a, b].map((from, column) => answer(from, shard(column, { token: mine })))
    const served = feed(
      [...NODES, c],
      [absent, answer(a, shard(0)), answer(b, shard(1)), absent, ...granted]
    )
    expect(served.last.map(effect => 'node' in effect && effect.node)).toEqual([a, b]) // flushes
    const empty: AttachEvent = { type: 'answer', node: b, answer: { is: 'absent' } }
    const short = feed(NODES, [answer(a, shard(0)), empty])
    expect(opens(short.all)).toEqual([])
    const late = step(short.at, { type: 'timeout', afterMs: 1 }).state
    expect(late).toMatchObject({ at: 'refused', fault: { code: 'UNREACHABLE', peer: b } })
    expect(late.at === 'refused' && late.why).toContain('holds nothing')
  })

  it('asks those whom the map names later, and no longer waits for those it forgot', () => {
    const [c, d] = [node('c'), node('d')]
    const asked = [answer(a, shard(0)), answer(b, shard(1))]
    const waiting = feed([...NODES, c], asked)
    expect(opens(waiting.all)).toEqual([])
    const missing: AttachEvent = { type: 'missing', node: c, why: 'gone' }
    const named = (nodes: NodeId[]): AttachEvent => ({ type: 'named', nodes })
    const gone = feed([...NODES, c], [...asked, missing, named(NODES)])
    expect(opens(gone.last).length).toBe(2)
    const other = feed([...NODES, c], [...asked, missing, named([...NODES, d])])
    expect(other.last).toEqual([{ type: 'query', node: d }])
    // Who is named by a shard, or described one, stays, whatever the map says.
    const passing = shard(1, { released: [{ run: run(0, 1, 1), to: c }] })
    const kept = feed(NODES, [answer(a, shard(0)), answer(b, passing), missing, named([a])])
    expect(opens(kept.all)).toEqual([])
    expect(feed(NODES, [...asked.slice(0, 1), named([])]).last).toEqual([])
  })

  it('carries what is prepared and released, instead of waiting for the source to do it', () => {
    const c = node('c')
    const epoch = { token: FIRST_TOKEN, counter: 7 }
    const handoff = '00000000000000aa' as HandoffId
    const moved = { ...run(1, 2, 1), epoch }
    const source = shard(1, {
      runs: [run(0, 1, 1), run(2, 4, 1)],
      released: [{ run: moved, to: c, handoff }]
    })
    const receiving = { run: moved, from: b, handoff, isPrepared: true, reservedBytes: 0 }
    const target = shard(1, { runs: [], receiving: [receiving] })
    const events = [answer(a, shard(0)), answer(b, source), answer(c, target)]
    const { all, last } = feed(NODES, events)
    expect(opens(all)).toEqual([])
    const chunk = { volume: VOLUME, extent: 1, generation: 1, column: 1, replica: 0 }
    const released = { handoff, chunk, from: b, epoch }
    expect(last).toContainEqual({ type: 'carry', node: c, released })
    expect(last).not.toContainEqual({ type: 'retry', node: c })
    const held = answer(c, shard(1, { runs: [moved] }))
    const after = feed(NODES, [...events, { type: 'again', node: c }, held, ...events.slice(0, 2)])
    expect(opens(after.last).length).toBe(3)
    // Not at another epoch, and not what is not complete.
    for (const part of [{ isPrepared: false }, { run: { ...moved, epoch: FIRST_EPOCH } }]) {
      const other = shard(1, { runs: [], receiving: [{ ...receiving, ...part }] })
      const { last: none } = feed(NODES, [...events.slice(0, 2), answer(c, other)])
      expect(none.some(({ type }) => type === 'carry')).toBe(false)
    }
  })

  it('starts over, for a greater token, when only a mover was there meanwhile', () => {
    const events = [answer(a, shard(0)), answer(b, shard(1))]
    const stale = (writer: Token): AttachEvent => ({
      type: 'answer',
      node: b,
      answer: { is: 'stale', token: token(9), writer }
    })
    const over = feed(NODES, [
      ...events,
      answer(a, shard(0, { token: mine, writer: mine })),
      stale(FIRST_TOKEN)
    ])
    expect(over.at.at).toBe('asking')
    expect(over.last.map(({ type }) => type)).toEqual(['retry', 'retry'])
    const moved = { token: token(9), mover: { node: b, host: 'b', since: 0 } }
    const again = [
      ...events,
      stale(mine), // our own grant, and a mover after it
      answer(a, shard(0, { token: mine, writer: mine })),
      answer(b, shard(1, { ...moved, writer: mine }))
    ]
    const { last } = feed(NODES, again)
    expect(opens(last)).toEqual([
      { type: 'open', node: a, token: { counter: 10, attach: attempt.attach } },
      { type: 'open', node: b, token: { counter: 10, attach: attempt.attach } }
    ])
    expect(feed(NODES, [...events, stale(token(2, 0xbb))]).at.at).toBe('refused')
  })

  it('goes on after its own token only if no other gateway was granted one', () => {
    const own: Attempt = { ...attempt, after: FIRST_TOKEN }
    const moved = shard(0, { token: token(5), mover: { node: b, host: 'b', since: 0 } })
    const events = [answer(a, moved), answer(b, shard(1))]
    expect(opens(feed(NODES, events, own).last).length).toBe(2)
    const taken = shard(0, { token: token(5), writer: token(5) })
    const { at, all } = feed(NODES, [answer(a, taken)], { ...own, takeOver: true })
    expect([at.at, opens(all)]).toEqual(['refused', []])
  })

  it('holds its invariants against any answers in any order', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), events => {
        let at: AttachState = start(attempt, NODES).state
        const tokens: Token[] = []
        const granted = new Set<NodeId>()
        for (const event of events) {
          const before = at
          const next = step(at, event)
          at = next.state
          expect(next.effects.length).toBeLessThanOrEqual(8)
          const sent = opens(next.effects)
          for (const effect of sent) {
            if (effect.type !== 'open') continue
            const last = tokens.at(-1)
            const order = last === undefined ? 1 : compareTokens(effect.token, last)
            // A greater one only after all were asked again.
            if (order !== 0) expect(before.at === 'asking' && order > 0).toBe(true)
            if (order !== 0) tokens.push(effect.token)
          }
          if (before.at === 'opening' && event.type === 'answer' && event.answer.is === 'state') {
            if (compareTokens(event.answer.state.token, before.token) === 0) granted.add(event.node)
          }
          if (at.at === 'serving') {
            expect(at.granted.placement.gaps).toEqual([])
            for (const segment of at.granted.placement.columns.flat()) {
              expect(granted.has(segment.node)).toBe(true)
            }
          }
          if (before.at === 'refused') expect(at).toBe(before)
        }
        expect(tokens.every(({ attach }) => attach === attempt.attach)).toBe(true)
      }),
      { numRuns: 500 }
    )
  })
})

const mine: Token = { counter: 2, attach: attempt.attach }
const anyState = fc
  .record({
    column: fc.nat(1),
    token: fc.constantFrom(FIRST_TOKEN, mine, mine, mine, token(2, 0xffff)),
    to: fc.constantFrom(4, 4, 4, 3),
    names: fc.constantFrom<NodeId | undefined>(undefined, undefined, node('c'), a),
    writer: fc.constantFrom(FIRST_TOKEN, FIRST_TOKEN, mine, token(2, 0xffff))
  })
  .map(({ column, token: of, to, names, writer }) => {
    const released = names === undefined ? [] : [{ run: run(0, 1, column), to: names }]
    return shard(column, { token: of, writer, runs: [run(0, to, column)], released })
  })
const anyNode = fc.constantFrom(a, a, b, b, node('c'))
const anyEvent: fc.Arbitrary<AttachEvent> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(anyNode, anyState).map(([from, of]) => answer(from, of)) },
  { weight: 2, arbitrary: anyNode.map(from => ({ type: 'flushed', node: from }) as const) },
  anyNode.map(from => ({ type: 'again', node: from }) as const),
  fc.uniqueArray(anyNode, { maxLength: 3 }).map(nodes => ({ type: 'named', nodes }) as const),
  anyNode.map(from => ({ type: 'missing', node: from, why: 'gone' }) as const),
  anyNode.map(from => ({ type: 'answer', node: from, answer: { is: 'absent' } }) as const)
)

describe('placement', () => {
  it('gives every chunk to the greatest epoch that holds it, and names the rest', () => {
    const runs = fc.array(
      fc.record({
        node: fc.constantFrom(...NODES, node('c')),
        from: fc.nat(9),
        length: fc.integer({ min: 1, max: 6 }),
        counter: fc.nat(50)
      }),
      { maxLength: 12 }
    )
    fc.assert(
      fc.property(runs, list => {
        const held = list.map((one, i) => {
          const epoch = { token: FIRST_TOKEN, counter: one.counter * 100 + i }
          const part: Run = { ...run(one.from, one.from + one.length), epoch }
          return { node: one.node, runs: [part] }
        })
        const shape = { ...spec(VOLUME), columns: 1 }
        const { columns, gaps } = placementOf(shape, 8 * MiB, held)
        for (let extent = 0; extent < 8; extent++) {
          const found = segmentAt(columns[0] ?? [], extent)
          const best = held
            .filter(({ runs: [part] }) => part && part.from <= extent && extent < part.to)
            .sort((x, y) => (y.runs[0]?.epoch.counter ?? 0) - (x.runs[0]?.epoch.counter ?? 0))[0]
          expect(found?.node).toBe(best?.node)
          expect(found?.epoch).toEqual(best?.runs[0]?.epoch)
          expect(gaps.some(gap => gap.from <= extent && extent < gap.to)).toBe(best === undefined)
        }
      })
    )
  })

  it('is the same table when one chunk passes on as when it is made anew', () => {
    const moves = fc.array(fc.record({ extent: fc.nat(7), to: fc.constantFrom(a, b, node('c')) }), {
      maxLength: 30
    })
    fc.assert(
      fc.property(moves, list => {
        const shape = { ...spec(VOLUME), columns: 1 }
        const owners = new Array<NodeId>(8).fill(a)
        const counters = new Array<number>(8).fill(1)
        let { columns } = placementOf(shape, 8 * MiB, [{ node: a, runs: [run(0, 8)] }])
        for (const { extent, to } of list) {
          const counter = (counters[extent] ?? 0) + 1
          counters[extent] = counter
          owners[extent] = to
          columns = [withExtent(columns[0] ?? [], extent, to, { token: FIRST_TOKEN, counter })]
        }
        const held = owners.map((owner, extent) => {
          const epoch = { token: FIRST_TOKEN, counter: counters[extent] ?? 0 }
          return { node: owner, runs: [{ ...run(extent, extent + 1), epoch }] }
        })
        expect(columns).toEqual(placementOf(shape, 8 * MiB, held).columns)
      })
    )
  })
})
