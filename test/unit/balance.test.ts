// Goal: a node that sees an overload coming has found a home for the right chunks and moved them
// before it comes; nothing moves that should not, and no target takes more than it can.
// Method: three whole nodes in one process; their loads are imported, and time is turned by hand.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  NEGOTIATE_PROTOCOL,
  type NegotiateRequest,
  negotiateRequestSchema
} from '../../protocols/negotiate/messages.ts'
import { CHUNKS } from '../support/balance-mesh.ts'
import {
  ended,
  foretellTooMuch,
  hasMoved,
  held,
  isOver,
  startTrio,
  type Trio
} from '../support/balance-trio.ts'

const MINUTE_MS = 60_000

let trio: Trio

beforeEach(async () => {
  trio = await startTrio()
})

afterEach(() => trio.mesh.close())

describe('a predicted overload', () => {
  it('leads to an offer, bids, an award, and a move that is over before it would come', async () => {
    const { mesh, a, b, c } = trio
    await foretellTooMuch(trio)
    const { excess } = a.balance.plan()
    await hasMoved(trio)
    expect(mesh.clock.now()).toBeLessThan(excess?.expectedAtMs ?? 0)
    const [move] = ended(a)
    expect(move).toMatchObject({ state: 'done' })
    expect(move?.why).toMatch(/this node is foretold to exceed 800 units\/s from 08:\d\d UTC/)
    const target = [b, c].find(({ id }) => id === move?.to)
    expect(held(trio, a) + (target === undefined ? 0 : held(trio, target))).toBe(2 * CHUNKS)
    expect(target?.balance.status().promises).toEqual([])
  })

  it('moves once: what is left stays, and the target keeps what it took', async () => {
    const { mesh, a, b, c } = trio
    await foretellTooMuch(trio)
    await hasMoved(trio)
    const before = held(trio, a)
    for (let step = 0; step < 6; step++) {
      await mesh.turn(5 * MINUTE_MS)
      await mesh.until(() => [a, b, c].every(isOver))
    }
    expect(held(trio, a)).toBe(before)
    expect([a, b, c].map(node => ended(node).length)).toEqual([1, 0, 0])
  })

  it('is planned, said and left alone while balancing is paused', async () => {
    const { mesh, a } = trio
    await a.balance.set({ isPaused: true })
    await foretellTooMuch(trio)
    await mesh.turn(6 * MINUTE_MS)
    expect(a.balance.status()).toMatchObject({ idle: 'paused', underWay: [] })
    expect([held(trio, a), ended(a)]).toEqual([2 * CHUNKS, []])
    await a.balance.set({ isPaused: false })
    await hasMoved(trio)
    expect(held(trio, a)).toBeLessThan(2 * CHUNKS)
  })

  it('is left if its volumes have no budget left, also if that is set after the offer', async () => {
    const { mesh, a, b, one, two } = trio
    const offers = new Set<string>()
    b.node.parts.rpc.serve(NEGOTIATE_PROTOCOL, negotiateRequestSchema, async (_from, request) => {
      offers.add(request.id)
      const none = { isOn: true, movesPerHour: 0 }
      for (const volume of [one, two]) a.node.parts.map.announcePolicy(volume, none)
      return { is: 'refused', code: 'unknown', why: 'never heard' }
    })
    await foretellTooMuch(trio)
    await mesh.until(() => offers.size > 0)
    await mesh.until(() => isOver(a))
    await mesh.turn(6 * MINUTE_MS)
    await mesh.until(() => isOver(a))
    expect([held(trio, a), ended(a), offers.size]).toEqual([2 * CHUNKS, [], 1])
    expect(a.balance.plan()).toMatchObject({ wants: [], excess: { subject: 'node' } })
  })

  it('is only told of by a plan', async () => {
    const { a, b, c } = trio
    await foretellTooMuch(trio)
    const plan = a.balance.plan()
    expect(plan.wants[0]?.candidates.map(({ node }) => node).sort()).toEqual([b.id, c.id].sort())
    expect(plan.wants[0]?.why).toMatch(/worth .* units, costs/)
    expect(a.balance.status().underWay).toEqual([])
    expect(held(trio, a)).toBe(2 * CHUNKS)
  })

  it('goes nowhere that is drained, and off no node that is', async () => {
    const { mesh, a, b, c } = trio
    for (const node of [b, c]) await node.moves.drain('maintenance')
    await foretellTooMuch(trio)
    for (let passed = 0; passed < 120; passed += 10) await mesh.pass(10)
    expect([held(trio, a), ended(a), isOver(a)]).toEqual([2 * CHUNKS, [], true])
    for (const node of [b, c]) await node.moves.undrain()
    expect(b.balance.status().idle).toBeUndefined()
  })
})

describe('a candidate', () => {
  it('that refuses, or is silent, costs no more than the time to wait for it', async () => {
    const { a, b, c } = trio
    await b.balance.set({ isPaused: true })
    await foretellTooMuch(trio)
    await hasMoved(trio)
    expect(ended(a)[0]).toMatchObject({ to: c.id, state: 'done' })
  })

  it('that does not answer is not waited for longer than bids are', async () => {
    const { a, b, c } = trio
    b.node.network.handle(NEGOTIATE_PROTOCOL, () => undefined)
    await foretellTooMuch(trio)
    await hasMoved(trio)
    expect(ended(a)[0]).toMatchObject({ to: c.id, state: 'done' })
  })

  it('that bids the world and then does not stand by it loses the award, and is trusted less', async () => {
    const { a, b, c } = trio
    const asked: Array<NegotiateRequest['call']> = []
    b.node.parts.rpc.serve(NEGOTIATE_PROTOCOL, negotiateRequestSchema, async (_from, request) => {
      asked.push(request.call)
      if (request.call !== 'offer') return { is: 'refused', code: 'unknown', why: 'never heard' }
      const figures = { headroom: 900, addedExcess: 0, freeBytes: 2 ** 40, rttMs: 0.1 }
      return { is: 'bid', figures, reservation: '0123456789abcdef', lastsMs: 10_000 }
    })
    await foretellTooMuch(trio)
    await hasMoved(trio)
    expect(ended(a)[0]).toMatchObject({ to: c.id, state: 'done' })
    expect(asked[0]).toBe('offer')
  })
})
