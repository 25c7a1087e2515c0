// Goal: what people set for the balancing of a volume, and for links between regions, is known wherever
// it is looked at, reads well, changes only what was named; anything else is refused with words.
// Method: the real commands over a real control socket, on a mesh in memory.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LinksDocument, StatusDocument, VolumeDocument } from '../../node/control/documents.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { GiB } from '../../protocols/limits.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'
import { type Run, Terminal } from '../support/cli-terminal.ts'

let mesh: CliMesh & { gate: CliNode }
let id: VolumeId
let terminal: Terminal

beforeAll(async () => {
  mesh = await smallMesh()
  id = (await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 2 })).id
  terminal = await Terminal.open(mesh.gate)
})
afterAll(async () => {
  await terminal.close()
  await mesh.close()
})

const shoal = (...words: string[]): Promise<Run> => terminal.run(words)
const everywhere = (test: (node: CliNode) => boolean) =>
  until(() => [...mesh.nodes.values()].every(test))

async function json<T>(...words: string[]): Promise<T> {
  const run = await shoal(...words, '--json')
  expect(run).toMatchObject({ code: 0, err: '' })
  return JSON.parse(run.out) as T
}

describe('shoal volume set', () => {
  it('changes what is named, leaves the rest, and takes it back', async () => {
    const set = await shoal('volume', 'set', 'web', '--max-iops', '2000', '--max-rtt', '20ms')
    expect(set).toMatchObject({ code: 0, err: '' })
    expect(set.out).toBe('web: limit 2000 IOPS, balance on; at most 20 ms from its gateway\n')
    const words = ['--balance', 'off', '--regions', 'eu-west,eu-north', '--horizon', '2h']
    const budget = ['--moves-per-hour', '4', '--bytes-per-hour', '20G']
    const all = await json('volume', 'set', 'web', ...words, '--threshold', '50%', ...budget)
    expect(all).toEqual({
      isOn: false,
      regions: ['eu-north', 'eu-west'],
      maxRttMs: 20,
      horizonMinutes: 120,
      thresholdPart: 0.5,
      maxIops: 2000,
      movesPerHour: 4,
      bytesPerHour: 20 * GiB
    })
    expect((await json<VolumeDocument>('volume', 'show', 'web')).policy).toEqual(all)
    expect((await shoal('volume', 'show', 'web')).out).toMatch(
      /limit {5}2000 IOPS\n {2}balance {3}off: only people move it; only in eu-north, eu-west; at most/
    )
    expect((await shoal('volume', 'show', 'web')).out).toContain(
      '; 4 moves an hour and node; 20 GiB an hour and node'
    )
    const back = ['--max-iops', 'none', '--max-rtt', 'none', '--regions', 'all', '--balance', 'on']
    const names = ['--horizon', '--threshold', '--moves-per-hour', '--bytes-per-hour']
    const defaults = names.flatMap(name => [name, 'default'])
    expect(await json('volume', 'set', 'web', ...back, ...defaults)).toEqual({ isOn: true })
  })

  it('is known to the nodes of the shards and to the gateway', async () => {
    await json('volume', 'set', 'web', '--max-iops', '700')
    const holders = [...mesh.nodes.values()].filter(node => node.store?.shard(id) !== undefined)
    await until(() => holders.every(node => node.context.map.volume(id)?.policy.maxIops === 700))
  })

  it('may come with the volume', async () => {
    expect((await shoal('volume', 'create', 'db', '--size', '1G', '--max-iops', '900')).code).toBe(
      0
    )
    expect((await json<VolumeDocument>('volume', 'show', 'db')).policy.maxIops).toBe(900)
  })

  it.each([
    [[], /say what to set, for example --max-iops 2000/],
    [['--max-iops', '0'], /--max-iops must be a whole number/],
    [['--max-iops', '-1'], /max-iops/],
    [['--max-iops', '1.5'], /--max-iops must be a whole number/],
    [['--balance', 'maybe'], /--balance must be one of on, off/],
    [['--regions', 'eu-west,'], /--regions must be names with commas/],
    [['--max-rtt', '61s'], /--max-rtt must be from 1ms to 60s/],
    [['--max-rtt', 'near'], /--max-rtt must be a number with ms/],
    [['--horizon', '14m'], /--horizon must be from 15m to 24h/],
    [['--horizon', '90001s'], /--horizon must be from 15m to 24h/],
    [['--horizon', '1000s'], /whole minutes/],
    [['--threshold', '0%'], /--threshold must be from 1% to 100%/],
    [['--moves-per-hour', '1001'], /--moves-per-hour must be a whole number from 0 to 1000/],
    [['--moves-per-hour', 'none'], /--moves-per-hour must be a whole number/],
    [['--bytes-per-hour', '-1'], /bytes-per-hour must be a number of bytes/],
    [['--threshold', '0.5'], /--threshold must be from 1% to 100%/]
  ])('%j is bad usage', async (words, expected) => {
    const { code, err, out } = await shoal('volume', 'set', 'web', ...words)
    expect(err).toMatch(expected)
    expect({ code, out }).toEqual({ code: 2, out: '' })
  })

  it('refuses a region that nobody is in, and names those that there are', async () => {
    const run = await shoal('volume', 'set', 'web', '--regions', 'eu-west,mars', '--json')
    expect(run.code).toBe(1)
    expect(JSON.parse(run.out)).toMatchObject({
      error: { code: 'UNKNOWN_REGION', region: 'mars', known: ['eu-north', 'eu-west', 'us-east'] }
    })
  })

  it('refuses over HTTP what the command refuses', async () => {
    const patch = async (body: object) => {
      const init = { method: 'PATCH', body: JSON.stringify(body) }
      return (await mesh.gate.app.request('/v1/volumes/web/policy', init)).status
    }
    const spoiled: object[] = [
      { maxIops: 1.5 },
      { maxIops: 0 },
      { maxIops: 1e12 },
      { maxRttMs: 0 },
      { maxRttMs: 60_001 },
      { horizonMinutes: 14 },
      { horizonMinutes: 15.5 },
      { thresholdPart: 1.1 },
      { movesPerHour: -1 },
      { movesPerHour: 1001 },
      { movesPerHour: 1.5 },
      { bytesPerHour: -1 },
      { bytesPerHour: 1.5 },
      { regions: [] },
      { regions: ['x y'] },
      { isOn: null },
      { isOff: true }
    ]
    for (const body of spoiled) expect(await patch(body), JSON.stringify(body)).toBe(400)
    expect(await patch({ maxRttMs: 0.5 })).toBe(200)
  })
})

describe('shoal balance link', () => {
  it('sets a cost that all nodes know, in whichever order the regions are named', async () => {
    expect((await shoal('balance', 'links')).out).toBe(
      'no costs are set: 1 between two regions, 0 within one\n'
    )
    expect((await shoal('balance', 'link', 'us-east', 'eu-west', '--cost', '3')).out).toBe(
      'us-east - eu-west: 3\n'
    )
    const set = await json<LinksDocument>(
      'balance',
      'link',
      'eu-north',
      'eu-west',
      '--cost',
      'never'
    )
    expect(set.links).toEqual([
      { a: 'eu-north', b: 'eu-west', factor: 'never' },
      { a: 'eu-west', b: 'us-east', factor: 3 }
    ])
    await everywhere(node => node.context.map.mesh().links.length === 2)
    expect((await shoal('balance', 'links')).out).toMatch(
      /eu-north +eu-west +never\neu-west +us-east +3\n\nall others: 1 between/
    )
    expect((await shoal('balance', 'link', 'us-east', 'eu-west', '--cost', 'default')).out).toBe(
      'us-east - eu-west: 1\n'
    )
    expect((await json<LinksDocument>('balance', 'links')).links).toHaveLength(1)
  })

  it.each([
    [['eu-west', 'us-east', '--cost', '-1'], /cost/],
    [['eu-west', 'us-east', '--cost', '1001'], /--cost must be a number from 0 to 1000/],
    [['eu-west', 'us-east', '--cost', 'always'], /--cost must be/],
    [['eu-west', 'us-east'], /--cost/],
    [['eu-west', 'a b', '--cost', '1'], /no name for a region/]
  ])('%j is bad usage', async (words, expected) => {
    const { code, err } = await shoal('balance', 'link', ...words)
    expect(err).toMatch(expected)
    expect(code).toBe(2)
  })

  it('refuses a region that nobody is in', async () => {
    const run = await shoal('balance', 'link', 'eu-west', 'mars', '--cost', '3')
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/no region "mars"; the regions are eu-north, eu-west, us-east/)
  })
})

describe('shoal node max-load', () => {
  it('bounds the node at once, is kept, and is shown as what the node can do', async () => {
    const west = mesh.nodes.get('west')
    if (west === undefined) throw new Error('no node west')
    const there = await Terminal.open(west)
    try {
      const run = async (...words: string[]) => (await there.run(words)).out
      expect(await run('node', 'max-load')).toBe('none\n')
      expect(await run('node', 'max-load', '2000')).toBe('2000 units/s\n')
      expect(JSON.parse(await run('node', 'max-load', '--json'))).toEqual({
        maxLoad: 2000,
        kept: 2000
      })
      const { nodes } = JSON.parse(await run('status', '--json')) as StatusDocument
      expect(nodes.find(node => node.name === 'west')).toMatchObject({
        maxLoad: 2000,
        capacity: 2000
      })
      expect((await shoal('status')).out).toMatch(/west .*, max 2000/)
      const few = await there.run(['node', 'max-load', '10'])
      expect(few).toMatchObject({ code: 2 })
      expect(few.err).toMatch(/50 units per second at least/)
      expect(await run('node', 'max-load', 'none')).toBe('none\n')
    } finally {
      await there.close()
    }
    const gateway = await shoal('node', 'max-load', '100')
    expect(gateway.err).toMatch(/keeps no data/)
  })
})
