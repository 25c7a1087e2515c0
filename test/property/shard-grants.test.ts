// Goal: whatever calls arrive in whatever order, a shard's token and size never fall, it never drops
// a run, a call under a smaller token changes nothing, and a repeated call changes nothing more.
// Method: random calls are decided and saved one after the other; each decision is compared with
// the head before it. Run look-ups are compared with a search through all runs.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareTokens, type HandoffId, type NodeId, type Run } from '../../protocols/ids.ts'
import { MiB, MOVER_TIMEOUT_MS } from '../../protocols/limits.ts'
import {
  type Decision,
  decide,
  type Known,
  type ShardHead
} from '../../protocols/shard-control/grants.ts'
import {
  findReleased,
  findRun,
  indexRuns,
  joinRuns,
  runsProblem
} from '../../protocols/shard-control/runs.ts'
import {
  createCall,
  GATEWAY,
  holder,
  run,
  SHARD_NODE,
  spec,
  token,
  volumeId
} from '../support/shard-harness.ts'

const V = volumeId(1)
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const ROOM = {
  availableBytes: 1e9,
  wantedBytes: 1,
  holderSilentMs: 0,
  holderTimeoutMs: 30_000,
  moverAgeMs: 0
}

const someToken = fc.record({ counter: fc.nat(4), attach: fc.nat(2) })
const someRun = fc
  .record({ from: fc.nat(7), length: fc.integer({ min: 1, max: 4 }), column: fc.nat(2) })
  .map(({ from, length, column }) => run(from, from + length, column))
const someCall = fc
  .record({
    call: fc.constantFrom('create', 'open', 'open', 'mover', 'grow', 'grow', 'detach', 'remove'),
    under: someToken,
    extents: fc.integer({ min: 1, max: 12 }),
    runs: fc.array(someRun, { maxLength: 3 }),
    since: fc.nat(2)
  })
  .map(({ call, under, extents, runs, since }) => {
    const granted = token(under.counter, under.attach)
    const sizeBytes = extents * MiB
    switch (call) {
      case 'create':
        return { call: 'create', token: granted, spec: spec(V), sizeBytes, runs } as const
      case 'open':
        return { call: 'open', volume: V, token: granted, holder: holder(since) } as const
      case 'mover':
        return { call: 'mover', volume: V, token: granted, mover: holder(since) } as const
      case 'grow':
        return { call: 'grow', volume: V, token: granted, sizeBytes, runs } as const
      default:
        return { call, volume: V, token: granted } as const
    }
  })

const noRuns: Run[] = []
const nothing: Known = { head: undefined, removedAt: undefined, ...ROOM }

const moment = fc.record({
  what: fc.constantFrom('open', 'heard', 'mover', 'mover', 'detach', 'wait', 'wait', 'restart'),
  node: fc.constantFrom(GATEWAY, SHARD_NODE),
  ms: fc.constantFrom(1, 9_999, 10_000, 29_999, 30_000, 45_000)
})

function later(known: Known, ms: number): Known {
  const { holderSilentMs, moverAgeMs } = known
  return { ...known, holderSilentMs: holderSilentMs + ms, moverAgeMs: moverAgeMs + ms }
}

function carryOut(known: Known, decision: Decision): Known {
  if (decision.do === 'save') return { ...known, head: decision.head }
  if (decision.do === 'remove') return { ...known, head: undefined, removedAt: decision.token }
  return known
}

function expectNothingLost(before: ShardHead, after: ShardHead): void {
  expect(compareTokens(after.token, before.token)).toBeGreaterThanOrEqual(0)
  expect(after.sizeBytes).toBeGreaterThanOrEqual(before.sizeBytes)
  expect(joinRuns(after.runs, before.runs)).toEqual(after.runs)
  expect(runsProblem(after.spec, after.sizeBytes, after.runs)).toBeUndefined()
}

describe(`grants (SEED=${SEED})`, () => {
  it('never lose a token, a size or a run, and never depend on a repetition', () => {
    fc.assert(
      fc.property(fc.array(someCall, { maxLength: 30 }), calls => {
        const created = decide({ head: undefined, removedAt: undefined, ...ROOM }, createCall(V))
        let known = carryOut({ head: undefined, removedAt: undefined, ...ROOM }, created)
        for (const call of calls) {
          const before = known
          const decision = decide(known, call)
          known = carryOut(known, decision)
          if (before.head === undefined) {
            expect(decision.do).toBe('answer')
            continue
          }
          if (compareTokens(call.token, before.head.token) < 0) expect(known).toBe(before)
          if (known.head === undefined) expect(call.call).toBe('remove')
          else expectNothingLost(before.head, known.head)
          const again = decide(known, call)
          expect(again.do === 'keep' || again.do === 'answer').toBe(true)
          if (decision.do === 'save' && call.call !== 'remove') expect(again.do).toBe('keep')
        }
      }),
      { seed: SEED, numRuns: 1000 }
    )
  })

  it('let no mover fence a live gateway, nor two movers in, and no mover keep a gateway out', () => {
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 60 }), moments => {
        const created = decide(nothing, createCall(V))
        let known = carryOut(nothing, created)
        let counter = 1
        let active: { node: NodeId; sinceMs: number } | undefined
        let nowMs = 0
        for (const { what, node, ms } of moments) {
          const { head } = known
          if (head === undefined) throw new Error('nothing removes this shard')
          if (what === 'wait') {
            nowMs += ms
            known = later(known, ms)
          } else if (what === 'heard') known = { ...known, holderSilentMs: 0 }
          else if (what === 'restart') {
            if (active !== undefined) active.sinceMs = nowMs
            known = { ...known, holderSilentMs: 0, moverAgeMs: 0 }
          } else if (what === 'open') {
            counter += 1
            const by = { ...holder(counter), node }
            const call = { call: 'open', volume: V, token: token(counter), holder: by } as const
            const decision = decide(known, call)
            expect(decision).toMatchObject({ do: 'save', head: { writer: call.token, holder: by } })
            known = { ...carryOut(known, decision), holderSilentMs: 0 }
            expect(known.head?.mover).toBeUndefined()
            active = undefined
          } else if (what === 'detach') {
            const call = { call: 'detach', volume: V, token: head.token } as const
            const isMovers = compareTokens(head.token, head.writer) !== 0
            known = carryOut(known, decide(known, call))
            expect(known.head?.mover).toBeUndefined()
            expect(known.head?.holder).toEqual(isMovers ? head.holder : undefined)
            active = undefined
          } else {
            const mover = { ...holder(counter), node }
            const under = token(counter + 1)
            const decision = decide(known, { call: 'mover', volume: V, token: under, mover })
            const isLive = head.holder !== undefined && known.holderSilentMs < 30_000
            const isOther = active !== undefined && active.node !== node
            const isRival = isOther && nowMs - (active?.sinceMs ?? 0) < MOVER_TIMEOUT_MS
            if (isLive || isRival) {
              expect(decision).toMatchObject({ do: 'answer', answer: { is: 'busy' } })
              continue
            }
            expect(decision).toEqual({ do: 'save', head: { ...head, token: under, mover } })
            counter += 1
            active = { node, sinceMs: nowMs }
            known = { ...carryOut(known, decision), moverAgeMs: 0 }
          }
        }
      }),
      { seed: SEED, numRuns: 1000 }
    )
  })

  it('let a mover neither grow the volume nor pass its token on to a gateway', () => {
    const under = token(2)
    const mover = { call: 'mover', volume: V, token: under, mover: holder() } as const
    let known = carryOut(nothing, decide(nothing, createCall(V)))
    known = carryOut(known, decide(known, mover))
    expect(decide(known, mover)).toEqual({ do: 'keep' })
    const grow = {
      call: 'grow',
      volume: V,
      token: under,
      sizeBytes: 8 * MiB,
      runs: noRuns
    } as const
    expect(decide(known, grow)).toMatchObject({ answer: { is: 'failed' } })
    const open = { call: 'open', volume: V, token: under, holder: holder() } as const
    const writer = createCall(V).token
    expect(decide(known, open)).toMatchObject({ answer: { is: 'stale', token: under, writer } })
    const another = { ...mover, mover: { ...holder(), node: SHARD_NODE } }
    expect(decide(known, another)).toMatchObject({ answer: { is: 'stale' } })
  })

  it('grant nothing again by a repeated grow that has moved on since', () => {
    const at = (counter: number) => ({ token: token(1), counter })
    const asked = [run(4, 8, 0, at(5))]
    const grow = {
      call: 'grow',
      volume: V,
      token: token(1),
      sizeBytes: 8 * MiB,
      runs: asked
    } as const
    let known = carryOut(nothing, decide(nothing, createCall(V)))
    known = carryOut(known, decide(known, grow))
    expect(decide(known, grow)).toEqual({ do: 'keep' })
    const { head } = known
    if (head === undefined) throw new Error('the shard was created')
    const moved: ShardHead = {
      ...head,
      runs: [run(0, 4), run(4, 5, 0, at(5)), run(6, 7, 0, at(5))],
      released: [{ run: run(5, 6, 0, at(6)), to: GATEWAY }],
      receiving: [
        {
          run: run(7, 8, 0, at(7)),
          from: GATEWAY,
          handoff: '00000000000000aa' as HandoffId,
          isPrepared: false,
          reservedBytes: 0
        }
      ]
    }
    expect(decide({ ...known, head: moved }, grow)).toEqual({ do: 'keep' })
    const lost = { ...moved, released: [] }
    expect(decide({ ...known, head: lost }, grow)).toMatchObject({ answer: { is: 'failed' } })
    const older = { ...grow, runs: [run(4, 8, 0, at(9))] }
    expect(decide({ ...known, head: moved }, older)).toMatchObject({ answer: { is: 'failed' } })
  })

  it('let a shard that holds nothing know the new size, and gain its first runs', () => {
    const created = carryOut(nothing, decide(nothing, createCall(V))).head
    if (created === undefined) throw new Error('the shard was created')
    const known = { ...nothing, head: { ...created, runs: [] } }
    const grow = {
      call: 'grow',
      volume: V,
      token: token(1),
      sizeBytes: 8 * MiB,
      runs: noRuns
    } as const
    const grown = carryOut(known, decide(known, grow))
    expect(grown.head).toMatchObject({ sizeBytes: 8 * MiB, runs: [] })
    const more = { ...grow, sizeBytes: 9 * MiB, runs: [run(8, 9)] }
    expect(carryOut(grown, decide(grown, more)).head?.runs).toEqual([run(8, 9)])
  })

  it('find the run of a chunk exactly where one covers it', () => {
    const chunk = fc.record({ extent: fc.nat(14), column: fc.nat(3) })
    fc.assert(
      fc.property(fc.array(someRun, { maxLength: 12 }), fc.array(chunk), (candidates, chunks) => {
        const runs: Run[] = []
        for (const candidate of candidates) {
          const isFree = runsProblem(wideSpec, 16 * MiB, [...runs, candidate]) === undefined
          if (isFree) runs.push(candidate)
        }
        const index = indexRuns(runs)
        for (const { extent, column } of chunks) {
          const where = { extent, column, generation: 1, replica: 0 }
          const expected = runs.find(
            held => held.column === column && held.from <= extent && extent < held.to
          )
          expect(findRun(index, where)).toBe(expected)
          expect(findRun(index, { ...where, generation: 2 })).toBeUndefined()
          expect(findRun(index, { ...where, replica: 1 })).toBeUndefined()
        }
      }),
      { seed: SEED, numRuns: 500 }
    )
  })

  it('name the latest place to which a chunk went', () => {
    const at = (counter: number) => ({ token: token(1), counter })
    const released = [
      { run: run(0, 4, 0, at(3)), to: GATEWAY },
      { run: run(2, 6, 0, at(5)), to: SHARD_NODE },
      { run: run(2, 3, 0, at(4)), to: GATEWAY }
    ]
    const where = { extent: 2, generation: 1, column: 0, replica: 0 }
    expect(findReleased(released, where)?.to).toBe(SHARD_NODE)
    expect(findReleased(released, { ...where, extent: 1 })?.to).toBe(GATEWAY)
    expect(findReleased(released, { ...where, extent: 6 })).toBeUndefined()
  })

  it('join runs without repeating any, and refuse an index of runs that overlap', () => {
    const held = [run(0, 4), run(0, 4, 1)]
    expect(joinRuns(held, [run(0, 4), run(4, 5)])).toEqual([...held, run(4, 5)])
    expect(() => indexRuns([run(0, 4), run(3, 5)])).toThrow('broken invariant')
  })
})

const wideSpec = spec(V, 4)
