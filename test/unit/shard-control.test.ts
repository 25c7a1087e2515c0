// Goal: a control call grants, grows, frees or deletes only what its token allows, durably before
// it is answered, and may be repeated.
// Method: calls over the memory mesh to a real server; power is lost under its store.
import { describe, expect, it } from 'vitest'
import { DEFAULT_HOLDER_TIMEOUT_MS } from '../../node/limits.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { GiB, MAX_GRANTED_RUNS, MiB, MOVER_TIMEOUT_MS } from '../../protocols/limits.ts'
import {
  type ControlRequest,
  controlRequestSchema
} from '../../protocols/shard-control/messages.ts'
import { Op, Status } from '../../protocols/shard-io/messages.ts'
import {
  createCall,
  FIRST_TOKEN,
  GATEWAY,
  HandClock,
  harness,
  holder,
  run,
  SHARD_NODE,
  spec,
  token,
  until,
  volumeId
} from '../support/shard-harness.ts'
import { MemoryChunkStore, MemoryMedium } from '../support/shard-memory-store.ts'

const V = volumeId(1)
const open = (counter: number, since = 1): ControlRequest => ({
  call: 'open',
  volume: V,
  token: token(counter),
  holder: holder(since)
})
const grow = (counter: number, extents: number, from = 4): ControlRequest => ({
  call: 'grow',
  volume: V,
  token: token(counter),
  sizeBytes: extents * MiB,
  runs: [run(from, extents, 0, { token: token(counter), counter: 1 })]
})
const detach = (counter: number): ControlRequest => ({
  call: 'detach',
  volume: V,
  token: token(counter)
})
const remove = (counter: number): ControlRequest => ({
  call: 'remove',
  volume: V,
  token: token(counter)
})

describe('create', () => {
  it('holds the runs, answers a repeated call alike, and refuses a different one', async () => {
    const mesh = harness()
    const first = await mesh.call(createCall(V))
    expect(first).toMatchObject({ is: 'state', state: { runs: [run(0, 4)], token: FIRST_TOKEN } })
    expect(await mesh.call(createCall(V))).toEqual(first)
    expect((await mesh.call({ ...createCall(V), runs: [run(0, 3)] })).is).toBe('failed')
    expect((await mesh.call({ ...createCall(V), sizeBytes: 5 * MiB })).is).toBe('failed')
    expect(mesh.server.volumes()).toEqual([V])
  })

  it('answers no-space where there is no room, and holds nothing', async () => {
    const medium = new MemoryMedium()
    medium.capacityBytes = 0
    const mesh = harness({ store: new MemoryChunkStore(medium) })
    expect(await mesh.call(createCall(V))).toEqual({ is: 'no-space', availableBytes: 0 })
    expect((await mesh.call({ call: 'query', volume: V })).is).toBe('absent')
  })

  it.each([
    ['overlapping runs', { runs: [run(0, 3), run(2, 4)] }],
    ['no run', { runs: [] }],
    ['a run beyond the volume', { runs: [run(0, 5)] }],
    ['a column beyond the layout', { runs: [run(0, 4, 2)] }],
    ['a replica beyond the copies', { runs: [{ ...run(0, 4), replica: 1 }] }],
    ['another generation', { runs: [{ ...run(0, 4), generation: 2 }] }],
    ['an epoch of a greater token', { runs: [run(0, 4, 0, { token: token(2), counter: 1 })] }],
    [
      'a stripe unit that does not divide the extent',
      { spec: { ...spec(V), stripeUnitBytes: 12288 } }
    ],
    ['too many runs', { runs: manyRuns(), sizeBytes: GiB * 8 }]
  ])('refuses %s', async (_what, fields) => {
    const answer = await harness().call({ ...createCall(V), ...fields })
    expect(answer.is).toBe('failed')
  })
})

describe('open', () => {
  it('grants only the identical or a greater token, and survives loss of power', async () => {
    const medium = new MemoryMedium()
    const mesh = harness({ store: new MemoryChunkStore(medium) })
    await mesh.attach(V, token(5))
    expect((await mesh.call(open(5))).is).toBe('state')
    const stale = { is: 'stale', token: token(5), writer: token(5), holder: holder() }
    expect(await mesh.call(open(4))).toEqual(stale)
    medium.losePower()
    const again = harness({ store: new MemoryChunkStore(medium) })
    expect((await again.call(open(4))).is).toBe('stale')
    expect(await again.call(open(6, 2))).toMatchObject({
      is: 'state',
      state: { token: token(6), holder: holder(2), incarnation: { number: 2 } }
    })
  })

  it('compares tokens as pairs', async () => {
    const mesh = harness()
    await mesh.attach(V, token(5, 7))
    const under = (attach: number): ControlRequest => ({
      call: 'open',
      volume: V,
      token: token(5, attach),
      holder: holder()
    })
    expect((await mesh.call(under(6))).is).toBe('stale')
    expect((await mesh.call(under(8))).is).toBe('state')
  })

  it('answers the smaller of two racing opens stale, and grants the greater', async () => {
    const mesh = harness()
    await mesh.attach(V)
    const client = await mesh.connect(V)
    await client.hello(1)
    mesh.store.hold()
    const flushed = client.ask({ op: Op.flush })
    await until(() => mesh.store.heldCalls === 1)
    const answers = [mesh.server.control(open(3)), mesh.server.control(open(4))]
    await until(() => mesh.store.heldCalls === 2)
    mesh.store.releaseOnly('saveShard')
    await until(() => mesh.store.heldCalls === 2)
    mesh.store.releaseOnly('saveShard')
    await answers[0]
    mesh.store.release()
    expect((await Promise.all(answers)).map(answer => answer.is)).toEqual(['stale', 'state'])
    expect((await flushed).status).toBe(Status.ok)
  })

  it('changes nothing if the grant cannot be made durable', async () => {
    const mesh = harness()
    await mesh.attach(V)
    const client = await mesh.connect(V)
    await client.hello(1)
    mesh.store.failNext('saveShard', 'NO_SPACE')
    expect((await mesh.call(open(3))).is).toBe('no-space')
    expect((await client.ask({ op: Op.flush })).status).toBe(Status.ok)
    expect(await mesh.call({ call: 'query', volume: V })).toMatchObject({
      state: { token: token(2) }
    })
  })

  it('answers absent for a volume that was never here', async () => {
    expect(await harness().call(open(1))).toEqual({ is: 'absent' })
  })
})

describe('grow, detach and remove', () => {
  it('grows under the present token alone, never shrinks, and answers a repeat alike', async () => {
    const mesh = harness()
    await mesh.attach(V)
    expect((await mesh.call(grow(1, 8))).is).toBe('stale')
    expect((await mesh.call(grow(3, 8))).is).toBe('failed')
    const grown = await mesh.call(grow(2, 8))
    expect(grown).toMatchObject({ is: 'state', state: { sizeBytes: 8 * MiB } })
    const again = await mesh.call(grow(2, 8))
    expect(again).toMatchObject({ is: 'state', state: { sizeBytes: 8 * MiB } })
    if (again.is === 'state') expect(again.state.runs.length).toBe(2)
    expect((await mesh.call(grow(2, 7, 5))).is).toBe('failed')
    const client = await mesh.connect(V)
    await client.hello(1)
    const chunk = { volume: V, extent: 7, generation: 1, column: 0, replica: 0 }
    const epoch = { token: token(2), counter: 1 }
    const read = { op: Op.read, lengthBytes: 4096, chunk }
    expect((await client.ask({ ...read, epoch })).status).toBe(Status.ok)
    expect((await client.ask(read)).status).toBe(Status.noChunk)
  })

  it('frees the volume for its holder alone, as often as it is told', async () => {
    const mesh = harness()
    await mesh.attach(V, token(3))
    expect((await mesh.call(detach(2))).is).toBe('stale')
    expect((await mesh.call(detach(4))).is).toBe('failed')
    expect(await mesh.call(detach(3))).toEqual({ is: 'done' })
    expect(await mesh.call(detach(3))).toEqual({ is: 'done' })
    const answer = await mesh.call({ call: 'query', volume: V })
    expect(answer).toMatchObject({ is: 'state', state: { token: token(3) } })
    if (answer.is === 'state') expect(answer.state).not.toHaveProperty('holder')
  })

  it('deletes only under a token as great as the shard knows, and remembers it', async () => {
    const medium = new MemoryMedium()
    const mesh = harness({ store: new MemoryChunkStore(medium) })
    await mesh.attach(V, token(3))
    const client = await mesh.connect(V, token(3))
    await client.hello(1)
    expect((await mesh.call(remove(2))).is).toBe('stale')
    expect(await mesh.call(remove(4))).toEqual({ is: 'done' })
    expect(await mesh.call(remove(4))).toEqual({ is: 'done' })
    expect((await client.ask({ op: Op.flush })).status).toBe(Status.staleToken)
    medium.losePower()
    const again = harness({ store: new MemoryChunkStore(medium) })
    const removed = { is: 'removed', token: token(4) }
    expect(await again.call(createCall(V))).toEqual(removed)
    expect(await again.call(open(9))).toEqual(removed)
    expect(await again.call({ call: 'query', volume: V })).toEqual(removed)
    const late = await (await again.connect(V, token(3))).hello(1)
    expect([late.status, late.tokenCounter]).toEqual([Status.staleToken, 4])
    expect(again.server.volumes()).toEqual([])
  })

  it('serves on if the removal cannot be made durable', async () => {
    const mesh = harness()
    await mesh.attach(V)
    const client = await mesh.connect(V)
    await client.hello(1)
    mesh.store.failNext('removeShard', 'IO_ERROR')
    expect((await mesh.call(remove(2))).is).toBe('failed')
    expect((await client.ask({ op: Op.read, lengthBytes: 4096 })).status).toBe(Status.ok)
  })

  it('answers digests of held chunks alone', async () => {
    const mesh = harness()
    await mesh.attach(V)
    const digest = (extent: number): ControlRequest => ({
      call: 'digest',
      volume: V,
      extent,
      generation: 1,
      column: 0,
      replica: 0
    })
    const [first, second] = [await mesh.call(digest(0)), await mesh.call(digest(3))]
    expect(first.is).toBe('digest')
    expect(second).toEqual(first)
    expect(await mesh.call(digest(4))).toEqual({ is: 'absent' })
  })
})

describe('who calls', () => {
  it('opens for itself alone, and detaches only what it opened', async () => {
    const mesh = harness()
    await mesh.attach(V, token(3))
    const another: NodeId = SHARD_NODE
    const foreign = { ...open(4), holder: { ...holder(), node: another } } as ControlRequest
    expect((await mesh.call(foreign)).is).toBe('failed')
    expect((await mesh.server.control(detach(3), another)).is).toBe('failed')
    const answer = await mesh.call({ call: 'query', volume: V })
    expect(answer).toMatchObject({ is: 'state', state: { token: token(3), holder: holder() } })
    expect((await mesh.server.control(foreign, another)).is).toBe('state')
    expect((await mesh.call(detach(4))).is).toBe('failed')
    expect(await mesh.server.control(detach(4), another)).toEqual({ is: 'done' })
    expect(await mesh.call(detach(4))).toEqual({ is: 'done' }) // nobody holds it: nothing to free
  })

  it('leaves no orphan when its remove overtakes its create, even over a loss of power', async () => {
    const medium = new MemoryMedium()
    const mesh = harness({ store: new MemoryChunkStore(medium) })
    expect((await mesh.call(open(2))).is).toBe('absent')
    expect(await mesh.call(remove(1))).toEqual({ is: 'done' })
    expect(await mesh.call(remove(1))).toEqual({ is: 'done' })
    medium.losePower()
    const again = harness({ store: new MemoryChunkStore(medium) })
    expect(await again.call(createCall(V))).toEqual({ is: 'removed', token: token(1) })
    expect(again.server.volumes()).toEqual([])
  })

  it('names no epoch that shard-io has no room for', async () => {
    const create = (counter: number): ControlRequest => ({
      ...createCall(V),
      runs: [run(0, 4, 0, { token: FIRST_TOKEN, counter })]
    })
    const mesh = harness()
    expect(controlRequestSchema.safeParse(create(0x1_0000_0000)).success).toBe(false)
    await expect(mesh.call(create(2 ** 40))).rejects.toThrow()
    expect(mesh.server.volumes()).toEqual([])
    expect((await mesh.call(create(0xffff_ffff))).is).toBe('state')
  })
})

describe('the silence of the holder', () => {
  it('counts from the last request of its stream, and from the start after a restart', async () => {
    const clock = new HandClock()
    const store = new MemoryChunkStore()
    const mesh = harness({ store, clock })
    await mesh.attach(V)
    const silence = async (of = mesh) => {
      const answer = await of.call({ call: 'query', volume: V })
      return answer.is === 'state' ? answer.state.holderSilentMs : undefined
    }
    clock.nowMs += 500
    expect(await silence()).toBe(500)
    const client = await mesh.connect(V)
    await client.hello(1)
    clock.nowMs += 70
    expect(await silence()).toBe(70)
    await client.ask({ op: Op.read, lengthBytes: 0 })
    expect(await silence()).toBe(0)
    clock.nowMs += 5000
    await (await mesh.connect(V, token(1))).hello(1)
    expect(await silence()).toBe(5000)
    const again = harness({ store, clock })
    clock.nowMs += 30
    expect(await silence(again)).toBe(30)
    await again.call({ call: 'detach', volume: V, token: token(2) })
    expect(await silence(again)).toBeUndefined()
  })
})

describe('movers', () => {
  const mover = (counter: number, node: NodeId = GATEWAY, since = 1): ControlRequest => ({
    call: 'mover',
    volume: V,
    token: token(counter),
    mover: { node, host: 'a-host', since }
  })

  it('get the token while nobody is heard, one at a time, and give it back', async () => {
    const clock = new HandClock()
    const mesh = harness({ clock })
    await mesh.attach(V, token(2))
    clock.nowMs += DEFAULT_HOLDER_TIMEOUT_MS - 5
    expect(await mesh.call(mover(3))).toMatchObject({ is: 'busy', retryAfterMs: 5 })
    clock.nowMs += 5
    expect((await mesh.call(mover(2))).is).toBe('stale')
    expect(await mesh.call(mover(3))).toMatchObject({
      is: 'state',
      state: { token: token(3), writer: token(2), mover: { node: GATEWAY }, holder: holder() }
    })
    clock.nowMs += 10
    const rival = await mesh.server.control(mover(4, SHARD_NODE), SHARD_NODE)
    expect(rival).toMatchObject({ is: 'busy', retryAfterMs: MOVER_TIMEOUT_MS - 10 })
    expect(await mesh.call(mover(4))).toMatchObject({ is: 'state', state: { token: token(4) } })
    const stale = { is: 'stale', token: token(4), writer: token(2), holder: holder() }
    expect(await mesh.call(detach(3))).toEqual(stale)
    expect((await mesh.server.control(detach(4), SHARD_NODE)).is).toBe('failed')
    expect(await mesh.call(detach(4))).toEqual({ is: 'done' })
    const freed = await mesh.server.control(mover(5, SHARD_NODE), SHARD_NODE)
    expect(freed).toMatchObject({ is: 'state', state: { token: token(5), holder: holder() } })
  })

  it('need no patience where the holder left, and come only for themselves', async () => {
    const mesh = harness()
    await mesh.attach(V, token(2))
    await mesh.call(detach(2))
    expect((await mesh.call(mover(3, SHARD_NODE))).is).toBe('failed')
    expect((await mesh.call(mover(3))).is).toBe('state')
    expect((await mesh.call(grow(3, 8))).is).toBe('failed')
  })

  it('are answered only after what the silent gateway had begun, which is stale then', async () => {
    const mesh = harness({ holderTimeoutMs: 0 })
    await mesh.attach(V)
    const client = await mesh.connect(V)
    await client.hello(1)
    mesh.store.hold()
    const flushed = client.ask({ op: Op.flush })
    await until(() => mesh.store.heldCalls === 1)
    let isGranted = false
    const granted = mesh.call(mover(3)).then(answer => {
      isGranted = true
      return answer
    })
    await until(() => mesh.store.heldCalls === 2)
    mesh.store.releaseOnly('saveShard')
    await until(() => mesh.server.replicas.head(V)?.mover !== undefined)
    expect(isGranted).toBe(false)
    mesh.store.release()
    expect((await granted).is).toBe('state')
    expect((await flushed).status).toBe(Status.ok)
    expect((await client.ask({ op: Op.flush })).status).toBe(Status.staleToken)
  })

  it('lose to every open, and are remembered over a restart for a while', async () => {
    const clock = new HandClock()
    const medium = new MemoryMedium()
    const mesh = harness({ store: new MemoryChunkStore(medium), clock })
    await mesh.call(createCall(V))
    await mesh.call(mover(3))
    clock.nowMs += MOVER_TIMEOUT_MS - 1
    medium.losePower()
    const again = harness({ store: new MemoryChunkStore(medium), clock })
    const rival = () => again.server.control(mover(4, SHARD_NODE), SHARD_NODE)
    clock.nowMs += 1
    expect(await rival()).toMatchObject({ is: 'busy', retryAfterMs: MOVER_TIMEOUT_MS - 1 })
    expect((await again.call(open(3))).is).toBe('stale')
    const opened = await again.call(open(4))
    expect(opened).toMatchObject({ is: 'state', state: { token: token(4), writer: token(4) } })
    if (opened.is === 'state') expect(opened.state).not.toHaveProperty('mover')
    expect(await again.call(mover(5))).toMatchObject({ is: 'busy' })
    expect((await again.call(detach(3))).is).toBe('stale')
  })
})

function manyRuns() {
  return Array.from({ length: MAX_GRANTED_RUNS + 1 }, (_, extent) => run(extent, extent + 1))
}
