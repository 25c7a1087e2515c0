// Goal: the control API answers what docs/control-api.md says, refuses everything else in one shape,
// and no request makes it fail with a bug.
// Method: the API without its socket over a mesh in memory; well-formed, malformed and random requests.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StatusDocument, VolumeDocument } from '../../node/control/documents.ts'
import { GiB, MiB } from '../../protocols/limits.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'
import { seededRandom } from '../support/gateway-mesh.ts'

let mesh: CliMesh & { gate: CliNode }
beforeAll(async () => {
  mesh = await smallMesh()
})
afterAll(() => mesh.close())

interface Answer<T> {
  readonly status: number
  readonly body: T
}

async function ask<T = Record<string, unknown>>(
  method: string,
  path: string,
  body?: unknown,
  node: CliNode = mesh.gate
): Promise<Answer<T>> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const init = body === undefined ? { method } : { method, body: text }
  const response = await node.app.request(path, init)
  return { status: response.status, body: (await response.json()) as T }
}

/** Another node, once gossip told it of the volume. */
async function westThatKnows(volume: string): Promise<CliNode> {
  const west = mesh.nodes.get('west')
  if (west === undefined) throw new Error('no node west')
  const names = () => [...west.context.map.mesh().volumes.values()].map(entry => entry.name)
  await until(() => names().includes(volume))
  return west
}

describe('volumes', () => {
  it('live from creation to deletion', async () => {
    const wish = { name: 'web', sizeBytes: GiB, shards: 3 }
    const created = await ask('POST', '/v1/volumes', wish)
    expect(created).toMatchObject({ status: 201, body: { name: 'web', columns: 3 } })
    const attached = await ask('POST', '/v1/volumes/web/attach', {})
    expect(attached).toMatchObject({ status: 200, body: { uri: 'nbd:///web', name: 'web' } })
    const shown = await ask<VolumeDocument>('GET', '/v1/volumes/web')
    expect(shown.body).toMatchObject({ state: 'attached', host: 'host-gate', sizeBytes: GiB })
    expect(shown.body.shards.map(shard => shard.state)).toEqual(['held', 'held', 'held'])
    expect(await ask('PATCH', '/v1/volumes/web', { sizeBytes: 2 * GiB })).toMatchObject({
      status: 200,
      body: { oldBytes: GiB, isAttached: true }
    })
    expect((await ask('DELETE', '/v1/volumes/web')).status).toBe(409)
    expect((await ask('POST', '/v1/volumes/web/detach')).status).toBe(200)
    expect((await ask('PATCH', '/v1/volumes/web', { name: 'www' })).status).toBe(200)
    expect((await ask('DELETE', '/v1/volumes/www')).status).toBe(200)
    expect((await ask<{ volumes: [] }>('GET', '/v1/volumes')).body.volumes).toEqual([])
  })

  it('are seen alike from every node', async () => {
    await ask('POST', '/v1/volumes', { name: 'seen', sizeBytes: MiB })
    const west = await westThatKnows('seen')
    const { body } = await ask('GET', '/v1/volumes/seen', undefined, west)
    expect(body).toMatchObject({ name: 'seen', state: 'free', sizeBytes: MiB, missingNodes: [] })
    await ask('DELETE', '/v1/volumes/seen')
  })

  it('are exported as lines, of which the last is the result or the error', async () => {
    await ask('POST', '/v1/volumes', { name: 'lines', sizeBytes: MiB })
    const body = JSON.stringify({ path: '/nowhere/at/all/out.img' })
    const response = await mesh.gate.app.request('/v1/volumes/lines/export', {
      method: 'POST',
      body
    })
    expect(response.headers.get('content-type')).toBe('application/x-ndjson')
    const lines = (await response.text()).trim().split('\n')
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ error: { code: 'NOT_FOUND' } })
    await ask('DELETE', '/v1/volumes/lines')
  })
})

describe('status', () => {
  it('lists nodes by region and names what is wrong', async () => {
    const { body } = await ask<StatusDocument>('GET', '/v1/status')
    expect(body.nodes.map(node => [node.region, node.name, node.connected])).toEqual([
      ['eu-north', 'north', true],
      ['eu-west', 'gate', true],
      ['eu-west', 'west', true],
      ['us-east', 'east', true]
    ])
    expect(body.problems).toEqual([])
    expect(body.capacityBytes).toBe(3 * GiB)

    await ask('POST', '/v1/volumes', { name: 'wide', sizeBytes: MiB, shards: 3 })
    mesh.kill('north')
    const worse = (await ask<StatusDocument>('GET', '/v1/status')).body
    expect(worse.problems).toEqual([
      expect.stringMatching(/^volume wide cannot be fully read or written: no answer from north$/),
      expect.stringMatching(/^node north \(eu-north\) is not connected/)
    ])
    expect(worse.nodes.find(node => node.name === 'north')?.connected).toBe(false)
    await mesh.start('north', 'eu-north', 'storage')
    await mesh.converged()
    await ask('DELETE', '/v1/volumes/wide')
  })
})

describe('members', () => {
  it('revoking the only holder of data needs force and names the volumes', async () => {
    await ask('POST', '/v1/volumes', { name: 'held', sizeBytes: MiB, shards: 3 })
    const refused = await ask('POST', '/v1/nodes/east/revoke', {})
    expect(refused).toMatchObject({ status: 409, body: { error: { code: 'NEEDS_FORCE' } } })
    expect(JSON.stringify(refused.body)).toContain('held')
    expect(mesh.gate.asked).toEqual([])
    const forced = await ask('POST', '/v1/nodes/east/revoke', { force: true })
    expect(forced).toMatchObject({ status: 200, body: { volumes: ['held'] } })
    expect(mesh.gate.asked).toEqual([`revoke ${mesh.nodes.get('east')?.id}`])
    expect((await ask('POST', '/v1/nodes/gate/revoke', {})).status).toBe(400)
    expect((await ask('POST', '/v1/nodes/nobody/revoke', {})).status).toBe(404)
    await ask('DELETE', '/v1/volumes/held')
  })

  it('a node that holds chunks does not leave before they have gone', async () => {
    await ask('POST', '/v1/volumes', { name: 'stays', sizeBytes: MiB, shards: 3 })
    const west = await westThatKnows('stays')
    west.handoffs.hold()
    const first = await ask('POST', '/v1/leave', {}, west)
    const draining = { state: 'draining', purpose: 'leave', chunks: { total: 1, done: 0 } }
    expect(first).toMatchObject({ status: 202, body: { draining } })
    expect(west.asked).toEqual([])
    expect((await ask('POST', '/v1/leave', { cancel: true }, west)).status).toBe(200)
    west.handoffs.release()
    await until(() => west.handoffs.counts().sending === 0)
    await ask('DELETE', '/v1/volumes/stays')
    expect((await ask('POST', '/v1/leave', {}, west)).status).toBe(200)
    expect(west.asked).toEqual(['leave', 'shutdown: the node left the mesh'])
  })
})

describe('refusals', () => {
  it.each([
    ['POST', '/v1/volumes', 'not json', 400, 'BAD_INPUT'],
    ['POST', '/v1/volumes', '[]', 400, 'BAD_INPUT'],
    ['POST', '/v1/volumes', { name: 'a' }, 400, 'BAD_INPUT'],
    ['POST', '/v1/volumes', { name: '../x', sizeBytes: MiB }, 400, 'BAD_INPUT'],
    ['POST', '/v1/volumes', { name: 'a', sizeBytes: 4097 }, 400, 'BAD_INPUT'],
    ['POST', '/v1/volumes', { name: 'a', sizeBytes: 2 ** 63 }, 400, 'BAD_INPUT'],
    ['POST', '/v1/volumes', { name: 'a', sizeBytes: MiB, more: 1 }, 400, 'BAD_INPUT'],
    ['POST', '/v1/volumes', { name: 'a', sizeBytes: MiB, shards: 9 }, 409, 'TOO_FEW_NODES'],
    ['POST', '/v1/volumes', { name: 'a', sizeBytes: MiB, near: 'mars' }, 400, 'UNKNOWN_REGION'],
    ['GET', '/v1/volumes/absent', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/volumes/A', undefined, 400, 'BAD_INPUT'],
    ['GET', '/v1/volumes/__proto__', undefined, 400, 'BAD_INPUT'],
    ['PATCH', '/v1/volumes/absent', {}, 404, 'NOT_FOUND'],
    ['POST', '/v1/volumes/absent/attach', {}, 404, 'NOT_FOUND'],
    ['POST', '/v1/invites', { validMs: 1e300 }, 400, 'BAD_INPUT'],
    ['POST', '/v1/moves', {}, 400, 'BAD_INPUT'],
    ['POST', '/v1/moves', { volume: 'A', from: 'west', to: 'east' }, 400, 'BAD_INPUT'],
    ['DELETE', '/v1/moves/zz', undefined, 400, 'BAD_INPUT'],
    ['DELETE', '/v1/moves/abcd', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/moves?ended=x', undefined, 400, 'BAD_INPUT'],
    ['POST', '/v1/moves/rate', { bytesPerSecond: -1 }, 400, 'BAD_INPUT'],
    ['POST', '/v1/moves/rate', { bytesPerSecond: 1, node: 'absent' }, 404, 'NOT_FOUND'],
    ['GET', '/v1/moves/xyz', undefined, 400, 'BAD_INPUT'],
    ['GET', '/v1/moves/abcd', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/balance?days=0', undefined, 400, 'BAD_INPUT'],
    ['GET', '/v1/balance?node=absent', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/balance/plan?node=gate', undefined, 400, 'BAD_INPUT'],
    ['POST', '/v1/balance', {}, 400, 'BAD_INPUT'],
    ['POST', '/v1/balance', { node: 'west' }, 400, 'BAD_INPUT'],
    ['POST', '/v1/balance', { thresholdPart: 2 }, 400, 'BAD_INPUT'],
    ['POST', '/v1/balance', { horizonMinutes: 1.5 }, 400, 'BAD_INPUT'],
    ['POST', '/v1/balance', { regions: [] }, 400, 'BAD_INPUT'],
    ['POST', '/v1/balance', { isPaused: 'yes' }, 400, 'BAD_INPUT'],
    ['GET', '/v1/receipts?limit=0', undefined, 400, 'BAD_INPUT'],
    ['GET', '/v1/receipts?volume=absent', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/explain', undefined, 400, 'BAD_INPUT'],
    ['GET', '/v1/explain?subject=%00', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/explain?subject=web@absent', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/explain?subject=move:abcd', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/explain?subject=__proto__', undefined, 404, 'NOT_FOUND'],
    ['POST', '/v1/nodes/absent/drain', {}, 404, 'NOT_FOUND'],
    ['POST', '/v1/nodes/gate/drain', {}, 400, 'BAD_INPUT'],
    ['POST', '/v1/nodes/west/drain', { more: 1 }, 400, 'BAD_INPUT'],
    ['GET', '/v1/nodes/absent/give-up', undefined, 404, 'NOT_FOUND'],
    ['POST', '/v1/nodes/gate/give-up', {}, 400, 'BAD_INPUT'],
    ['POST', '/v1/leave', { cancel: true }, 409, 'CONFLICT'],
    ['GET', '/v1/nothing', undefined, 404, 'NOT_FOUND']
  ])('%s %s %j is %d %s', async (method, path, body, status, code) => {
    const answer = await ask(method, path, body)
    expect(answer).toMatchObject({ status, body: { error: { code } } })
  })

  it('random requests are refused or answered, never a bug', async () => {
    const seed = Number(process.env.SEED ?? 20261123)
    console.log(`cli-control: SEED=${seed}`)
    const random = seededRandom(seed)
    const pick = <T>(list: readonly [T, ...T[]]): T =>
      list[Math.floor(random.fraction() * list.length)] ?? list[0]
    const values = [null, 0, -1, 1e308, 'x', '', [], {}, true, '\u0000', 'a'.repeat(300)] as const
    const fields = [
      'name',
      'sizeBytes',
      'near',
      'path',
      'volume',
      'from',
      'node',
      '__proto__'
    ] as const
    const groups = ['/v1/volumes', '/v1/moves', '/v1/nodes'] as const
    for (let i = 0; i < 600; i++) {
      const name = pick(['absent', '%00', '..%2f..', '%ff', '%', 'a'.repeat(5000), '__proto__'])
      const group = pick(groups)
      const ends = ['', '/attach', '/export', '/import-stream?a=b', '/drain', '/give-up'] as const
      const tail = pick(ends)
      const body = Object.fromEntries([0, 1, 2].map(() => [pick(fields), pick(values)]))
      const method = pick(['POST', 'PATCH', 'DELETE', 'GET'])
      const text = random.fraction() < 0.2 ? '{"a' : JSON.stringify(body)
      const init = method === 'GET' ? { method } : { method, body: text }
      const response = await mesh.gate.app.request(`${group}/${name}${tail}`, init)
      const answer = await response.text()
      expect(answer, `${method} ${group}/${name}${tail} ${text}`).not.toContain('INTERNAL')
      expect(answer).toContain('"error":{"code":"')
    }
  })
})
