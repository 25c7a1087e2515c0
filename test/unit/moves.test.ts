// Goal: what a person asks of moves is done, refused in words, or goes on after a restart, and no chunk
// is ever without a home.
// Method: the real control API, map, rpc and moves over a mesh in memory; handoffs really pass records
// and blocks between the stores in memory, and stop in the middle when the test wants it.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MoveDocument } from '../../node/control/documents.ts'
import { MOVES_FILE } from '../../node/moves/move-file.ts'
import { chunkName } from '../../protocols/ids.ts'
import { MIN_ROOM_BYTES } from '../../protocols/layout/placement.ts'
import { MiB } from '../../protocols/limits.ts'
import { isMoveId } from '../../protocols/moves/messages.ts'
import { until } from '../support/cli-mesh.ts'
import {
  a,
  ask,
  b,
  c,
  chunk,
  DATA_BYTES,
  EXTENTS,
  ended,
  homeOf,
  homes,
  mesh,
  move,
  moves,
  restartSource,
  setUp
} from '../support/moves-mesh.ts'

beforeEach(setUp)
afterEach(() => mesh.close())

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
    await restartSource()
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

  it('ends when its target is cut off, or its volume is deleted', async () => {
    a.handoffs.hold()
    const first = (await move({ extents: { from: 0, to: 3 } })).body
    mesh.gate.context.map.announceRevocation(c.id, new Uint8Array(1))
    expect(await ended(first.id)).toMatchObject({
      state: 'failed',
      chunks: { total: 3, done: 0 },
      trouble: `node ${c.name} is no member any more`
    })
    const second = (await move({ extents: { from: 0, to: 3 }, to: b.name })).body
    expect((await ask('DELETE', '/v1/volumes/web')).status).toBe(200)
    expect(await ended(second.id)).toMatchObject({
      state: 'failed',
      trouble: 'the volume was deleted'
    })
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
    await restartSource()
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

describe('moves.json', () => {
  it('that is damaged is kept, named as a problem, and keeps no daemon from starting', async () => {
    const { body } = await move({ extents: { from: 0, to: 2 } })
    await ended(body.id)
    await a.moves?.close()
    mesh.diskOf(a.name).rot(MOVES_FILE, 0)
    await restartSource()
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
