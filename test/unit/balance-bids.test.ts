// Goal: a node bids only on what it may take and has room for, answers whatever a member asks, and
// what no history foretold is moved all the same, within the bounds that people set.
// Method: two whole nodes in one process; offers by hand over the real calls. SEED=.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NODE_KEY } from '../../node/load/keeper-messages.ts'
import type { Nonce, VolumeId } from '../../protocols/ids.ts'
import {
  NEGOTIATE_PROTOCOL,
  type NegotiateAnswer,
  type NegotiateRequest,
  negotiateAnswerSchema,
  type Offer
} from '../../protocols/negotiate/messages.ts'
import { BalanceMesh, type BalanceNode, CHUNKS, untilReal } from '../support/balance-mesh.ts'
import { nodeId } from '../support/gateway-mesh.ts'
import { SeededRandom } from '../support/process-random.ts'
import { volumeId } from '../support/shard-harness.ts'

const SEED = Number(process.env.SEED ?? 1)
const RANGE = { generation: 0, column: 0, replica: 0, from: 0, to: 4 }

let mesh: BalanceMesh
let a: BalanceNode
let b: BalanceNode

beforeEach(async () => {
  mesh = await BalanceMesh.start(['a', 'b'])
  a = mesh.node(0)
  b = mesh.node(1)
  await mesh.settle()
})

afterEach(() => mesh.close())

function offered(more: Partial<Offer> = {}): Offer {
  const atMs = mesh.clock.now()
  return {
    ...{ call: 'offer', id: '0123456789ab', volume: volumeId(7), ranges: [RANGE], bytes: 1 },
    path: { atMs, stepMs: 300_000, expected: Array(12).fill(100), high: Array(12).fill(150) },
    ...{ reason: 'predicted', copyMs: 1_000, horizonMs: 3_600_000 },
    ...more
  }
}

/** From `a` to `b`. */
function ask(request: NegotiateRequest): Promise<NegotiateAnswer> {
  return a.node.parts.rpc.call(b.id, NEGOTIATE_PROTOCOL, request, negotiateAnswerSchema)
}

async function refusal(request: NegotiateRequest): Promise<string> {
  const answer = await ask(request)
  return answer.is === 'refused' ? answer.code : answer.is
}

describe('a bid', () => {
  it('binds space and load until it is withdrawn, or is awarded and settled', async () => {
    const bid = await ask(offered())
    expect(bid).toMatchObject({ is: 'bid' })
    expect(b.balance.status().promises).toMatchObject([{ at: 'offered', highPeak: 150 }])
    await ask({ call: 'withdraw', id: '0123456789ab' })
    expect(b.balance.status().promises).toEqual([])
    const id = 'aaaaaaaaaaaa'
    const second = await ask(offered({ id }))
    const reservation = second.is === 'bid' ? second.reservation : undefined
    if (reservation === undefined) throw new Error('no bid')
    expect(await ask({ call: 'award', id, reservation, leaseMs: 180_000 })).toEqual({
      is: 'awarded'
    })
    expect(b.balance.status().promises).toMatchObject([{ id, at: 'awarded' }])
    await ask({ call: 'settle', id, outcome: 'cancelled' })
    expect(b.balance.status().promises).toEqual([])
  })

  it('is none for what may not come here, is too far from its gateway, or has no room', async () => {
    const none = nodeId('nobody')
    const cases: ReadonlyArray<readonly [Partial<Offer>, string]> = [
      [{ regions: ['eu-west'] }, 'region'],
      [{ gateway: a.id, maxRttMs: 0.5 }, 'too-far'],
      [{ gateway: none, maxRttMs: 100 }, 'unknown-gateway'],
      [{ bytes: 2 ** 45 }, 'no-space'],
      [{ ranges: [{ ...RANGE, to: 2 ** 32 - 1 }] }, 'too-many']
    ]
    for (const [more, code] of cases) expect(await refusal(offered(more))).toBe(code)
    expect(await refusal(offered({ gateway: b.id, maxRttMs: 0 }))).toBe('bid')
    a.node.parts.map.announceLink(a.region, b.region, 'never')
    await untilReal(() => b.node.parts.map.mesh().links.length > 0)
    expect(await refusal(offered({ id: 'bbbbbbbbbbbb' }))).toBe('region')
  })

  it('is none for chunks that it has, or that left it in the last six hours', async () => {
    const here = await mesh.createVolume(1, b)
    expect(await refusal(offered({ volume: here }))).toBe('conflict')
    const chunks = [0, 1, 2, 3].map(extent => ({ volume: here, extent, ...slotOf(RANGE) }))
    const order = { id: 'cccccccccccc', volume: here, to: a.id, chunks, bytes: 1, why: 'a test' }
    await b.moves.order({ ...order, reason: 'predicted' })
    await untilReal(() => b.moves.list(1).moves[0]?.endedAt !== undefined)
    expect(await refusal(offered({ volume: here }))).toBe('returning')
    expect(await refusal(offered({ volume: here, ranges: [{ ...RANGE, to: 1 }] }))).toBe(
      'returning'
    )
  })

  it('is none while balancing is paused here, or the node is drained', async () => {
    await b.balance.set({ isPaused: true })
    expect(await refusal(offered())).toBe('paused')
    await b.balance.set({ isPaused: false })
    await b.moves.drain('maintenance')
    expect(await refusal(offered())).toBe('draining')
  })

  it(`follows anything that a member may ask, and nothing breaks (SEED=${SEED})`, async () => {
    const random = new SeededRandom(SEED)
    const pick = <T>(...of: readonly T[]): T => of[random.below(of.length)] ?? (of[0] as T)
    const ids = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'cccccccccccc']
    const loads = () => Array.from({ length: pick(1, 12) }, () => pick(0, 1, 500, 2 ** 30))
    for (let turn = 0; turn < 300; turn++) {
      const expected = loads()
      const path = {
        atMs: pick(0, mesh.clock.now(), 2 ** 52),
        stepMs: pick(1, 300_000, 86_400_000),
        expected,
        high: expected.map(load => Math.min(2 ** 30, load * pick(0, 1, 2)))
      }
      const offer = offered({
        ...{ id: pick(...ids), volume: volumeId(pick(1, 2)), path, bytes: pick(0, 1, 2 ** 50) },
        ranges: [{ ...RANGE, from: 0, to: pick(1, 9, 2 ** 32 - 1) }],
        ...(pick(true, false) && { hourly: path }),
        ...{ reason: pick('predicted', 'reactive', 'home'), copyMs: pick(0, 86_400_000) }
      })
      const promise = { id: pick(...ids), reservation: '0123456789abcdef' as Nonce }
      const answer = await ask(
        pick<NegotiateRequest>(
          offer,
          offer,
          { call: 'award', ...promise, leaseMs: pick(0, 5_400_000) },
          { call: 'keep', ...promise, leaseMs: pick(0, 5_400_000) },
          { call: 'withdraw', id: promise.id },
          { call: 'settle', id: promise.id, outcome: pick('done', 'failed', 'cancelled') }
        )
      )
      expect(['bid', 'refused', 'noted', 'awarded', 'kept']).toContain(answer.is)
    }
    expect(b.balance.status().promises.length).toBeLessThanOrEqual(3)
  })
})

describe('an overload that nobody foretold', () => {
  let one: VolumeId
  beforeEach(async () => {
    one = await mesh.createVolume(1, a)
    const two = await mesh.createVolume(2, a)
    mesh.loads.set(one, () => 900)
    mesh.loads.set(two, () => 850)
  })

  it('is moved once it has lasted, without waiting for the next forecast', async () => {
    const foretoldMs = () => a.load.forecast(NODE_KEY)?.atMs
    const knownMs = foretoldMs()
    await mesh.until(() => a.moves.list(1).moves.length > 0)
    expect(foretoldMs()).toBe(knownMs)
    await mesh.until(() => a.moves.list(1).moves[0]?.endedAt !== undefined)
    expect(a.moves.list(1).moves[0]?.why).toMatch(/above 800 units\/s now|overloaded now/)
  })

  it('stays within what an hour may move', async () => {
    await a.balance.set({ movesPerHour: 0 })
    for (let passed = 0; passed < 180; passed += 20) await mesh.pass(20)
    expect(a.balance.status()).toMatchObject({ idle: 'budget', movesLeft: 0 })
    expect(a.holds(one)).toBe(CHUNKS)
  })

  it('moves nothing of a volume that only people move', async () => {
    for (const volume of mesh.loads.keys()) {
      a.node.parts.map.announcePolicy(volume, { isOn: false })
    }
    for (let passed = 0; passed < 180; passed += 20) await mesh.pass(20)
    expect(a.moves.list(10).moves).toEqual([])
  })
})

function slotOf({ generation, column, replica }: typeof RANGE) {
  return { generation, column, replica }
}
