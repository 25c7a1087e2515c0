// Goal: a node that is emptied keeps nothing and gets nothing new, whatever stops in the middle; it
// leaves only then, and without room for its chunks nothing begins.
// Method: as in moves.test.ts.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DrainDocument, StatusDocument, VolumeDocument } from '../../node/control/documents.ts'
import { MIN_ROOM_BYTES } from '../../protocols/layout/placement.ts'
import { MiB } from '../../protocols/limits.ts'
import { type CliNode, until } from '../support/cli-mesh.ts'
import {
  type Answer,
  a,
  ask,
  b,
  c,
  DATA_BYTES,
  EXTENTS,
  homes,
  id,
  mesh,
  moves,
  restartSource,
  setUp,
  untilAsync
} from '../support/moves-mesh.ts'

beforeEach(setUp)
afterEach(() => mesh.close())

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
    await restartSource()
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
