// Goal: what people declare about a volume's load is kept with the volume wherever it is looked at,
// reads well, and anything else is refused with words that say what to type.
// Method: the real commands over a real control socket, on a mesh in memory.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PatternDocument, PatternsDocument } from '../../node/control/load-documents.ts'
import { hostZone } from '../../node/volumes/zones.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { GiB, MiB } from '../../protocols/limits.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'
import { type Run, Terminal } from '../support/cli-terminal.ts'

let mesh: CliMesh & { gate: CliNode }
let id: VolumeId
let terminal: Terminal

beforeEach(async () => {
  mesh = await smallMesh()
  const wish = { name: 'web', sizeBytes: GiB, shards: 2, zone: 'Europe/Berlin' }
  id = (await mesh.gate.volumes.create(wish)).id
  terminal = await Terminal.open(mesh.gate)
})
afterEach(async () => {
  await terminal.close()
  await mesh.close()
})

const shoal = (...words: string[]): Promise<Run> => terminal.run(words)
const nights = ['pattern', 'add', 'web', 'mon-fri 02:00', '--for', '40m', '--iops', '+3000']

async function json<T>(...words: string[]): Promise<T> {
  const run = await shoal(...words, '--json')
  expect(run).toMatchObject({ code: 0, err: '' })
  return JSON.parse(run.out) as T
}

describe('shoal pattern', () => {
  it('declares, lists and removes, in words', async () => {
    const added = await shoal(...nights)
    expect(added).toMatchObject({ code: 0, err: '' })
    expect(added.out).toMatch(
      /^declared [0-9a-f]{16}: mon-fri 02:00 for 40 min, \+3000\/s \(Europe\/Berlin\)\n$/
    )
    const daily = ['daily 23:30', '--for', '2h', '--throughput', '+100M']
    expect((await shoal('pattern', 'add', 'web', ...daily)).code).toBe(0)
    const { out } = await shoal('pattern', 'list', 'web')
    expect(out).toMatch(/mon-fri 02:00 +40 min +\+3000\/s +-$/m)
    expect(out).toMatch(/daily 23:30 +120 min +- +\+100 MiB\/s$/m)
    expect(out).toMatch(/times are those of Europe\/Berlin\n$/)
    expect((await shoal('volume', 'show', 'web')).out).toMatch(
      / {2}zone {6}Europe\/Berlin\n {2}pattern {3}(mon|daily)/
    )
    expect((await shoal('pattern', 'remove', 'web', 'all')).out).toBe('removed 2 patterns\n')
    expect((await shoal('pattern', 'list', 'web')).out).toMatch(/^no patterns/)
  })

  it('is one document for programs', async () => {
    const added = await json<PatternDocument>(...nights)
    expect(added).toMatchObject({ when: 'mon-fri 02:00', minutes: 40, iops: 3000 })
    expect(added).toMatchObject({ bytesPerSecond: 0, zone: 'Europe/Berlin' })
    const list = await json<PatternsDocument>('pattern', 'list', 'web')
    expect(list).toEqual({ zone: 'Europe/Berlin', patterns: [added] })
    expect(await json('volume', 'show', 'web')).toMatchObject(list)
    const removed = await json('pattern', 'remove', 'web', added.id.slice(0, 5).toUpperCase())
    expect(removed).toEqual(list)
    expect(await json('pattern', 'zone', 'web')).toEqual({ zone: 'Europe/Berlin' })
  })

  it('reaches the nodes of the shards, outlives the node that was told, and may come back', async () => {
    const { id: pattern } = await json<PatternDocument>(...nights)
    const holders = [...mesh.nodes.values()].filter(node => node.store?.shard(id) !== undefined)
    const has = (node: CliNode) => node.context.map.volume(id)?.patterns[0]?.id === pattern
    await until(() => holders.every(has))
    mesh.kill('gate')
    const again = await mesh.start('gate', 'eu-west', 'gateway')
    expect((await again.context.map.fetchVolume(id)).patterns).toHaveLength(1)
    const other = await Terminal.open(again)
    try {
      expect((await other.run(['pattern', 'remove', 'web', pattern])).code).toBe(0)
      await until(() => holders.every(node => !has(node)))
      expect((await other.run(nights)).code).toBe(0)
      await until(() => holders.every(has))
    } finally {
      await other.close()
    }
  })

  it('refuses the same one twice, however it is spelt, and keeps patterns that overlap', async () => {
    await json(...nights)
    const spelt = ['Mon,Tue,wed,thu-fri   2:00', '--for', '40m', '--iops', '3000']
    const twice = await shoal('pattern', 'add', 'web', ...spelt)
    expect(twice.code).toBe(1)
    expect(twice.err).toMatch(/web has this pattern already/)
    await json('pattern', 'add', 'web', 'mon-fri 02:00', '--for', '41m', '--iops', '3000')
    expect((await json<PatternsDocument>('pattern', 'list', 'web')).patterns).toHaveLength(2)
  })

  it('refuses one more than are looked at', async () => {
    for (let minute = 0; minute < 64; minute++) {
      const body = JSON.stringify({
        when: `daily 3:${two(minute % 60)}`,
        minutes: 1,
        iops: 1 + minute
      })
      const init = { method: 'POST', body }
      expect((await mesh.gate.app.request('/v1/volumes/web/patterns', init)).status).toBe(201)
    }
    const { code, err } = await shoal(...nights)
    expect(code).toBe(1)
    expect(err).toMatch(/web has 64 patterns.*shoal pattern remove web ID/)
  })

  it.each([
    [['web', 'mondays', '--for', '40m', '--iops', '1'], /"mondays" is not when.*mon-fri 02:00/],
    [['web', 'mon 25:00', '--for', '40m', '--iops', '1'], /not when/],
    [['web', 'mon\n02:00x', '--for', '40m', '--iops', '1'], /not when/],
    [['web', 'x'.repeat(5000), '--for', '40m', '--iops', '1'], /not when/],
    [['web', 'mon 2:00', '--for', '25h', '--iops', '1'], /from 1m to 24h/],
    [['web', 'mon 2:00', '--for', '90s', '--iops', '1'], /whole minutes/],
    [['web', 'mon 2:00', '--for', 'long', '--iops', '1'], /--for must be a number/],
    [['web', 'mon 2:00', '--for', '40m', '--iops', '-3'], /--iops "-3" must be/],
    [['web', 'mon 2:00', '--for', '40m', '--iops', '9999999999'], /at most 1000000000/],
    [['web', 'mon 2:00', '--for', '40m', '--throughput', 'fast'], /throughput/],
    [['web', 'mon 2:00', '--for', '40m', '--throughput', '+2T'], /at most 1T/],
    [['web', 'mon 2:00', '--for', '40m'], /give --iops, for example \+3000/],
    [['web', 'mon 2:00', '--iops', '1'], /--for/],
    [['../x', 'mon 2:00', '--for', '40m', '--iops', '1'], /no name for a volume/]
  ])('add %j is bad usage', async (words, expected) => {
    expectBadUsage(await shoal('pattern', 'add', ...words), expected)
    expect(mesh.gate.context.map.volume(id)?.patterns).toEqual([])
  })

  it('says of a removal what is not there', async () => {
    expectBadUsage(await shoal('pattern', 'remove', 'web', 'x/y'), /no id of a pattern/)
    const gone = await shoal('pattern', 'remove', 'web', '0123456789abcdef')
    expect(gone.code).toBe(1)
    expect(gone.err).toMatch(/web has no pattern .*shoal pattern list web/)
    expect((await shoal('pattern', 'remove', 'web', 'all')).out).toBe('there were no patterns\n')
    expect((await shoal('pattern', 'list', 'nobody')).code).toBe(1)
  })

  it('refuses over HTTP what the command refuses', async () => {
    const post = async (body: object) => {
      const init = { method: 'POST', body: JSON.stringify(body) }
      return (await mesh.gate.app.request('/v1/volumes/web/patterns', init)).status
    }
    expect(await post({ when: 'daily 2:00', minutes: 40, iops: 1.5 })).toBe(400)
    expect(await post({ when: 'daily 2:00', minutes: 40 })).toBe(400)
    expect(await post({ when: 'daily 2:00', minutes: 1441, iops: 1 })).toBe(400)
    expect(await post({ when: 'daily 2:00', minutes: 40, bytesPerSecond: MiB })).toBe(201)
  })
})

describe('the zone of a volume', () => {
  it('is that of the host that made it, unless told otherwise', async () => {
    expect((await shoal('volume', 'create', 'here', '--size', '1G')).code).toBe(0)
    expect(await json('pattern', 'zone', 'here')).toEqual({ zone: hostZone() })
    const there = ['volume', 'create', 'there', '--size', '1G', '--zone', 'Asia/Tokyo']
    expect((await shoal(...there)).code).toBe(0)
    expect((await shoal('pattern', 'zone', 'there')).out).toBe('Asia/Tokyo\n')
  })

  it('is changed, and refused if nobody knows it', async () => {
    expect((await shoal('pattern', 'zone', 'web', 'America/New_York')).out).toBe(
      'America/New_York\n'
    )
    expect((await shoal('pattern', 'list', 'web')).out).toMatch(/New_York/)
    for (const zone of ['Europe/Berlun', 'berlin time', '+02:00', '\u001b[2J', '']) {
      expectBadUsage(await shoal('pattern', 'zone', 'web', '--', zone), /Europe\/Berlin/)
      const create = await shoal('volume', 'create', 'new', '--size', '1G', `--zone=${zone}`)
      expectBadUsage(create, /no time zone/)
    }
    expect((await shoal('pattern', 'zone', 'web')).out).toBe('America/New_York\n')
  })
})

function two(value: number): string {
  return String(value).padStart(2, '0')
}

function expectBadUsage({ code, out, err }: Run, expected: RegExp): void {
  expect(err).toMatch(expected)
  expect(err.trimEnd().split('\n')).toHaveLength(1)
  expect({ code, out }).toEqual({ code: 2, out: '' })
}
