// Goal: what a person asks of moves and drains is done, refused in words, or goes on after a restart;
// a node that is emptied gets nothing new; and no chunk is ever without a home.
// Method: the real control API, map, rpc and moves over a mesh in memory; handoffs really pass records
// and blocks between the stores in memory, and stop in the middle when the test wants it.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type {
  DrainDocument,
  MoveDocument,
  MovesDocument,
  StatusDocument,
  VolumeDocument
} from '../../node/control/documents.ts'
import { MOVES_FILE } from '../../node/moves/move-file.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { ChunkKey, VolumeId } from '../../protocols/ids.ts'
import { chunkName } from '../../protocols/ids.ts'
import { MIN_ROOM_BYTES } from '../../protocols/layout/placement.ts'
import { GiB, KiB, MiB } from '../../protocols/limits.ts'
import { isMoveId } from '../../protocols/moves/messages.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'

const EXTENTS = 16
const DATA_BYTES = 64 * KiB

let mesh: CliMesh & { gate: CliNode }
let id: VolumeId
let a: CliNode
let b: CliNode
let c: CliNode

beforeEach(async () => {
  mesh = await smallMesh()
  const created = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 2 })
  id = created.id
  const nodes = [...mesh.nodes.values()]
  const at = (column: number) => nodes.find(node => node.id === created.nodes[column])
  const spare = nodes.find(node => node.store !== undefined && !created.nodes.includes(node.id))
  const [one, two] = [at(0), at(1)]
  if (one === undefined || two === undefined || spare === undefined) throw new Error('three nodes')
  a = one
  b = two
  c = spare
  await until(() => [a, b, c].every(node => node.context.map.mesh().volumes.has(id)))
  await until(() => [a, b].every(node => node.context.map.volume(id) !== undefined))
  for (const node of [a, b]) await fill(node)
})
afterEach(() => mesh.close())

/** 64 KiB in each chunk that the node holds, different in each. */
async function fill(node: CliNode): Promise<void> {
  const column = node === a ? 0 : 1
  for (let extent = 0; extent < EXTENTS; extent++) {
    const data = new Uint8Array(DATA_BYTES).fill(extent * 2 + column + 1)
    await node.store?.write(chunk(extent, column), 0, data, blockChecksums(data))
  }
}

function chunk(extent: number, column: number): ChunkKey {
  return { volume: id, extent, generation: 0, column, replica: 0 }
}

/** Who holds the chunk: exactly one node, with the very bytes. */
async function homeOf(extent: number, column: number): Promise<CliNode> {
  const homes = [...mesh.nodes.values()].filter(({ store }) =>
    store
      ?.shard(id)
      ?.runs.some(run => run.column === column && run.from <= extent && extent < run.to)
  )
  expect(homes.map(({ name }) => name)).toHaveLength(1)
  const [home] = homes
  if (home?.store === undefined) throw new Error('no home')
  const { data } = await home.store.read(chunk(extent, column), 0, DATA_BYTES)
  expect(data.every(byte => byte === extent * 2 + column + 1)).toBe(true)
  return home
}

async function homes(column: number): Promise<string[]> {
  const names: string[] = []
  for (let extent = 0; extent < EXTENTS; extent++) names.push((await homeOf(extent, column)).name)
  return names
}

interface Answer<T> {
  readonly status: number
  readonly body: T & { error: { code: string; message: string } }
}

async function ask<T = object>(
  method: string,
  path: string,
  body?: object,
  node: CliNode = mesh.gate
): Promise<Answer<T>> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
  const response = await node.app.request(path, init)
  return { status: response.status, body: (await response.json()) as Answer<T>['body'] }
}

async function move(more: object = {}): Promise<Answer<MoveDocument>> {
  return ask<MoveDocument>('POST', '/v1/moves', {
    volume: 'web',
    from: a.name,
    to: c.name,
    ...more
  })
}

async function moves(query = ''): Promise<MovesDocument> {
  return (await ask<MovesDocument>('GET', `/v1/moves${query}`)).body
}

async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error('the state did not come about in time')
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

async function ended(moveId: string): Promise<MoveDocument> {
  let found: MoveDocument | undefined
  await untilAsync(async () => {
    found = (await moves()).moves.find(one => one.id === moveId)
    return found?.endedAt !== undefined
  })
  if (found === undefined) throw new Error('no such move')
  return found
}

describe('a move', () => {
  it('passes every chunk that the source holds, from any node that is asked', async () => {
    const started = await move()
    expect(started).toMatchObject({ status: 201, body: { volumeName: 'web', fromName: a.name } })
    expect(isMoveId(started.body.id)).toBe(true)
    const done = await ended(started.body.id)
    expect(done).toMatchObject({
      state: 'done',
      chunks: { total: EXTENTS, done: EXTENTS },
      bytes: { total: EXTENTS * DATA_BYTES, done: EXTENTS * DATA_BYTES },
      why: 'asked for by an operator'
    })
    expect(new Set(await homes(0))).toEqual(new Set([c.name]))
    expect(new Set(await homes(1))).toEqual(new Set([b.name]))
    expect(a.handoffs.mostAtOnce).toBe(2)
  })

  it('takes only the extents that were named', async () => {
    const { body } = await move({ extents: { from: 4, to: 8 } })
    expect((await ended(body.id)).chunks).toEqual({ total: 4, done: 4 })
    const names = await homes(0)
    expect(names.map(name => name === c.name)).toEqual(
      Array.from({ length: EXTENTS }, (_, extent) => extent >= 4 && extent < 8)
    )
  })

  it('takes the hottest chunks, and only those that are held and in use', async () => {
    const hot = [chunk(3, 1), chunk(9, 0), chunk(2, 0), chunk(5, 0), chunk(1, 0)]
    const perSecond = [900, 500, 400, 300, 0]
    mesh.hot.set(
      a.name,
      hot.map((one, i) => ({ chunk: one, perSecond: perSecond[i] ?? 0 }))
    )
    const { body } = await move({ hottest: 2 })
    await ended(body.id)
    expect(a.handoffs.begun.sort()).toEqual([chunk(2, 0), chunk(9, 0)].map(chunkName))
    expect((await move({ hottest: 100 })).body.chunks.total).toBe(1)
    await until(() => a.handoffs.counts().sending === 0)
    expect(await move({ hottest: 1 })).toMatchObject({ status: 404 })
  })

  it('is listed while it runs and waits, and is called off by the beginning of its id', async () => {
    a.handoffs.hold()
    const first = (await move({ extents: { from: 0, to: 8 } })).body
    const second = (await move({ extents: { from: 8, to: 16 } })).body
    const list = await moves()
    expect(list.moves.map(({ id: one, state }) => [one, state])).toEqual([
      [first.id, 'running'],
      [second.id, 'queued']
    ])
    expect(list.silent).toEqual([])
    expect(await move({ extents: { from: 0, to: 3 } })).toMatchObject({
      status: 409,
      body: { error: { code: 'CONFLICT' } }
    })
    const off = await ask<MoveDocument>('DELETE', `/v1/moves/${second.id.slice(0, 8)}`)
    expect(off).toMatchObject({ status: 200, body: { id: second.id, state: 'cancelled' } })
    await ask('DELETE', `/v1/moves/${first.id}`)
    a.handoffs.release()
    expect(await ended(first.id)).toMatchObject({ state: 'cancelled', chunks: { done: 0 } })
    expect(await ask('DELETE', `/v1/moves/${first.id}`)).toMatchObject({ status: 409 })
    expect(new Set(await homes(0))).toEqual(new Set([a.name]))
  })

  it('says which nodes did not answer', async () => {
    mesh.network.cut(mesh.gate.id, b.id)
    expect((await moves()).silent).toEqual([b.name])
    expect(await ask('DELETE', '/v1/moves/0123456789ab')).toMatchObject({
      status: 404,
      body: { error: { message: expect.stringContaining(`${b.name} did not answer`) } }
    })
    mesh.network.heal(mesh.gate.id, b.id)
  })

  it('goes on after the daemon died in the middle, with what it had not passed', async () => {
    const { body } = await move({ extents: { from: 0, to: 6 } })
    await until(() => a.handoffs.begun.length >= 4)
    a.handoffs.hold()
    await until(() => a.handoffs.counts().sending > 0 || a.handoffs.begun.length >= 6)
    mesh.kill(a.name)
    a = await mesh.start(a.name, a.context.self.region, 'storage')
    await mesh.converged()
    const done = await ended(body.id)
    expect(done).toMatchObject({ state: 'done', chunks: { total: 6, done: 6 } })
    expect((await homes(0)).slice(0, 6)).toEqual(Array(6).fill(c.name))
  })

  it('ends as failed, with the reason, when a chunk cannot move', async () => {
    a.handoffs.failNext('bad blocks', false)
    const { body } = await move({ extents: { from: 0, to: 3 } })
    expect(await ended(body.id)).toMatchObject({
      state: 'failed',
      chunks: { total: 3, done: 2 },
      trouble: 'extent 0, column 0: bad blocks'
    })
    expect(await homeOf(0, 0)).toBe(a)
  })

  it('is refused in words when it makes no sense', async () => {
    const refused = async (more: object, status: number, words: RegExp) => {
      const answer = await move(more)
      expect([answer.status, answer.body.error.message]).toEqual([
        status,
        expect.stringMatching(words)
      ])
    }
    await refused({ volume: 'absent' }, 404, /no volume/)
    await refused({ from: 'absent' }, 404, /no node "absent"/)
    await refused({ from: 'gate' }, 400, /gate is a gateway without capacity/)
    await refused({ to: 'gate' }, 400, /gate has no capacity/)
    await refused({ to: a.name }, 400, /the target is the source/)
    await refused({ from: c.name, to: b.name }, 404, /holds no chunk of volume web/)
    await refused({ extents: { from: 500, to: 501 } }, 404, /holds no chunk/)
    await refused({ extents: { from: 5, to: 5 } }, 400, /empty range/)
    await refused({ columns: [1] }, 404, /holds no chunk/)
    c.medium.capacityBytes = MIN_ROOM_BYTES + MiB / 2
    await refused({}, 409, /no room: 1 MiB would go there, 512 KiB are free \(512 KiB missing\)/)
    mesh.network.cut(a.id, c.id)
    await refused({}, 503, /does not answer/)
    mesh.network.heal(a.id, c.id)
    expect(a.handoffs.begun).toEqual([])
  })

  it('keeps the last thousand that ended, and lists as many as are asked for', async () => {
    for (let extent = 0; extent < 3; extent++) {
      const { body } = await move({ extents: { from: extent, to: extent + 1 } })
      await ended(body.id)
    }
    expect((await moves('?ended=2')).moves).toHaveLength(2)
    expect((await moves('?ended=0')).moves).toHaveLength(0)
    expect((await ask('GET', '/v1/moves?ended=9999')).status).toBe(400)
  })
})

describe('the bound on copying', () => {
  it('is set on any node, and kept', async () => {
    const set = await ask('POST', '/v1/moves/rate', { bytesPerSecond: 5 * MiB, node: a.name })
    expect(set).toMatchObject({ status: 200, body: { name: a.name } })
    mesh.kill(a.name)
    a = await mesh.start(a.name, a.context.self.region, 'storage')
    await mesh.converged()
    const boundOf = async () => (await moves()).nodes.find(one => one.name === a.name)?.bound
    expect(await boundOf()).toBe(5 * MiB)
    await ask('POST', '/v1/moves/rate', { bytesPerSecond: null }, a)
    expect(await boundOf()).toBe(null)
    expect(await ask('POST', '/v1/moves/rate', { bytesPerSecond: 0 })).toMatchObject({
      status: 400
    })
    expect(await ask('POST', '/v1/moves/rate', { bytesPerSecond: 1 })).toMatchObject({
      status: 400
    })
  })
})

async function drain(node: CliNode, method = 'POST'): Promise<Answer<DrainDocument>> {
  return ask<DrainDocument>(
    method,
    `/v1/nodes/${node.name}/drain`,
    method === 'POST' ? {} : undefined
  )
}

async function drained(node: CliNode): Promise<void> {
  await untilAsync(async () => (await drain(node, 'GET')).body.drain.state === 'drained')
}

describe('a drain', () => {
  it('moves every chunk off the node, which takes no new one until it is called off', async () => {
    expect((await drain(a)).body.drain).toMatchObject({ purpose: 'maintenance' })
    await drained(a)
    expect(await homes(0)).not.toContain(a.name)
    const status = (await ask<StatusDocument>('GET', '/v1/status')).body
    const entry = status.nodes.find(one => one.name === a.name)
    expect(entry).toMatchObject({ draining: 'maintenance', shardCount: 0, chunkCount: 0 })
    const wide = await ask('POST', '/v1/volumes', { name: 'wide', sizeBytes: MiB, shards: 3 })
    expect(wide.body.error).toMatchObject({ code: 'TOO_FEW_NODES' })
    const back = await ask('POST', '/v1/moves', { volume: 'web', from: c.name, to: a.name })
    expect(back.body.error.message).toMatch(/is being drained and takes no chunks/)
    expect((await drain(a, 'DELETE')).body.drain).toEqual({ state: 'off' })
    expect(
      (await ask('POST', '/v1/volumes', { name: 'wide', sizeBytes: MiB, shards: 3 })).status
    ).toBe(201)
  })

  it('spreads over the nodes there are, and prefers those without a column of the volume', async () => {
    await drain(a)
    await drained(a)
    expect(new Set(await homes(0))).toEqual(new Set([c.name]))
  })

  it('is refused when the others have no room, and says how much is missing', async () => {
    for (const node of [b, c]) node.medium.capacityBytes = MIN_ROOM_BYTES
    const refused = await drain(a)
    expect(refused).toMatchObject({
      status: 409,
      body: { error: { code: 'NO_CAPACITY', neededBytes: EXTENTS * DATA_BYTES, availableBytes: 0 } }
    })
    expect(refused.body.error.message).toMatch(/1 MiB are missing/)
    expect((await drain(a, 'GET')).body.drain).toEqual({ state: 'off' })
    expect(a.handoffs.begun).toEqual([])
  })

  it('stops when it is called off, with every chunk at one home', async () => {
    await until(() => a.handoffs.counts().sending === 0)
    a.handoffs.hold()
    await drain(a)
    await until(() => a.handoffs.counts().sending === 2)
    expect((await drain(a, 'DELETE')).body.drain).toEqual({ state: 'off' })
    a.handoffs.release()
    await until(() => a.handoffs.counts().sending === 0)
    expect(new Set(await homes(0))).toEqual(new Set([a.name]))
    expect((await moves()).moves.map(({ state }) => state)).toEqual(['cancelled'])
  })

  it('goes on after a restart, and finds other places when a target has gone', async () => {
    a.handoffs.hold()
    await drain(a)
    await until(() => a.handoffs.counts().sending === 2)
    mesh.kill(a.name)
    a = await mesh.start(a.name, a.context.self.region, 'storage')
    await mesh.converged()
    expect(a.moves?.draining()).toBe('maintenance')
    await drained(a)
    expect(await homes(0)).not.toContain(a.name)
  })

  it('is shown as blocked, with what is missing, when the room goes away meanwhile', async () => {
    a.handoffs.failNext('no space', false)
    a.handoffs.failNext('no space', false)
    const full = () => {
      for (const node of [b, c]) node.medium.capacityBytes = MIN_ROOM_BYTES
    }
    a.handoffs.hold()
    await drain(a)
    full()
    for (let i = 0; i < 20; i++) a.handoffs.failNext('no space', false)
    a.handoffs.release()
    await untilAsync(async () => (await drain(a, 'GET')).body.drain.state === 'blocked')
    const blocked = (await drain(a, 'GET')).body.drain
    expect(blocked).toMatchObject({ trouble: expect.stringMatching(/are missing/) })
    const { body } = await ask<StatusDocument>('GET', '/v1/status')
    expect(body.problems.join()).toMatch(/the drain of this node is blocked/)
  })

  it('leaves shards out that hold nothing any more', async () => {
    await drain(a)
    await drained(a)
    await until(() => {
      const view = mesh.gate.context.map.volume(id)
      return view?.layout.every(run => !run.nodes.flat().includes(a.id)) === true
    })
    const { body } = await ask<VolumeDocument>('GET', '/v1/volumes/web')
    expect(body.shards.map(shard => shard.name)).not.toContain(a.name)
    expect(body.missingNodes).toEqual([])
  })
})

interface Leaving {
  readonly left?: string
  readonly draining?: DrainDocument['drain']
}

describe('leaving', () => {
  const leave = (body: object = {}) => ask<Leaving>('POST', '/v1/leave', body, a)

  it('drains first, and leaves when it is asked again', async () => {
    a.handoffs.hold()
    const first = await leave()
    expect(first).toMatchObject({ status: 202, body: { draining: { purpose: 'leave' } } })
    expect(await leave()).toMatchObject({ status: 202 })
    expect(a.asked).toEqual([])
    a.handoffs.release()
    await drained(a)
    expect(await leave()).toMatchObject({ status: 200, body: { left: 'test' } })
    expect(a.asked).toEqual(['leave', 'shutdown: the node left the mesh'])
    expect(await homes(0)).not.toContain(a.name)
  })

  it('can be called off, and only if it was asked for', async () => {
    a.handoffs.hold()
    await leave()
    expect(await leave({ cancel: true })).toMatchObject({
      status: 200,
      body: { draining: { state: 'off' } }
    })
    a.handoffs.release()
    expect(await leave({ cancel: true })).toMatchObject({ status: 409 })
    expect(a.asked).toEqual([])
  })

  it('is refused beforehand without room, or with a volume attached here', async () => {
    await a.volumes.attach(id, {})
    expect(await leave()).toMatchObject({ status: 409, body: { error: { code: 'CONFLICT' } } })
    await a.volumes.detach(id)
    for (const node of [b, c]) node.medium.capacityBytes = MIN_ROOM_BYTES
    expect(await leave()).toMatchObject({ status: 409, body: { error: { code: 'NO_CAPACITY' } } })
    expect(a.moves?.draining()).toBeUndefined()
    expect(a.asked).toEqual([])
  })

  it('waits until the map does not name the node any more', async () => {
    mesh.handoffs.maps.clear()
    await leave()
    await until(() => a.store?.shard(id)?.runs.length === 0)
    const status = (await drain(a, 'GET')).body.drain
    expect(status).toMatchObject({
      state: 'draining',
      trouble: expect.stringMatching(/the map is told/)
    })
    expect(await leave()).toMatchObject({ status: 202 })
  })
})

describe('moves.json', () => {
  it('that is damaged is kept, named as a problem, and keeps no daemon from starting', async () => {
    const { body } = await move({ extents: { from: 0, to: 2 } })
    await ended(body.id)
    await a.moves?.close()
    mesh.kill(a.name)
    mesh.diskOf(a.name).rot(MOVES_FILE, 0)
    a = await mesh.start(a.name, a.context.self.region, 'storage')
    expect(a.moves?.problems()).toEqual([expect.stringMatching(/moves.json could not be read/)])
    expect(mesh.diskOf(a.name).size(`${MOVES_FILE}.damaged`)).toBeGreaterThan(0)
    expect(a.moves?.list(10).moves).toEqual([])
  })

  it('that cannot be written refuses the move, which then does not happen', async () => {
    mesh.diskOf(a.name).failWith = 'ENOSPC'
    const refused = await move()
    mesh.diskOf(a.name).failWith = undefined
    expect(refused).toMatchObject({ status: 500, body: { error: { code: 'IO_ERROR' } } })
    expect(refused.body.error.message).toMatch(/nothing is moved/)
    expect(a.handoffs.begun).toEqual([])
    expect(new Set(await homes(0))).toEqual(new Set([a.name]))
  })
})
